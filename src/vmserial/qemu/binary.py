"""What a QEMU binary has: asked once over QMP, then read from the cache.

The key of the cache is the binary's path, time of change and size.  The warm
path is one small JSON file: nothing that talks to processes is imported for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmserial.errors import BinaryError, UsageError
from vmserial.limits import UARTS_MEASURED
from vmserial.model import Capabilities, DeviceType, MachineType
from vmserial.model.recorded import by_name as by_name
from vmserial.model.recorded import from_json as from_json
from vmserial.model.recorded import packed, unpacked
from vmserial.model.recorded import to_json as to_json
from vmserial.options import Option, render
from vmserial.paths import memory_dir, write_atomic

if TYPE_CHECKING:
    from vmserial.qemu.ask import Answers

OLDEST = (5, 2, 0)
"""The oldest version that plans are tested with."""

PROBE_BOUND = 20.0
"""Seconds for one question to a binary; QEMU needs 0.03 to 0.2."""

_SCHEMA = 3

_UARTS_TRIED = (UARTS_MEASURED, 4, 2, 1)
"""How many ``-serial`` a board is offered; some refuse to start with more than they have."""

INTERESTING = (
    "isa-serial", "pci-serial", "pci-serial-2x", "pci-serial-4x", "usb-serial", "usb-braille",
    "virtconsole", "virtserialport", "virtio-serial-pci", "virtio-serial-device",
    "virtio-serial-ccw", "spapr-vty", "sclpconsole", "sclplmconsole",
    "qemu-xhci", "nec-usb-xhci", "usb-ehci", "piix3-usb-uhci", "ich9-usb-ehci1",
    "ich9-usb-uhci1", "ich9-usb-uhci2", "ich9-usb-uhci3", "usb-hub", "usb-tablet", "usb-kbd",
    "pcie-root-port", "pcie-pci-bridge", "pci-bridge", "ioh3420", "x3130-upstream",
    "xio3130-downstream",
    "virtio-gpu-pci", "virtio-gpu-gl-pci", "virtio-vga", "virtio-vga-gl", "VGA", "cirrus-vga",
    "qxl-vga", "vmware-svga",
    "virtio-balloon-pci", "virtio-rng-pci", "vmgenid", "isa-debug-exit", "isa-debugcon",
    "virtio-scsi-pci", "virtio-blk-pci", "scsi-hd", "scsi-cd", "ide-hd", "ide-cd", "ich9-ahci",
    "lsi53c895a", "lsi53c810", "megasas", "pvscsi",
    "virtio-net-pci", "e1000", "e1000e", "rtl8139", "vmxnet3", "ne2k_pci", "pcnet", "i82551",
    "i82557b", "i82559er",
)  # fmt: skip
"""Devices whose properties are asked for: serial ports, what carries them, what PVE emits."""

_NOT_PLUGGABLE = frozenset({
    "virtio-gpu-pci", "virtio-gpu-gl-pci", "virtio-vga", "virtio-vga-gl", "VGA", "cirrus-vga",
    "qxl-vga", "vmware-svga", "ich9-usb-ehci1", "ich9-usb-uhci1", "ich9-usb-uhci2",
    "ich9-usb-uhci3",
})  # fmt: skip
"""PCI devices whose class refuses hot-plug: device_add on 5.2 to 11.1 says "expects a
pluggable device type".  A table, because that question takes QEMU 60 ms a device."""


# ------------------------------------------------------------------ finding it


SHIMS: dict[str, str] = {}
"""The shims of vmserial's that :func:`find` has met in this process, and the real binaries."""


def find(arch: str, explicit: str | None = None) -> str:
    """Return the absolute path of the QEMU binary for an architecture.

    Where a shim of vmserial's stands in its place it is the real binary behind it: what is
    asked must not be mended on its way, nor fill the shim's log.

    Args:
        arch: QEMU's target name: ``aarch64``, ``x86_64``.
        explicit: a path or a name in ``$PATH`` that the user gave.

    Raises:
        BinaryError: it is not there or may not be executed.
    """
    if explicit:
        name = explicit if "/" in explicit else which(explicit)
        if not name or not os.path.lexists(name):
            raise BinaryError(f"there is no {explicit}", hint="check the path given with --qemu")
    else:
        names = [f"qemu-system-{arch}"]
        if arch == os.uname().machine:
            # What RHEL and its relatives install for the host's own architecture.
            names += ["qemu-kvm", "/usr/libexec/qemu-kvm"]
        name = next((there for name in names if (there := which(name))), "")
        if not name:
            package = {"x86_64": "x86", "i386": "x86", "aarch64": "arm", "arm": "arm"}.get(arch)
            raise BinaryError(
                f"there is no qemu-system-{arch} in $PATH",
                hint=f"install it (Debian, Ubuntu: qemu-system-{package or 'misc'}), "
                "or name a binary with --qemu",
            )
    path = Path(name)
    if not path.exists():
        raise BinaryError(f"{name} is a dangling link", hint="install what it points to")
    if path.is_dir() or not os.access(path, os.X_OK):
        raise BinaryError(
            f"{name} is not an executable file", hint="name a qemu-system-* binary with --qemu"
        )
    there = str(path.absolute())
    real = _behind_shim(there)
    if real:
        SHIMS[there] = real
    return real or there


def _behind_shim(path: str) -> str:
    """Return the real binary that a shim of vmserial's starts; empty for any other file."""
    try:
        with Path(path).open("rb") as stream:
            lines = stream.read(512).split(b"\n")
    except OSError:
        return ""
    if not lines[0].startswith(b"#!"):
        return ""
    from vmserial.shim.mark import MARK

    if not lines[1:] or not lines[1].startswith(MARK):
        return ""
    from vmserial.shim import places
    from vmserial.shim.tree import Tree

    home = places.wrapper_home(Tree(), path)
    record = places.record_in(Tree(), home) if home else None
    return record.real if record is not None and Path(record.real).is_file() else ""


def which(name: str) -> str:
    """Return the first executable of that name in ``$PATH``, or an empty string."""
    # shutil.which() would cost the warm path 5 ms of imports.
    for directory in os.environ.get("PATH", "/usr/bin:/bin").split(":"):
        path = os.path.join(directory or ".", name)  # noqa: PTH118 - an absolute name wins
        if os.access(path, os.X_OK) and Path(path).is_file():
            return path
    return ""


# ------------------------------------------------------------------ recorded ones


def trimmed(capabilities: Capabilities, machine_types: Sequence[str]) -> Capabilities:
    """Return capabilities with only :data:`INTERESTING` devices and the machines named."""
    return replace(
        capabilities,
        binary="",
        trimmed=True,
        devices={n: d for n, d in capabilities.devices.items() if d.name in INTERESTING},
        machines={
            n: m for n, m in capabilities.machines.items() if {m.name, m.alias} & {*machine_types}
        },
    )


# ------------------------------------------------------------------ the cache


_READ: dict[tuple[str, int, int, int], tuple[list[object], Capabilities]] = {}
"""What cache files hold, by path, inode, time and size: planning and judging both ask."""


class _Cache:
    """The cache file of one binary."""

    def __init__(self, binary: str) -> None:
        try:
            status = Path(binary).stat()
        except OSError as error:
            raise BinaryError(
                f"{binary}: {error.strerror}", hint="check the path given with --qemu"
            ) from None
        self._key = [_SCHEMA, binary, status.st_mtime_ns, status.st_size]
        # Two paths with one name take turns; the key tells them apart.
        name = re.sub(r"[^\w.\-]", "_", binary, flags=re.ASCII)[-120:]
        home = memory_dir("qemu")
        # Another version of vmserial on this host has a file of its own: they would ask in turn.
        self._path = None if home is None else home / f"{name}-{_SCHEMA}.json"

    def load(self) -> Capabilities | None:
        """Return what is known, None if nothing is or the binary has changed."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
            written = str(self._path), status.st_ino, status.st_mtime_ns, status.st_size
            if written not in _READ:
                data = json.loads(self._path.read_bytes())
                _READ[written] = data["key"], unpacked(data["capabilities"])
            key, known = _READ[written]
            return known if key == self._key else None
        except (OSError, ValueError, KeyError, TypeError, UsageError):
            return None

    def store(self, capabilities: Capabilities) -> None:
        """Remember; a cache that cannot be written costs time, not the result."""
        if self._path is None:
            return
        data = {"key": self._key, "capabilities": packed(capabilities)}
        with contextlib.suppress(UsageError):
            write_atomic(self._path, json.dumps(data, separators=(",", ":")))


def _uarts_key(machine_type: str, machine_options: Sequence[tuple[str, str]]) -> str:
    return ",".join([machine_type, *(f"{key}={value}" for key, value in machine_options)])


def probe(
    binary: str,
    *,
    machine_types: Sequence[str] = (),
    machine_options: Sequence[tuple[str, str]] = (),
    arch: str = "",
    refresh: bool = False,
) -> Capabilities:
    """Return what ``binary`` has; asked at most once, then cached.

    Args:
        binary: from :func:`find`.
        machine_types: those whose on-board UARTs are wanted; the binary may lack some.
        machine_options: further ``-machine`` properties that the VM will have; they
            can change the number of UARTs (``secure=on``).
        arch: the target it must have; empty for any.
        refresh: ask again whatever the cache says.

    Raises:
        BinaryError: it does not start, is not QEMU, hangs, or is for another target.
    """
    cache = _Cache(binary)
    known = None if refresh else cache.load()
    capabilities = known or _ask(binary)
    if arch and capabilities.target != arch:
        raise BinaryError(
            f"{binary} is a QEMU for {capabilities.target}, not for {arch}",
            hint=f"name qemu-system-{arch} with --qemu, or leave it out",
        )
    here = {}
    for machine_type in dict.fromkeys(machine_types):
        if not machine_type or machine_type not in capabilities.machines:
            continue
        key = _uarts_key(machine_type, machine_options)
        if key not in capabilities.onboard_uarts:
            counted, keys = _count_uarts(binary, machine_type, machine_options)
            capabilities = replace(
                capabilities, onboard_uarts={**capabilities.onboard_uarts, key: counted},
                board_properties={**capabilities.board_properties, machine_type: keys},
            )  # fmt: skip
        here[machine_type] = capabilities.onboard_uarts[key]
    if capabilities is not known:
        cache.store(capabilities)
    return replace(capabilities, onboard_uarts={**capabilities.onboard_uarts, **here})


def measure_uarts(
    binary: str, machine_type: str, machine_options: Sequence[tuple[str, str]] = ()
) -> int:
    """Return how many on-board UARTs ``-serial`` reaches (8 stands for 8 or more).

    Raises:
        BinaryError: the binary has no such machine type, or the VM does not start.
    """
    found = probe(binary, machine_types=(machine_type,), machine_options=machine_options)
    if machine_type not in found.onboard_uarts:
        raise BinaryError(
            f"{binary} has no machine type {machine_type!r}",
            hint=f"its machine types are shown by {binary} -machine help",
        )
    return found.onboard_uarts[machine_type]


def too_old(capabilities: Capabilities) -> str:
    """Return a warning if the binary is older than what plans are tested with, else nothing."""
    if capabilities.version >= OLDEST:
        return ""
    oldest = ".".join(map(str, OLDEST[:2]))
    return f"QEMU {capabilities.version_text} is older than {oldest}, the oldest that is tested"


# ------------------------------------------------------------------ asking


def _ask(binary: str) -> Capabilities:
    from vmserial.qemu.ask import ask, not_qemu

    questions: dict[str, tuple[str, Mapping[str, Any]]] = {
        "target": ("query-target", {}),
        "machines": ("query-machines", {}),
        "chardevs": ("query-chardev-backends", {}),
        "devices": ("human-monitor-command", {"command-line": "info qdm"}),
        "cpus": ("query-cpu-definitions", {}),
    }
    for name in INTERESTING:
        questions[f"properties {name}"] = ("device-list-properties", {"typename": name})
    questions["accelerators"] = ("qom-list-types", {"implements": "accel"})
    answers = ask(
        binary,
        ["-machine", "none", "-nodefaults", "-display", "none", "-S"],
        questions,
        bound=PROBE_BOUND,
    )
    if not answers.greeting:
        raise not_qemu(binary, answers.outcome)
    try:
        return _capabilities(binary, answers)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise not_qemu(binary, answers.outcome) from None


def _capabilities(binary: str, answers: Answers) -> Capabilities:
    qemu = answers.greeting["qemu"]
    values = answers.values
    devices = _devices(values["devices"] if "devices" in values else _help(binary, "-device"))
    if not devices:
        raise ValueError("no devices")
    for name in INTERESTING:
        if f"properties {name}" in answers.fatal:
            devices.pop(name, None)  # its module is not installed; using it would abort too
        if name in devices:
            properties = frozenset(p["name"] for p in values.get(f"properties {name}", ()))
            devices[name] = replace(devices[name], properties=properties)
    aliases = {name: device.name for name, device in devices.items() if name != device.name}
    for alias, name in aliases.items():
        if name in devices:
            devices[alias] = devices[name]
        else:
            del devices[alias]
    types = {entry["name"] for entry in values.get("accelerators", ({"name": "tcg-accel"},))}
    return Capabilities(
        version=(int(qemu["major"]), int(qemu["minor"]), int(qemu["micro"])),
        target=str(values["target"]["arch"]),
        devices=devices,
        machines=by_name(
            MachineType(
                name=entry["name"],
                alias=entry.get("alias", ""),
                max_cpus=entry.get("cpu-max", 1),
                default=entry.get("is-default", False),
                deprecated=entry.get("deprecated", False),
            )
            for entry in values["machines"]
        ),
        # KVM and the like count only once they are proven: vmserial.qemu.accel.
        accelerators=frozenset({"tcg"} if "tcg-accel" in types else ()),
        chardevs=frozenset(entry["name"] for entry in values["chardevs"]),
        binary=binary,
        package=str(answers.greeting.get("package", "")).strip(" ()"),
        cpus=frozenset(str(entry["name"]).lower() for entry in values.get("cpus", ())),
    )


def _help(binary: str, flag: str) -> str:
    """Return QEMU's help text for ``flag``: the way that is left when ``info qdm`` fails."""
    from vmserial.qemu.ask import not_qemu, run_bounded

    outcome = run_bounded(
        [binary, "-machine", "none", "-nodefaults", "-display", "none", flag, "help"],
        bound=PROBE_BOUND,
    )
    if outcome.cut or outcome.returncode:
        raise not_qemu(binary, outcome)
    return outcome.output.decode(errors="replace")


def _devices(text: str) -> dict[str, DeviceType]:
    """Read QEMU's list of devices, the same text from ``info qdm`` and ``-device help``."""
    found: dict[str, DeviceType] = {}
    for line in text.splitlines():
        match = re.match(r'name "([^"]+)"(.*)', line)
        if match is None or match[2].endswith("no-user"):
            continue
        bus = re.search(r", bus ([^\s,]+)", match[2])
        alias = re.search(r', alias "([^"]+)"', match[2])
        for name in (match[1], alias[1] if alias else match[1]):
            bus_name = bus[1] if bus else ""
            found[name] = DeviceType(
                match[1],
                bus_name,
                hotpluggable=bus_name not in ("", "System", "ISA")
                and match[1] not in _NOT_PLUGGABLE,
            )
    return found


def _count_uarts(
    binary: str, machine_type: str, machine_options: Sequence[tuple[str, str]]
) -> tuple[int, frozenset[str]]:
    """Count the UARTs of a paused VM whose frontend is open on a chardev of ours.

    Returns:
        How many, and the properties of the board.
    """
    from vmserial.qemu.ask import ask

    words = ""
    given = tuple((k, v) for k, v in machine_options if k not in ("accel", "type"))
    for accelerator in ("tcg", "kvm"):  # paused, so even a KVM that hangs will do
        for count in _UARTS_TRIED:
            options = [
                Option("-machine", machine_type, given),
                Option("-accel", accelerator),
                Option("-nodefaults"),
                Option("-display", "none"),
                Option("-S"),
            ]
            for index in range(count):
                options.append(Option("-chardev", "null", (("id", f"uart{index}"),)))
                options.append(Option("-serial", raw=f"chardev:uart{index}"))
            answers = ask(
                binary, render(options),
                {"chardevs": ("query-chardev", {}), "board": ("qom-list", {"path": "/machine"})},
                bound=PROBE_BOUND,
            )  # fmt: skip
            if "chardevs" in answers.values:
                counted = sum(
                    1
                    for entry in answers.values["chardevs"]
                    if entry["label"].startswith("uart") and entry["frontend-open"]
                )
                board = answers.values.get("board", ())
                return counted, frozenset(
                    str(one["name"]) for one in board if not one["type"].startswith("child<")
                )
            if "invalid accelerator" in answers.outcome.words:
                break
            # What TCG says is the board's; KVM, tried after it, may not even be built in.
            words = words or answers.outcome.words
    raise BinaryError(
        f"{binary} does not start a {machine_type} to count its UARTs: {words or 'no words'}",
        hint="does it start by hand with that machine type? its firmware may be missing",
    )
