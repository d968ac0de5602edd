"""The serial ports of a command line: which there are, their names and their places; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmserial.formats.argv import CommandView, DeviceEntry
from vmserial.formats.argv.document import CommandOption
from vmserial.model import SourceRef
from vmserial.options import Option
from vmserial.qemu.standins import Fate

SERIAL_NAME = re.compile(r"(?:char)?serial([0-9]{1,6})\Z")
"""A chardev's id that says which port it is: PVE's and ours, libvirt's."""


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


@dataclass(frozen=True)
class PrivateCommand:
    """A command line that touches nothing of its user's.

    Attributes:
        arch: QEMU's target name; empty if nothing tells it.
        machine_type: as given, without PVE's suffix.
        options: without what is booted, and without a display.
        ports: in the order of their numbers.
        without_device: chardevs that are named as ports and that no device uses.
        json_devices: some -device is JSON, which QEMU makes after all others.
        notes: what was left out or replaced.
    """

    arch: str
    machine_type: str
    options: tuple[Option, ...]
    ports: tuple[PrivatePort, ...]
    without_device: tuple[str, ...]
    json_devices: bool
    notes: tuple[str, ...]


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
    """

    chardev_id: str
    option: CommandOption | None
    device: DeviceEntry | None = None
    key: str = "chardev"
    number: int = 0
    provable: bool = True
    name: str = ""


def find(view: CommandView, fates: Mapping[CommandOption, Fate]) -> list[Wanted]:
    """Return the serial ports of a command with their names, in order of appearance.

    Args:
        view: of the command.
        fates: what becomes of each -device.
    """
    found: list[Wanted] = []
    if view.default_serial is not None:
        found.append(Wanted("", None))
    on_board = {port.option: port for port in view.onboard}
    devices = {device.option: device for device in view.devices}
    isa = _isa_indices(view)
    for option in view.options:
        if port := on_board.get(option):
            if port.host.form in {"chardev", "inline"}:
                found.append(Wanted(port.host.chardev_id, option, number=port.index))
        elif fates.get(option) in {Fate.PORT, Fate.SERIAL}:
            for wanted in _ports_of(view, devices[option]):
                wanted.provable = fates[option] is Fate.PORT
                wanted.number = isa.get(option, wanted.number)
                found.append(wanted)
    _name(found, {serial_number(one) for one in without_device(view)})
    return found


def _ports_of(view: CommandView, device: DeviceEntry) -> list[Wanted]:
    return [
        Wanted(
            serial.chardev_id, device.option, device, serial.key,
            int(serial.key.removeprefix("chardev") or 1) - 1,
        )
        for serial in view.serial_devices
        if serial.device.option is device.option and serial.chardev_id
    ]  # fmt: skip


def _isa_indices(view: CommandView) -> dict[CommandOption, int]:
    """Return the index that QEMU gives each isa-serial (hw/char/serial-isa.c).

    It counts every one, those of -serial first, whether or not the count is used.
    """
    count = sum(port.host.form != "none" for port in view.onboard[:4])
    count += view.default_serial is not None
    found = {}
    # QEMU makes devices in JSON after all others.
    for device in sorted(view.devices, key=lambda one: one.option.params.is_json):
        if device.driver == "isa-serial":
            given = device.isa.index if device.isa is not None else None
            found[device.option] = count if given is None else given
            count += 1
    return found


def _name(ports: list[Wanted], taken: set[int]) -> None:
    """Name ports by their chardevs' ids, the others by the next number that is free."""
    rest: list[Wanted] = []
    for wanted in ports:
        number = serial_number(wanted.chardev_id)
        if number < 0 or number in taken:
            rest.append(wanted)
            continue
        taken.add(number)
        wanted.name = f"serial{number}"
    for wanted in rest:
        # The second -serial is serial1 also where the first one is none.
        number = wanted.number if wanted.device is None else -1
        if number < 0 or number in taken:
            number = next(n for n in range(len(taken) + 1) if n not in taken)
        taken.add(number)
        wanted.name = f"serial{number}"


def without_device(view: CommandView) -> tuple[str, ...]:
    """Return the ids of chardevs that are named as ports and that nothing uses."""
    used = {use.chardev_id for use in view.uses()}
    return tuple(
        entry.id for entry in view.chardevs if serial_number(entry.id) >= 0 and entry.id not in used
    )


def serial_number(chardev_id: str) -> int:
    """Return N of ``serialN`` and ``charserialN``; -1 for any other id."""
    match = SERIAL_NAME.match(chardev_id)
    return int(match[1]) if match else -1
