"""The places that devices of a command line take: PCI, USB, virtio-serial, ISA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache

from vmserial.limits import PCI_FUNCTIONS, PCI_SLOTS, VIRTIO_SERIAL_PORTS
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
_VIRTIO_PORT = frozenset({"virtserialport", "virtconsole"})
_PCI_BRIDGE = re.compile(
    r"pcie-root-port|ioh3420|x3130-upstream|xio3130-downstream|pci-bridge|pcie-pci-bridge|"
    r"i82801b11-bridge|pxb|pxb-pcie|pxb-cxl|cxl-rp|cxl-upstream|cxl-downstream|pci-bridge-seat"
)


@lru_cache(maxsize=512)
def _makes_usb(driver: str) -> bool:
    return _USB_CONTROLLER.match(driver) is not None


@lru_cache(maxsize=512)
def _is_usb(driver: str) -> bool:
    return _USB.match(driver) is not None and not _makes_usb(driver)


@lru_cache(maxsize=512)
def _is_isa(driver: str) -> bool:
    return _ISA.match(driver) is not None


@lru_cache(maxsize=512)
def _is_bridge(driver: str) -> bool:
    return _PCI_BRIDGE.fullmatch(driver) is not None


@lru_cache(maxsize=512)
def _is_virtio_serial(driver: str) -> bool:
    return _VIRTIO_SERIAL.match(driver) is not None


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

    @property
    def bus(self) -> str:
        """The bus that it asks for, without the place on it."""
        return self.params.get("bus", "")

    @property
    def pci(self) -> PciPlace | None:
        """Its PCI address, if it has one."""
        place = pci_address(self.params.get("addr", ""))
        if place is None or _is_usb(self.driver) or _is_isa(self.driver):
            return None
        return PciPlace(self.bus, *place, is_on(self.get("multifunction")))

    @property
    def is_usb(self) -> bool:
        """It sits on a USB bus."""
        return _is_usb(self.driver)

    @property
    def is_usb_controller(self) -> bool:
        """It makes a USB bus."""
        return _makes_usb(self.driver)

    @property
    def is_bridge(self) -> bool:
        """It makes a PCI bus of its id's name."""
        return _is_bridge(self.driver)

    @property
    def usb(self) -> UsbPlace | None:
        """Its USB place, if it is a USB device."""
        return UsbPlace(self.bus, self.get("port")) if self.is_usb else None

    @property
    def virtio_port(self) -> VirtioPort | None:
        """Its place on a virtio-serial controller, if it is a port of one."""
        if self.driver not in _VIRTIO_PORT:
            return None
        return VirtioPort(self.bus, integer(self.get("nr")))

    @property
    def is_virtio_serial(self) -> bool:
        """It is a virtio-serial controller."""
        return _is_virtio_serial(self.driver)

    @property
    def max_ports(self) -> int:
        """Of a virtio-serial controller: how many ports it takes said."""
        found = integer(self.get("max_ports", self.get("max-ports")))
        return VIRTIO_SERIAL_PORTS if found is None else found

    @property
    def isa(self) -> IsaPlace | None:
        """What it asks for, if it is an ISA device."""
        if not _is_isa(self.driver):
            return None
        return IsaPlace(*(integer(self.get(key)) for key in ("index", "iobase", "irq")))
