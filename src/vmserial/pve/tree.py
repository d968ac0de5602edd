"""The VMs of a PVE host, or of a copy of its tree.

``ROOT/etc/pve/nodes/<node>/qemu-server/<VMID>.conf`` holds every VM of a cluster;
``ROOT/etc/pve/qemu-server`` is a symlink to this node's directory (pmxcfs, PVE
9.2).  A copy may have the one, the other, or only the directory itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmserial.errors import ConfigError, UsageError
from vmserial.files import Backups
from vmserial.machines import architecture
from vmserial.sources.pve import Document

_CONF = re.compile(r"([1-9][0-9]{0,8})\.conf\Z")

MAX_BYTES = 4 << 20
"""No configuration is larger (pmxcfs takes less)."""


@dataclass(frozen=True)
class Place:
    """Where one VM's configuration is.

    Attributes:
        vmid: its number.
        path: of the file.
        root: of the tree; None where only a directory of configurations is there.
        node: the cluster node; empty where nobody says it.
        elsewhere: the VM belongs to another node than this tree's own.
    """

    vmid: int
    path: Path
    root: Path | None
    node: str = ""
    elsewhere: bool = False

    @property
    def live(self) -> bool:
        """True on a PVE host itself, not on a copy of its tree."""
        return self.root is not None and self.root == Path("/")

    @property
    def lock(self) -> Path:
        """What to lock: PVE's own lock file; in a copy without any, the directory."""
        if self.root is not None:
            directory = self.root / "var/lock/qemu-server"
            if directory.is_dir():
                return directory / f"lock-{self.vmid}.conf"
        return self.path.resolve().parent

    @property
    def backups(self) -> Backups:
        """Where old contents go: outside of /etc/pve, which is small and replicated."""
        if self.root is not None:
            return Backups(self.root / "var/backups/vmserial", f"{self.vmid}.conf.")
        return Backups(self.path.resolve().parent, f"{self.path.name}.vmserial-", ".bak")


@dataclass(frozen=True)
class Conf:
    """A configuration as it was read: the bytes, and the document that they are."""

    place: Place
    raw: bytes
    document: Document


def places(root: Path) -> list[Place]:
    """Return all VMs below ``root``, by number.

    Args:
        root: of a tree, or a directory of configurations.

    Raises:
        UsageError: there is no such directory, or none of PVE's.
    """
    if not root.is_dir():
        raise UsageError("there is no such directory", hint="name PVE's / or a copy of its tree",
                         where=str(root))  # fmt: skip
    pve = root / "etc/pve"
    own = pve / "qemu-server"
    directories = [(node.parent.name, node) for node in sorted(pve.glob("nodes/*/qemu-server"))]
    found: dict[int, Place] = {}
    mine = own.resolve() if own.is_dir() else None
    if mine is not None and mine not in {directory.resolve() for _, directory in directories}:
        directories.insert(0, ("", own))
    for node, directory in directories:
        elsewhere = mine is not None and directory.resolve() != mine
        for vmid, path in _confs(directory):
            # A VM is on one node only; the first is kept, as the tree's own comes first.
            place = Place(vmid, path, root, node, elsewhere)
            if vmid not in found or not elsewhere:
                found[vmid] = place
    if not directories:
        for vmid, path in _confs(root):
            found[vmid] = Place(vmid, path, None)
        if not found:
            raise UsageError(
                "this is neither a PVE host, nor a copy of its tree, nor a directory with "
                "configurations",
                hint="it must have etc/pve/qemu-server, etc/pve/nodes/<node>/qemu-server or "
                "<VMID>.conf files",
                where=str(root),
            )
    return [found[vmid] for vmid in sorted(found)]


def _confs(directory: Path) -> Iterator[tuple[int, Path]]:
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if entry.is_file())
    except OSError as error:
        raise UsageError(
            f"the directory cannot be read: {error.strerror}",
            hint="call it as root",
            where=str(directory),
        ) from None
    for name in names:
        if match := _CONF.match(name):
            yield int(match[1]), directory / name


def find(root: Path, vmid: int) -> Place:
    """Return one VM.

    Raises:
        UsageError: there is none of this number, or no tree.
    """
    known = places(root)
    for place in known:
        if place.vmid == vmid:
            return place
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(str(vmid), [str(place.vmid) for place in known], 1)
    raise UsageError(
        f"there is no VM {vmid}",
        hint=f"did you mean {near[0]}?" if near else "'vmserial pve list' shows all",
        where=str(root),
    )


def of_path(path: Path) -> Place:
    """Return the place of a configuration that was named by its path.

    A file within a tree has that tree's lock and backup; any other stands for itself.

    Raises:
        UsageError: its name is not ``<VMID>.conf``.
    """
    match = _CONF.match(path.name)
    if match is None:
        raise UsageError(
            "a PVE configuration is called <VMID>.conf",
            hint="rename a copy to the VM's number, such as 142.conf",
            where=str(path),
        )
    vmid = int(match[1])
    absolute = path.absolute()
    for parts in (absolute.parts, absolute.resolve().parts):
        for at in range(len(parts) - 2, 0, -1):
            if parts[at : at + 2] == ("etc", "pve"):
                root = Path(*parts[:at])
                for place in places(root) if root.is_dir() else ():
                    if place.path.resolve() == absolute.resolve():
                        return place
    return Place(vmid, path, None)


def read(place: Place) -> Conf:
    """Read a configuration.

    Raises:
        UsageError: it is not there or cannot be read.
        ConfigError: it is no text, or far too large.
    """
    try:
        with place.path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the configuration: {error.strerror}",
            hint="check the path, and call it as root",
            where=str(place.path),
        ) from None
    return conf_of(place, raw)


def conf_of(place: Place, raw: bytes) -> Conf:
    """Return a configuration that was read already.

    Raises:
        ConfigError: it is no text, or far too large.
    """
    if len(raw) > MAX_BYTES or b"\0" in raw:
        raise ConfigError(
            "this is no configuration: it holds NUL bytes or is too large",
            hint="name the file /etc/pve/qemu-server/<VMID>.conf",
            where=str(place.path),
        )
    # A byte that is not UTF-8 must survive.
    return Conf(place, raw, Document.parse(raw.decode("utf-8", "surrogateescape"), str(place.path)))


def raw_of(document: Document) -> bytes:
    """Return a document's bytes."""
    return document.text().encode("utf-8", "surrogateescape")


def host_arch(root: Path | None) -> str:
    """Return the architecture of the host that a tree is of; empty if it does not tell.

    PVE takes its host's for every VM that does not say one.  A copy tells by the
    packages' architecture or by what ``/usr/bin/kvm`` points to.
    """
    if root is None:
        return ""
    if root == Path("/"):
        return _known(os.uname().machine)
    arch_file = root / "var/lib/dpkg/arch"
    try:
        return _known(arch_file.read_text(errors="replace").split()[0])
    except (OSError, IndexError):
        pass
    try:
        return _known((root / "usr/bin/kvm").readlink().name.removeprefix("qemu-system-"))
    except OSError:
        return ""


def _known(name: str) -> str:
    try:
        return architecture(name).name
    except UsageError:
        return ""


def vm_arch(document: Document, host: str, asked: str = "") -> str:
    """Return the architecture to hand to the reader: the host's where the VM does not say one.

    Args:
        document: the configuration.
        host: its host's; empty if nobody knows it.
        asked: what the user says the host is; empty: nothing.

    Raises:
        UsageError: the user says another one than the configuration.
    """
    setting = document.main.values.get("arch")
    if asked:
        name = architecture(asked).name
        if setting is not None and _known(setting.value) not in {"", name}:
            raise UsageError(
                f"--arch says {name}, and the configuration says arch: {setting.value}",
                hint="leave --arch out: it is for a configuration that says none",
                where=str(document.where(setting.line)),
            )
        return name
    if setting is not None or re.match(r"(?:type=)?virt(?:-|,|\Z)", _value(document, "machine")):
        return ""
    return host


def _value(document: Document, key: str) -> str:
    setting = document.main.values.get(key)
    return setting.value if setting is not None else ""
