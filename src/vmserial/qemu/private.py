"""The serial ports of a command line: which there are, their names and their places; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vmserial.context.ports import Port
from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.machines import Platform
from vmserial.model import SourceRef
from vmserial.options import Option
from vmserial.qemu.standins import Fate
from vmserial.sources.command import CommandView, DeviceEntry
from vmserial.sources.command.document import CommandOption


@dataclass(frozen=True)
class PrivatePort:
    """One serial port of the command.

    Attributes:
        name: ``serialN``.
        index: N.
        chardev_id: of its private backend.
        socket: the path of its private backend.
        driver: empty for -serial.
        device_id: of its device; empty for -serial.
        number: of -serial and of isa-serial, its index; of a card, the UART's number.
        bus: that its device asks for.
        params: its device's keys, as they are in the private command.
        provable: a test guest can tell its node.
        where: its place in the command.
        silent: its owner's host side is ``null``: nobody misses it where it is dead.
        host: its owner's host side, such as ``socket /run/a``; of two ports it may be the same.
        inline: its owner gave that with -serial itself, without a chardev.
    """

    name: str
    index: int
    chardev_id: str
    socket: str
    driver: str = ""
    device_id: str = ""
    number: int = 0
    bus: str = ""
    params: dict[str, str] = field(default_factory=dict, hash=False)
    provable: bool = True
    where: SourceRef | None = None
    silent: bool = False
    host: str = ""
    inline: bool = False


@dataclass(frozen=True)
class PrivateCommand:
    """A command line that touches nothing of its user's.

    Attributes:
        arch: QEMU's target name; empty if nothing tells it.
        machine_type: as given, without PVE's suffix.
        machine_options: the properties of -machine.
        options: without what is booted, and without a display.
        ports: in the order of their numbers.
        without_device: ports that were asked for by a chardev that no device uses: their names
            and the chardevs' ids.
        json_devices: some -device is JSON, which QEMU makes after all others.
        notes: what was left out or replaced.
    """

    arch: str
    machine_type: str
    options: tuple[Option, ...]
    ports: tuple[PrivatePort, ...]
    without_device: tuple[tuple[str, str], ...]
    json_devices: bool
    notes: tuple[str, ...]
    machine_options: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass
class Wanted:
    """A port as it is found.

    Attributes:
        chardev_id: the user's; empty for a backend that -serial itself makes.
        option: where it comes from; None for the -serial that QEMU adds.
        device: its device; None for -serial.
        key: its chardev's key there.
        number: as :attr:`PrivatePort.number`.
        provable: as :attr:`PrivatePort.provable`.
        name: ``serialN``.
        silent: as :attr:`PrivatePort.silent`.
        host: as :attr:`PrivatePort.host`.
        inline: as :attr:`PrivatePort.inline`.
    """

    chardev_id: str
    option: CommandOption | None
    device: DeviceEntry | None = None
    key: str = "chardev"
    number: int = 0
    provable: bool = True
    name: str = ""
    silent: bool = False
    host: str = ""
    inline: bool = False


def find(
    view: CommandView, fates: Mapping[CommandOption, Fate], named: Sequence[Port],
    board: Platform | None = None,
) -> list[Wanted]:  # fmt: skip
    """Return the serial ports of a command with their names, in order of appearance.

    Args:
        view: of the command.
        fates: what becomes of each -device.
        named: its ports as they are called when the command is judged.
        board: the machine type's facts, where they are known.
    """
    names = {(port.option, port.device.key if port.device else ""): port for port in named}
    numbers = {port.number for port in named}
    found: list[Wanted] = []
    if view.default_serial is not None:
        free = next(number for number in range(len(numbers) + 1) if number not in numbers)
        default = view.default_serial
        host = _host(default.backend, default.params)
        found.append(Wanted("", None, name=f"serial{free}", host=host, inline=True))
    on_board = {port.option: port for port in view.onboard}
    devices = {device.option: device for device in view.devices}
    isa = _isa_indices(view, board)
    for option in view.options:
        if port := on_board.get(option):
            if port.host.form in {"chardev", "inline"}:
                name = f"serial{names[option, ''].number}"
                inline = port.host.form == "inline"
                found.append(
                    Wanted(
                        port.host.chardev_id, option, number=port.index, name=name,
                        silent=inline and port.host.backend == "null",
                        host=_host(port.host.backend, port.host.params), inline=inline,
                    )
                )  # fmt: skip
        elif fates.get(option) in {Fate.PORT, Fate.SERIAL}:
            for wanted in _ports_of(view, devices[option]):
                wanted.provable = fates[option] is Fate.PORT
                wanted.number = isa.get(option, wanted.number)
                wanted.name = f"serial{names[option, wanted.key].number}"
                found.append(wanted)
    for wanted in found:
        entry = view.chardev(wanted.chardev_id) if wanted.chardev_id else None
        if entry is not None:
            wanted.host = _host(entry.backend, entry.params)
    return found


def _host(backend: str, params: Mapping[str, str]) -> str:
    """Return a host side by what tells it from others."""
    return " ".join([backend, *(params[key] for key in ("host", "port", "path") if key in params)])


def _ports_of(view: CommandView, device: DeviceEntry) -> list[Wanted]:
    return [
        Wanted(
            serial.chardev_id, device.option, device, serial.key,
            int(serial.key.removeprefix("chardev") or 1) - 1,
        )
        for serial in view.serial_devices
        if serial.device.option is device.option and serial.chardev_id
    ]  # fmt: skip


def _isa_indices(view: CommandView, board: Platform | None) -> dict[CommandOption, int]:
    """Return the index that QEMU gives each isa-serial (hw/char/serial-isa.c).

    It counts every one, those of -serial first, whether or not the count is used.
    """
    most = ISA_SERIAL_PORTS if board is None else board.isa_serials
    count = sum(port.host.form != "none" for port in view.onboard[:most])
    count += view.default_serial is not None and most > 0
    if board is not None and board.isa_always:
        count = board.isa_always
    found = {}
    # QEMU makes devices in JSON after all others.
    for device in sorted(view.devices, key=lambda one: one.option.params.is_json):
        if device.driver == "isa-serial":
            given = device.isa.index if device.isa is not None else None
            found[device.option] = count if given is None else given
            count += 1
    return found


def identity(view: CommandView, device: DeviceEntry, ports: Sequence[Wanted]) -> dict[str, str]:
    """Return what a device must say so that the nodes of its ports are found in the guest."""
    keys = {port.key: port.chardev_id for port in ports}
    if not ports:
        return keys
    name = ports[0].name
    if not device.id and device.driver.startswith(("pci-serial", "usb-serial")):
        # By it QEMU is asked for its address, and whether it is plugged in.
        keys["id"] = f"vmserial-{name}"
    if device.driver == "usb-serial" and _is_ambiguous(view, device, "serial"):
        keys["serial"] = name
    elif device.virtio_port is not None and not device.get("name"):
        taken = {one.get("name") for one in view.devices}
        keys["name"] = f"vmserial.{name}" if name in taken else name
    return keys


def _is_ambiguous(view: CommandView, device: DeviceEntry, key: str) -> bool:
    """Tell whether a device's key is missing, or an earlier device has the same."""
    value = device.get(key)
    for other in view.devices:
        if other is device:
            break
        if other.driver == device.driver and other.get(key) == value:
            return True
    return not value
