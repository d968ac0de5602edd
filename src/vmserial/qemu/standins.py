"""Stand-ins: cheap devices at the places of a user's own in the private copy of a VM; pure.

A device that is taken out must not move the others: QEMU gives a device without
an address the next free one.  So each PCI and USB device that has no part in
serial ports is replaced by a cheap one that needs nothing of the host, at the
same place in the order and with the same address.
"""

from __future__ import annotations

import json
import re
from enum import Enum

from vmserial.context.ports import NO_PORT
from vmserial.model import Capabilities
from vmserial.options import Option, Scalar
from vmserial.sources.command import SERIAL_DRIVERS, DeviceEntry
from vmserial.sources.command.document import CommandOption

PROVABLE = frozenset({
    "isa-serial", "pci-serial", "pci-serial-2x", "pci-serial-4x", "usb-serial", "virtserialport",
    "virtconsole", "spapr-vty", "sclpconsole", "sclplmconsole",
})  # fmt: skip
"""Serial devices whose node a test guest can tell from all others."""

HOST_KEYS = frozenset({
    "audiodev", "chardev", "chardev1", "chardev2", "chardev3", "chardev4", "cryptodev", "display",
    "drive", "driveA", "driveB", "file", "fsdev", "host", "hostaddr", "hostdevice", "iothread",
    "mac", "memdev", "netdev", "numa_node", "romfile", "rng", "sysfsdev", "tpmdev", "vhostfd",
})  # fmt: skip
"""Properties that name something of the host, or another option that a private copy lacks."""

_USB_KEPT = frozenset({
    "usb-hub", "usb-tablet", "usb-mouse", "usb-kbd", "usb-wacom-tablet", "usb-serial"
})  # fmt: skip
_PCI_STAND_INS = ("virtio-rng-pci", "pci-testdev", "virtio-net-pci")
_USB_STAND_IN = "usb-mouse"
_MMIO_STAND_IN = "virtio-rng-device"

_BUS_BY_NAME = (
    (re.compile(r"vfio-pci|vfio-user-pci|.*-vga\Z|VGA\Z|ivshmem|.*-pci\Z|.*-pci-.*transitional"
                r"|nvme\Z|e1000|rtl8139|ahci|ich9-ahci|intel-hda|i6300esb|lsi|megasas|pvscsi"),
     "PCI"),
    (re.compile(r"usb-|u2f-"), "usb-bus"),
    (re.compile(r"scsi-|ide-|nvme-ns|floppy|ccid-card|hda-|sd-card"), "none of ours"),
)  # fmt: skip
"""Only where the binary was not asked for all its devices."""


class Fate(Enum):
    """What becomes of a device."""

    PORT = "a port to be proven"
    SERIAL = "a serial device that a test guest cannot prove"
    KEPT = "kept"
    STAND_IN = "replaced"
    OUT = "left out"
    UNKNOWN = "not in this binary"


def bus_of(driver: str, capabilities: Capabilities) -> str | None:
    """Return the bus that a driver sits on; None if the binary does not have the driver."""
    known = capabilities.devices.get(driver)
    if known is not None and known.bus:
        return known.bus
    for pattern, bus in _BUS_BY_NAME:
        if pattern.match(driver):
            return bus
    return "" if known is not None or not capabilities.devices else None


def fate(device: DeviceEntry, capabilities: Capabilities) -> Fate:
    """Tell what becomes of a device."""
    driver = device.driver
    if driver in SERIAL_DRIVERS and driver not in NO_PORT:
        if device.virtio_port is not None and "chardev" not in device.params:
            return Fate.KEPT
        return Fate.PORT if driver in PROVABLE else Fate.SERIAL
    controller = device.is_bridge or device.is_usb_controller or device.is_virtio_serial
    if controller or driver in _USB_KEPT:
        return Fate.KEPT
    bus = bus_of(driver, capabilities)
    if bus is None:
        return Fate.UNKNOWN
    return Fate.STAND_IN if bus in {"PCI", "usb-bus", "virtio-bus"} else Fate.OUT


def stand_in(device: DeviceEntry, capabilities: Capabilities) -> Option:
    """Return a device that takes the same place and needs nothing of the host."""
    bus = bus_of(device.driver, capabilities)
    has = capabilities.devices
    keys: tuple[str, ...]
    if bus == "usb-bus":
        driver, keys = _USB_STAND_IN, ("id", "bus", "port")
    elif bus == "virtio-bus":
        driver, keys = _MMIO_STAND_IN, ("id", "bus")
    else:
        driver = next((d for d in _PCI_STAND_INS if not has or d in has), _PCI_STAND_INS[0])
        keys = ("id", "bus", "addr", "multifunction")
    params: list[tuple[str, Scalar]] = [
        (key, device.params[key]) for key in keys if device.get(key)
    ]
    return option_of(driver, params, like=device.option)


def pci_stand_in(capabilities: Capabilities) -> Option:
    """Return one for a PCI device that another option than -device makes."""
    has = capabilities.devices
    driver = next((d for d in _PCI_STAND_INS if not has or d in has), _PCI_STAND_INS[0])
    return Option("-device", driver, role="other")


def option_of(
    driver: str, params: list[tuple[str, Scalar]], *, like: CommandOption, role: str = "other"
) -> Option:
    """Return a -device in the form of another one: QEMU makes those in JSON after all others."""
    if not like.params.is_json:
        return Option("-device", driver, tuple(params), role=role)
    whole: dict[str, Scalar] = {"driver": driver}
    for key, value in params:
        whole[key] = value == "on" if value in ("on", "off") else value
    return Option("-device", raw=json.dumps(whole), role=role)
