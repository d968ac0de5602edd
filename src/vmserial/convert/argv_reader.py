"""A QEMU command line as a Machine: its serial ports, and what its board needs."""

from __future__ import annotations

import re

from vmserial.errors import UsageError
from vmserial.formats.argv import CommandLine, CommandView
from vmserial.formats.argv.view import ReadFile
from vmserial.machines import architecture
from vmserial.model import Chardev, Cpu, DirectBoot, Machine, Note, SerialPort, Topology
from vmserial.repair.ports import Port, ports_of

_KINDS = {
    "isa-serial": "isa", "pci-serial": "pci", "pci-serial-2x": "pci-2x",
    "pci-serial-4x": "pci-4x", "usb-serial": "usb", "virtserialport": "virtio",
    "virtconsole": "virtconsole",
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,9})([kKmMgGtT]?)")
_MIB = {"k": 1 / 1024, "": 1, "m": 1, "g": 1024, "t": 1 << 20}
_SERIAL = frozenset({"chardev", "serial", "device", "machine", "M", "m", "smp", "cpu", "accel",
                     "enable-kvm", "kernel", "initrd", "append", "name", "nodefaults", "display",
                     "nographic", "set", "global", "uuid", "readconfig"})  # fmt: skip


def machine(command: CommandLine, *, arch: str = "", read_file: ReadFile | None = None) -> Machine:
    """Translate a command line.

    Args:
        command: the command line.
        arch: the architecture where the emulator's name does not tell it.
        read_file: reads the files of -readconfig.

    Raises:
        UsageError: nothing tells the architecture, or nobody knows it.
        ConfigError: a value is broken.
    """
    view = CommandView.of(command, arch=arch, read_file=read_file)
    name = view.arch or arch
    if not name:
        raise UsageError(
            "nothing tells the architecture of this command",
            hint="give --arch aarch64 or --arch x86_64",
            where=command.file,
        )
    known = architecture(name)
    platform = known.platform(view.machine_type)
    notes: list[Note] = []
    ports: list[SerialPort] = []
    for port in ports_of(view):
        chardev = _chardev(view, port)
        if port.channel:
            continue
        if chardev is None:
            text = f"{port.name}: its backend ({port.option}) has no counterpart"
            notes.append(Note("untranslated", text, port.option.where, "choose another one"))
            continue
        kind = _KINDS.get(port.driver, "auto")
        if port.onboard is not None and platform is not None and platform.isa:
            kind = "isa"
        if port.device and port.driver not in _KINDS:
            text = f"{port.name}: {port.driver} becomes the kind that fits"
            notes.append(Note("replaced", text, port.option.where))
        ports.append(SerialPort(port.number, chardev, kind=kind, where=port.option.where))
    rest = sorted({o.name for o in view.options} - _SERIAL)
    if rest:
        notes.append(
            Note("untranslated", f"not a part of the serial ports: -{', -'.join(rest)}", None)
        )
    return Machine(
        known.name,
        tuple(sorted(ports, key=lambda port: port.index)),
        name=_name(view),
        machine_type=view.machine_type.partition("+pve")[0],
        memory_mib=_memory(view),
        cpu=_cpu(view),
        topology=_topology(view),
        accel="kvm" if view.accelerators[:1] == ("kvm",) else
        "tcg" if view.accelerators[:1] == ("tcg",) else "auto",
        boot=_boot(view),
        notes=(*view.notes, *notes),
        origin="argv",
    )  # fmt: skip


def _chardev(view: CommandView, port: Port) -> Chardev | None:
    if port.onboard is not None and port.onboard.host.form == "inline":
        return port.onboard.host.chardev
    entry = view.chardev(port.chardev_id)
    return entry.chardev if entry else None


def _last(view: CommandView, name: str) -> str:
    values = [option.value or "" for option in view.options if option.name == name]
    return values[-1] if values else ""


def _name(view: CommandView) -> str:
    options = [option for option in view.options if option.name == "name"]
    name = options[-1].params.get("guest") if options else ""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:63]
    return name or "vm"


def _memory(view: CommandView) -> int:
    options = [option for option in view.options if option.name == "m"]
    match = _SIZE.fullmatch(options[-1].params.get("size")) if options else None
    if match is None:
        return 512
    return min(max(int(int(match.group(1)) * _MIB[match.group(2).lower()]), 16), 4 << 20)


def _cpu(view: CommandView) -> Cpu:
    model, *flags = _last(view, "cpu").split(",")
    return Cpu(model, tuple(flag for flag in flags if flag)) if model else Cpu()


def _topology(view: CommandView) -> Topology:
    options = [option for option in view.options if option.name == "smp"]
    found = options[-1].params.get("cpus") if options else ""
    count = int(found) if re.fullmatch(r"[1-9][0-9]{0,3}", found) else 1
    return Topology(count, 1, count)


def _boot(view: CommandView) -> DirectBoot | None:
    kernel = _last(view, "kernel")
    return DirectBoot(kernel, _last(view, "initrd"), _last(view, "append")) if kernel else None
