"""Text into a Machine: PVE configurations, libvirt domains, our own TOML, options alone.

:func:`load` reads a file of any kind; the kind is known by the file's name,
else by its first line that says something.
"""

from __future__ import annotations

import os
import re
import select
import stat

from vmserial.errors import ConfigError, UsageError
from vmserial.model import Machine

MAX_BYTES = 4 << 20
"""No configuration is larger; whatever is, is another kind of file."""

WAIT_SECONDS = 10.0
"""How long a pipe may be silent before reading it is given up."""

_PVE_LINE = re.compile(r"[a-z][a-z_-]*[0-9]*:|#[ \t]*vmserial[ \t]|\[(?:PENDING|special:)", re.I)
_TOML_LINE = re.compile(r"""[ \t]*(?:[A-Za-z0-9_."'-]+[ \t]*=|\[\[?[ \t]*[A-Za-z0-9_."'-])""")


def load(
    path: str,
    *,
    vmid: int | None = None,
    snapshot: str | None = None,
    pending: bool = False,
    arch: str = "",
) -> Machine:
    """Read a configuration file.

    Args:
        path: ``…/100.conf`` (PVE), ``….xml`` (libvirt), ``….toml`` (our own), or a file
            whose content tells.
        vmid: a PVE VM's number; else it is the file's name if that is ``<digits>.conf``.
        snapshot: of a PVE configuration, this snapshot instead of the current settings.
        pending: of a PVE configuration, as it is after the pending changes.
        arch: of a PVE configuration, the architecture where it does not say one.

    Raises:
        UsageError: the file is not there or cannot be read.
        ConfigError: it is no configuration, or a wrong one.
    """
    raw = read_bytes(path)
    if is_domain(path, raw):
        if snapshot is not None or pending:
            raise _no_snapshots(path)
        from vmserial.sources import libvirt

        domain = libvirt.Domain.of(libvirt.Document.parse(raw, path))
        return libvirt.machine(domain)
    if b"\0" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        raise ConfigError(
            "the file holds a NUL byte: it is not a text file",
            hint="give the configuration (100.conf or a .toml file), not a disk or a kernel",
            where=f"{path}:{line}",
        )
    if _is_toml(path, raw):
        if snapshot is not None or pending:
            raise _no_snapshots(path)
        # Each reader is imported where it is needed: the other one's modules cost a warm
        # command line several milliseconds.
        from vmserial.sources.toml.reader import read

        return read(_utf8(path, raw), path)
    from vmserial.sources.pve import Document, machine

    # A byte that is not UTF-8 must survive, so that the document stays lossless.
    document = Document.parse(raw.decode("utf-8", "surrogateescape"), path)
    if vmid is None and (match := re.search(r"(?:\A|/)([0-9]{1,9})\.conf\Z", path)):
        vmid = int(match.group(1))
    return machine(document, vmid, snapshot=snapshot, pending=pending, arch=arch)


def is_domain(path: str, raw: bytes) -> bool:
    """Tell whether a file is libvirt's XML: by its name, else by how it begins."""
    name = path.lower()
    if name.endswith((".conf", ".toml", ".xml")):
        return name.endswith(".xml")
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def _no_snapshots(path: str) -> UsageError:
    return UsageError(
        "only a PVE configuration has snapshots and pending changes",
        hint="leave that option out",
        where=path,
    )


def read_bytes(path: str) -> bytes:
    """Read a file of bounded size; a pipe may be silent for a bounded time.

    Raises:
        UsageError: it is not there, cannot be read, or is silent.
        ConfigError: it is larger than any configuration.
    """
    try:
        # Non-blocking: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"cannot read the configuration: {words}",
            hint="check the path; a PVE configuration is /etc/pve/qemu-server/<VMID>.conf",
            where=path.encode("utf-8", "backslashreplace").decode(),
        ) from None
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise UsageError(
                "this is a directory, not a configuration",
                hint="name a file in it, such as 100.conf",
                where=path,
            )
        pieces: list[bytes] = []
        size = 0
        while size <= MAX_BYTES:
            if not select.select([descriptor], [], [], WAIT_SECONDS)[0]:
                raise UsageError(
                    f"nothing came from the pipe for {WAIT_SECONDS:g} s",
                    hint="check what writes to it, or give a file",
                    where=path,
                )
            piece = os.read(descriptor, MAX_BYTES + 1 - size)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
    except OSError as error:
        raise UsageError(
            f"cannot read the configuration: {error.strerror}",
            hint="check the file and its permissions",
            where=path,
        ) from None
    finally:
        os.close(descriptor)
    raise ConfigError(
        f"the file is larger than {MAX_BYTES >> 20} MiB: it is no configuration",
        hint="give the configuration (100.conf or a .toml file), not a disk or a kernel",
        where=path,
    )


def _is_toml(path: str, raw: bytes) -> bool:
    name = path.lower()
    if name.endswith((".conf", ".toml")):
        return name.endswith(".toml")
    text = raw.decode("utf-8", "replace")
    for line in text.split("\n"):
        if _PVE_LINE.match(line):
            return False
        if line.strip() and not line.lstrip().startswith("#"):
            if _TOML_LINE.match(line):
                return True
            break
    raise ConfigError(
        "this is neither a PVE configuration nor TOML",
        hint="name it <VMID>.conf (PVE), NAME.xml (libvirt) or NAME.toml, or check that it is "
        "the right file",
        where=path,
    )


def _utf8(path: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"byte {raw[error.start]:#04x} is not UTF-8, as TOML must be",
            hint="save the file as UTF-8",
            where=f"{path}:{line}",
        ) from None
