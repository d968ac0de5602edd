"""The serial ports of a command line: what each is called, and what stands for it.

A port is a ``-serial``, a serial device, or a chardev of a port's name
(``serial4``, libvirt's ``charserial4``) that no device uses: that one was asked
for and got no device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import count

from vmserial.limits import HVC_NODE
from vmserial.machines import Platform
from vmserial.records import record
from vmserial.sources.command import (
    ChardevEntry,
    CommandOption,
    CommandView,
    PortOption,
    SerialDevice,
)

NO_PORT = frozenset({"isa-debugcon", "isa-parallel", "usb-braille", "x-terminal3270"})
"""Devices that have a chardev and are no serial port."""

_NUMBERED = re.compile(r"(?:char)?serial[-_.]?([0-9]{1,3})\Z")
_AGENTS = frozenset({"qga0", "charchannel0"})
"""The chardevs of the guest's agent, as PVE and libvirt call them."""

_OTHERS_CHANNEL = re.compile(r"(?:org|com)\.")
"""How the names of virtio ports begin that are a program's, as ``org.qemu.guest_agent.0``."""


@record(frozen=True, eq=False)
class Port:
    """One serial port of a command line.

    Attributes:
        name: ``serialN``; of a program's channel, the channel's name.
        number: N; of a program's channel, a number that no port has.
        chardev_id: its chardev's id; empty where none is named.
        option: what stands for it.
        device: its device, if it is one.
        onboard: its ``-serial``, if it is one.
        channel: it is a program's own channel (the guest agent's), not a port for people.
    """

    name: str
    number: int
    chardev_id: str
    option: CommandOption
    device: SerialDevice | None = None
    onboard: PortOption | None = None
    channel: bool = False

    @property
    def driver(self) -> str:
        """Its device's driver; empty where it has none."""
        return self.device.device.driver if self.device else ""

    @property
    def subject(self) -> str:
        """The option as QEMU names it in its messages, ``-device isa-serial,…``."""
        return f"-{self.option.name} {self.option.value}"


def takes_hvc(port: Port, platform: Platform | None) -> bool:
    """Tell whether Linux serves a port by one of its few hvc lines."""
    if port.driver in ("virtconsole", "spapr-vty"):
        return True
    uart = platform.uart if platform else None
    if uart is None or uart.node != HVC_NODE:
        return False
    return port.onboard is not None and port.onboard.host.form != "none"


class PortNames:
    """The ports of a command line by what else they are known by.

    Attributes:
        places: the place of each among the ports, by its name.
    """

    def __init__(self, ports: tuple[Port, ...]) -> None:
        self._ports = ports
        # Of several the first.
        last_first = list(enumerate(ports))[::-1]
        self.places = {port.name: place for place, port in last_first}
        self._by_option = {id(port.option): place for place, port in last_first}
        self._by_chardev = {port.chardev_id: place for place, port in last_first}

    def at(self, option: CommandOption, chardev_id: str) -> tuple[str, ...]:
        """Return the name of the first port that is an option or has a chardev."""
        places = [self._by_option.get(id(option))]
        if chardev_id:
            places.append(self._by_chardev.get(chardev_id))
        first = min((place for place in places if place is not None), default=None)
        return () if first is None else (self._ports[first].name,)

    def user(self, chardev_id: str) -> str:
        """Return the name of the port that has a chardev; else the chardev's id."""
        place = self._by_chardev.get(chardev_id)
        return chardev_id if place is None else self._ports[place].name

    def of_option(self, option: CommandOption) -> str:
        """Return the name of the port that an option is; else nothing."""
        place = self._by_option.get(id(option))
        return "" if place is None else self._ports[place].name


def ports_of(view: CommandView, labels: Mapping[str, str] | None = None) -> tuple[Port, ...]:
    """Return the serial ports of a command line, in its order.

    Args:
        view: what the command line says.
        labels: names that the ports' chardevs have in the source that was lowered to it, and
            would have of those that it asks for in vain: no other port is called so.
    """
    own = labels or {}
    found: list[tuple[str, CommandOption, SerialDevice | None, PortOption | None]] = [
        (port.host.chardev_id, port.option, None, port)
        for port in view.onboard
        if port.host.form != "none"
    ]
    found += [
        (device.chardev_id, device.device.option, device, None)
        for device in view.serial_devices
        if device.device.driver not in NO_PORT and (device.chardev_id or device.key == "chardev")
    ]
    used = view.used
    found += [
        (entry.id, entry.option, None, None)
        for entry in view.chardevs
        if entry.id not in used
        and _NUMBERED.match(own.get(entry.id, entry.id))
        and first_of_id(view, entry)
    ]
    if len({(each[2] is None, each[3] is None) for each in found}) > 1:
        # Those of one sort are in the command's order already.
        place = {id(option): index for index, option in enumerate(view.options)}
        found.sort(key=lambda each: place[id(each[1])])
    return tuple(_named(found, own))


def numbers_of(labels: Mapping[str, str]) -> set[int]:
    """Return N of each ``serialN`` among a source's names."""
    return {int(match[1]) for name in labels.values() if (match := _NUMBERED.match(name))}


def bare_chardev(port: Port) -> str | None:
    """Return what stands behind a ``chardev`` that has no value; None: it has one.

    ``-device usb-serial,chardev,digi``: QEMU reads both words as properties that are on.
    """
    if port.device is None or port.device.key not in port.option.params.bare:
        return None
    items = port.option.params.items
    for item, after in zip(items, [*items[1:], None], strict=True):
        if item.key == port.device.key and item.written == "bare":
            return after.key if after is not None and after.written == "bare" else ""
    return None


def first_of_id(view: CommandView, entry: ChardevEntry) -> bool:
    """Tell whether no chardev before this one has its id."""
    return view.chardev(entry.id) is entry


def _named(
    found: Iterable[tuple[str, CommandOption, SerialDevice | None, PortOption | None]],
    labels: Mapping[str, str],
) -> list[Port]:
    """Give each its number: the one that its chardev's id says, else the next free one."""
    entries = list(found)
    said: list[tuple[int | None, str]] = []
    numbered: set[int] = set()
    for chardev_id, *_ in entries:
        given = labels.get(chardev_id, "")
        match = _NUMBERED.match(given or chardev_id)
        number = int(match[1]) if match else None
        # A name of the source's that has no number is the port's as it is.
        said.append((None if number in numbered else number, "" if match else given))
        if number is not None:
            numbered.add(number)
    numbered |= numbers_of(labels)
    free = iter(number for number in count() if number not in numbered)
    ports = []
    for (chardev_id, option, device, onboard), (number, name) in zip(entries, said, strict=True):
        number = next(free) if number is None else number
        label = device.device.params.get("name", "") if device else ""
        programs = label and _OTHERS_CHANNEL.match(label) is not None
        channel = bool(programs) or chardev_id in _AGENTS
        if not name and channel and not labels.get(chardev_id):
            name = label or chardev_id
        name = name or f"serial{number}"
        ports.append(Port(name, number, chardev_id, option, device, onboard, channel))
    return ports
