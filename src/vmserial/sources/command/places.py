"""The places that devices of a command line take: PCI, USB, virtio-serial, ISA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache

from vmserial.lazy import once
from vmserial.limits import PCI_FUNCTIONS, PCI_SLOTS, VIRTIO_SERIAL_PORTS
from vmserial.model.hardware import VIRTIO_PORTS
from vmserial.records import record
from vmserial.sources.command.document import CommandOption
from vmserial.values import integer, is_on

_PCI = re.compile(r"\s*\+?(?:0[xX])?0*([0-9A-Fa-f]{1,2})(?:\.\s*\+?(?:0[xX])?0*([0-9A-Fa-f]))?\Z")
_ISA = re.compile(r"isa-|ne2k_isa|sb16|adlib|cs4231a|gus|i8042|vmport|pvpanic\Z|applesmc")
_USB = re.compile(r"usb-(?!ehci|uhci|xhci|ohci)|u2f-|ccid-card")
_USB_CONTROLLER = re.compile(
    r"(?:.*-)?(?:usb-)?(?:ich9-)?(?:usb-)?(?:xhci|ehci|uhci|ohci)[a-z0-9-]*\Z|qemu-xhci|sysbus-ohci"
)
_VIRTIO_SERIAL = re.compile(r"virtio-serial(?:-(?:pci|device|ccw)(?:-(?:non-)?transitional)?)?\Z")
_TYPE_NAMES = {"virtio-serial": "virtio-serial-pci"}
_PCI_BRIDGE = re.compile(
    r"pcie-root-port|ioh3420|x3130-upstream|xio3130-downstream|pci-bridge|pcie-pci-bridge|"
    r"i82801b11-bridge|pxb|pxb-pcie|pxb-cxl|cxl-rp|cxl-upstream|cxl-downstream|pci-bridge-seat"
)


class Sort:
    """What a driver's name tells of the device.

    Attributes:
        usb, isa: it sits there.
        makes_usb: it is a USB controller.
        bridge: it makes a PCI bus.
        virtio_serial: it is a virtio-serial controller.
        virtio_port: it is a port of one.
        makes_bus: it is one of the three that make a bus.
    """

    __slots__ = (
        "bridge", "isa", "makes_bus", "makes_usb", "usb", "virtio_port", "virtio_serial",
    )  # fmt: skip

    def __init__(self, driver: str) -> None:
        self.makes_usb = _USB_CONTROLLER.match(driver) is not None
        self.usb = _USB.match(driver) is not None and not self.makes_usb
        self.isa = _ISA.match(driver) is not None
        self.bridge = _PCI_BRIDGE.fullmatch(driver) is not None
        self.virtio_serial = _VIRTIO_SERIAL.match(driver) is not None
        self.virtio_port = driver in VIRTIO_PORTS
        self.makes_bus = self.makes_usb or self.bridge or self.virtio_serial


# Devices are many, and their drivers few.
sort_of = lru_cache(maxsize=512)(Sort)


def pci_address(text: str) -> tuple[int, int] | None:
    """Return the slot and the function of a PCI ``addr=``; None: QEMU takes no such one.

    Hexadecimal with and without ``0x`` (hw/core/qdev-properties-system.c).
    """
    match = _PCI.match(text)
    if match is None:
        return None
    slot, function = int(match.group(1), 16), int(match.group(2) or "0", 16)
    return (slot, function) if slot < PCI_SLOTS and function < PCI_FUNCTIONS else None


@record(frozen=True)
class PciPlace:
    """A PCI address; ``bus`` is empty where QEMU chooses the root bus."""

    bus: str
    slot: int
    function: int
    multifunction: bool


@record(frozen=True)
class UsbPlace:
    """A USB port such as ``1.2`` of a bus; either may be empty: QEMU chooses."""

    bus: str
    port: str


@record(frozen=True)
class VirtioPort:
    """A port of a virtio-serial controller; ``nr`` is None where QEMU chooses."""

    bus: str
    nr: int | None


@record(frozen=True)
class IsaPlace:
    """What an ISA device asks for; None where QEMU chooses."""

    index: int | None
    iobase: int | None
    irq: int | None


@record(frozen=True)
class DeviceEntry:
    """A -device.

    Attributes:
        driver: the device's type.
        id: its id, or empty.
        params: its keys, with what -global sets before them and -set after them.
        option: where it comes from.
    """

    driver: str
    id: str
    params: Mapping[str, str] = field(hash=False)
    option: CommandOption

    def get(self, key: str, default: str = "") -> str:
        """Return a key's value."""
        return self.params.get(key, default)

    @property
    def type_name(self) -> str:
        """What QEMU calls its type in its messages, where the driver is a short name for it."""
        return _TYPE_NAMES.get(self.driver, self.driver)

    @once
    def sort(self) -> Sort:
        """What its driver's name tells."""
        return sort_of(self.driver)

    @once
    def bus(self) -> str:
        """The bus that it asks for, without the place on it."""
        return self.params.get("bus", "")

    @property
    def pci(self) -> PciPlace | None:
        """Its PCI address, if it has one."""
        address = self.params.get("addr")
        place = pci_address(address) if address else None
        if place is None or self.sort.usb or self.sort.isa:
            return None
        return PciPlace(self.bus, *place, is_on(self.get("multifunction")))

    @property
    def is_usb(self) -> bool:
        """It sits on a USB bus."""
        return self.sort.usb

    @property
    def is_usb_controller(self) -> bool:
        """It makes a USB bus."""
        return self.sort.makes_usb

    @property
    def is_bridge(self) -> bool:
        """It makes a PCI bus of its id's name."""
        return self.sort.bridge

    @property
    def usb(self) -> UsbPlace | None:
        """Its USB place, if it is a USB device."""
        return UsbPlace(self.bus, self.get("port")) if self.sort.usb else None

    @property
    def virtio_port(self) -> VirtioPort | None:
        """Its place on a virtio-serial controller, if it is a port of one."""
        if not self.sort.virtio_port:
            return None
        return VirtioPort(self.bus, integer(self.get("nr")))

    @property
    def is_virtio_serial(self) -> bool:
        """It is a virtio-serial controller."""
        return self.sort.virtio_serial

    @property
    def max_ports(self) -> int:
        """Of a virtio-serial controller: how many ports it takes said."""
        found = integer(self.get("max_ports", self.get("max-ports")))
        return VIRTIO_SERIAL_PORTS if found is None else found

    @property
    def isa(self) -> IsaPlace | None:
        """What it asks for, if it is an ISA device."""
        if not self.sort.isa:
            return None
        return IsaPlace(*(integer(self.get(key)) for key in ("index", "iobase", "irq")))
