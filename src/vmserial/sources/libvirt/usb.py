"""The USB ports that libvirt gives at a domain's start, and the hubs that it adds.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vmserial.limits import EHCI_PORTS, OHCI_PORTS, UHCI_PORTS, USB_HUB_PORTS, XHCI_DEFAULT_PORTS

PORTS = {
    "qemu-xhci": XHCI_DEFAULT_PORTS, "nec-xhci": XHCI_DEFAULT_PORTS, "ehci": EHCI_PORTS,
    "ich9-ehci1": EHCI_PORTS, "piix3-uhci": UHCI_PORTS, "piix4-uhci": UHCI_PORTS,
    "vt82c686b-uhci": UHCI_PORTS, "pci-ohci": OHCI_PORTS,
}  # fmt: skip
"""Ports of a controller as libvirt counts them; an ich9-uhci's are those of its ehci."""


@dataclass(eq=False)
class UsbDevice:
    """One device that needs a port.

    Attributes:
        bus: the controller's index, if it is said.
        port: such as ``1`` or ``1.2``, if it is said.
        hub: it has ports itself.
        place: bus and port that it got.
        refused: why libvirt does not take its address.
    """

    bus: int | None = None
    port: str = ""
    hub: bool = False
    place: tuple[int, str] | None = None
    refused: str = ""


class Unplugged(Exception):
    """libvirt refuses the domain: its words."""


@dataclass(eq=False)
class _Hub:
    ports: int
    taken: dict[int, _Hub | None] = field(default_factory=dict)

    def free(self) -> str:
        """Return the first free port, on this level before those below; empty if there is none."""
        for number in range(1, self.ports + 1):
            if number not in self.taken:
                return str(number)
        for number in sorted(self.taken):
            below = self.taken[number]
            if below is not None and (found := below.free()):
                return f"{number}.{found}"
        return ""


class UsbBuses:
    """Gives devices their ports.

    Args:
        ports: how many each bus has, by the index of its controller.
    """

    def __init__(self, ports: dict[int, int]) -> None:
        self.roots = {index: _Hub(ports[index]) for index in sorted(ports)}

    def assign(self, hubs: list[UsbDevice], devices: Sequence[UsbDevice]) -> list[UsbDevice]:
        """Place all; return the hubs that libvirt adds.

        Raises:
            Unplugged: there is no port.
        """
        for device in (*hubs, *devices):
            if device.port:
                self._reserve(device)
        room = sum(root.ports for root in self.roots.values()) + USB_HUB_PORTS * len(hubs)
        count = len(hubs) + len(devices)
        added = []
        if count > room:
            added = [
                UsbDevice(hub=True) for _ in range(-(-(count - room + 1) // (USB_HUB_PORTS - 1)))
            ]
        for device in (*hubs, *added, *devices):
            if device.place is None:
                self._place(device)
        return added

    def _place(self, device: UsbDevice) -> None:
        for index, root in self.roots.items():
            if device.bus in {None, index} and (port := root.free()):
                device.place = (index, port)
                self._take(root, port, device)
                return
        raise Unplugged("No free USB ports")

    def _reserve(self, device: UsbDevice) -> None:
        index = device.bus or 0
        root = self.roots.get(index)
        device.place = (index, device.port)
        if root is None:
            device.refused = f"Missing USB bus {index}"
        else:
            device.refused = self._take(root, device.port, device)

    def _take(self, root: _Hub, port: str, device: UsbDevice) -> str:
        """Take a port; return why libvirt does not."""
        bus = device.place[0] if device.place else 0
        numbers = [int(word) if len(word) < 6 and word.isdecimal() else 0
                   for word in port.split(".")]  # fmt: skip
        hub = root
        for number in numbers[:-1]:
            below = hub.taken.get(number)
            if below is None:
                return f"there is no hub at port {number} in USB address bus: {bus} port: {port}"
            hub = below
        last = numbers[-1]
        if not 1 <= last <= hub.ports:
            return f"requested USB port {port} not present on USB bus {bus}"
        if last in hub.taken:
            return f"Duplicate USB address bus {bus} port {port}"
        hub.taken[last] = _Hub(USB_HUB_PORTS) if device.hub else None
        return ""
