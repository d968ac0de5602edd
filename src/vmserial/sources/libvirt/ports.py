"""The ports of a domain: the device, id and number of each.  Pure."""

from __future__ import annotations

from vmserial.lazy import once
from vmserial.options import Scalar
from vmserial.sources.libvirt.boards import Board
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.devices import PartList
from vmserial.sources.libvirt.parts import Part, alias, usb_place
from vmserial.sources.libvirt.pci import CONVENTIONAL
from vmserial.sources.libvirt.view import Domain

_CONSOLES = {"virtio": "virtconsole", "sclp": "sclpconsole", "sclplm": "sclplmconsole"}


class PortParts:
    """What the ports of a domain become.

    Attributes:
        ids: the id of each port's device: its alias.
        twice: ports whose alias another one has; their id is what libvirt would choose.
        devices: of each port that is a ``-device``.
        parts: the virtio-serial controllers that the ports ask for.
    """

    def __init__(self, domain: Domain, on: Board, taken: PartList) -> None:
        self.domain, self.on, self.taken = domain, on, taken
        self.ids: dict[CharDevice, str] = {}
        self.twice: dict[CharDevice, str] = {}
        given: set[str] = set()
        for port in domain.characters:
            id = own = port.name
            if "alias" in port.parts:
                id = alias(port.element, own)
            if id in given and id != own:
                self.twice[port], id = id, own
            given.add(id)
            self.ids[port] = id
        self.devices: dict[CharDevice, Part] = {}
        self.parts: list[Part] = []
        for port in domain.serials:
            self.serial(port)
        for port in domain.parallels:
            self.devices[port] = Part(port.element, "isa-parallel", self.ids[port])
        for port in domain.channels:
            if port.target_type == "virtio":
                keys: list[tuple[str, Scalar]] = []
                name = port.target_name
                if not name and port.type in {"spicevmc", "qemu-vdagent"}:
                    name = "com.redhat.spice.0"
                if name:
                    keys.append(("name", name))
                self.devices[port] = Part(port.element, "virtserialport", self.ids[port], keys)
        for port in domain.consoles:
            driver = _CONSOLES.get(port.target_type)
            if driver is not None:
                self.devices[port] = Part(port.element, driver, self.ids[port])

    @once
    def isa(self) -> dict[CharDevice, int]:
        """The ISA number of each serial port that has one."""
        return isa_numbers(self.domain)

    @once
    def serial_parts(self) -> list[Part]:
        """The devices of the serial ports, in order."""
        return [self.devices[port] for port in self.domain.serials if port in self.devices]

    def serial(self, port: CharDevice) -> None:
        """Take a ``<serial>``."""
        id, element = self.ids[port], port.element
        kind = self.domain.kind(port)
        if kind == "isa-serial" and self.domain.arch != "x86_64":
            kind = self.domain.usual_serial
        part: Part
        match kind:
            case "usb-serial":
                part = Part(element, "usb-serial", id, usb=usb_place(port.parts.get("address")))
            case "pci-serial":
                part = Part(element, "pci-serial", id, pci=self.taken.pci(element, CONVENTIONAL))
            case "spapr-vio-serial":
                part = Part(element, "spapr-vty", id)
            case "sclp-serial" | "sclplm-serial":
                model = port.target_model or (
                    "sclplmconsole" if port.target_type == "sclplm" else "sclpconsole"
                )
                part = Part(element, model, id)
            case "isa-debug":
                part = Part(element, "isa-debugcon", id, _isa(port))
            case "isa-serial":
                keys: list[tuple[str, Scalar]] = [("index", self.isa[port])]
                part = Part(element, "isa-serial", id, [*keys, *_isa(port)])
                if not port.target_port:
                    part.automatic = frozenset({"index"})
            case _:
                return  # -serial
        self.devices[port] = part


def _isa(port: CharDevice) -> list[tuple[str, Scalar]]:
    address = port.address
    if address is None or address.type != "isa":
        return []
    return [
        (key, address.number(key)) for key in ("iobase", "irq") if address.element.get(key)
    ]  # fmt: skip


def isa_numbers(domain: Domain) -> dict[CharDevice, int]:
    """Return the index of each isa-serial.

    Without a ``<target>`` libvirt counts on from the largest number of all serial ports; one
    that has no number in it gets the first that is free.
    """
    serials = domain.serials
    numbers = {p: whole(p.target_port, -1) for p in serials}
    largest = max(numbers.values(), default=-1)
    for port in serials:
        if port.target is None or port.element.name == "console":
            largest += 1
            numbers[port] = largest
    taken = set(numbers.values())
    for port in serials:
        if numbers[port] < 0 and domain.kind(port) == "isa-serial":
            number = next(n for n in range(len(serials) + 1) if n not in taken)
            taken.add(number)
            numbers[port] = number
    return numbers
