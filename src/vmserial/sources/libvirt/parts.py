"""The devices of a domain that have a place, and the orders in which libvirt places them.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vmserial.options import Scalar
from vmserial.sources.libvirt.boards import Board
from vmserial.sources.libvirt.chardevice import whole
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.pci import CONVENTIONAL, EXPRESS, PciAddress, PciDevice
from vmserial.sources.libvirt.usb import UsbDevice
from vmserial.sources.libvirt.view import Domain


@dataclass(eq=False)
class Part:
    """One device.

    Attributes:
        element: of the domain; None: libvirt adds it.
        driver, id: QEMU's.
        keys: besides its place.
        place: keys of its place.
        pci, usb: what it asks for, if it sits there.
        ccw: it sits on the channel subsystem.
        automatic: keys that libvirt chooses.
    """

    element: Element | None
    driver: str
    id: str
    keys: list[tuple[str, Scalar]] = field(default_factory=list)
    place: list[tuple[str, Scalar]] = field(default_factory=list)
    pci: PciDevice | None = None
    usb: UsbDevice | None = None
    ccw: bool = False
    automatic: frozenset[str] = frozenset()


@dataclass(eq=False)
class Parts:
    """All devices by what they are, in libvirt's order within each.

    Attributes:
        pci: the domain's PCI controllers without the root, by index.
        models: the domain's PCI controllers, the root among them, by index.
        controllers: the others, in the order in which libvirt has them.
        hubs, disks, nets, smartcards, inputs, videos, sounds, watchdogs, redirections, hosts,
            balloons, randoms, filesystems, vsocks: the others.
        unfollowed: elements whose place is not known.
    """

    pci: dict[int, Part] = field(default_factory=dict)
    models: dict[int, str] = field(default_factory=dict)
    controllers: list[Part] = field(default_factory=list)
    hubs: list[Part] = field(default_factory=list)
    disks: list[Part] = field(default_factory=list)
    nets: list[Part] = field(default_factory=list)
    smartcards: list[Part] = field(default_factory=list)
    inputs: list[Part] = field(default_factory=list)
    videos: list[Part] = field(default_factory=list)
    sounds: list[Part] = field(default_factory=list)
    watchdogs: list[Part] = field(default_factory=list)
    redirections: list[Part] = field(default_factory=list)
    hosts: list[Part] = field(default_factory=list)
    balloons: list[Part] = field(default_factory=list)
    randoms: list[Part] = field(default_factory=list)
    filesystems: list[Part] = field(default_factory=list)
    vsocks: list[Part] = field(default_factory=list)
    unfollowed: list[Element] = field(default_factory=list)


def pci_address(element: Element | None) -> PciAddress | None:
    """Return a stated PCI address."""
    address = element.child("address") if element is not None else None
    if address is None or address.get("type") != "pci" or "slot" not in address.values:
        return None
    return PciAddress(
        whole(address.get("bus"), 0), whole(address.get("slot"), 0), whole(address.get("function"))
    )


def pci_device(element: Element | None, needs: str) -> PciDevice:
    """Return what an element asks of PCI."""
    address = element.child("address") if element is not None else None
    multi = address.get("multifunction") if address is not None else ""
    return PciDevice(needs, pci_address(element), multi)


def usb_device(element: Element | None, *, hub: bool = False) -> UsbDevice:
    """Return what an element asks of USB."""
    return usb_place(element.child("address") if element is not None else None, hub=hub)


def usb_place(address: Element | None, *, hub: bool = False) -> UsbDevice:
    """Return what an ``<address>`` asks of USB; where there is none, any place."""
    said = address.values if address is not None else {}
    if said.get("type") != "usb":
        return UsbDevice(hub=hub)
    bus = whole(said["bus"], 0) if "bus" in said else None
    return UsbDevice(bus, said.get("port", ""), hub)


def alias(element: Element | None, default: str) -> str:
    """Return the id: a user's own alias, else libvirt's."""
    child = element.child("alias") if element is not None else None
    name = child.get("name") if child is not None else ""
    return name if name.startswith("ua-") else default


class PartMaker:
    """Makes the devices of a domain.

    Args:
        domain: the domain.
        on: what its machine type has.
    """

    def __init__(self, domain: Domain, on: Board) -> None:
        self.domain, self.on = domain, on
        self.parts = Parts()

    def virtio(
        self, name: str, element: Element | None, id: str, *keys: tuple[str, Scalar]
    ) -> Part:
        """Return a virtio device wherever such devices sit."""
        address = element.child("address") if element is not None else None
        said = address.get("type") if address is not None else ""
        sits = {"pci": "pci", "ccw": "ccw", "virtio-mmio": "mmio"}.get(said, self.on.virtio)
        if sits == "ccw":
            return Part(element, f"{name}-ccw", id, list(keys), ccw=True)
        if sits == "mmio":
            return Part(element, f"{name}-device", id, list(keys))
        driver, needs = f"{name}-pci", EXPRESS
        model = element.get("model") if element is not None else ""
        if model in {"virtio-transitional", "virtio-non-transitional"}:
            driver += model.removeprefix("virtio")
            needs = CONVENTIONAL if model == "virtio-transitional" else EXPRESS
        return Part(element, driver, id, list(keys), pci=self.pci(element, needs))

    def pci(self, element: Element | None, needs: str) -> PciDevice:
        """Return what a device asks of PCI: without PCIe there is one sort of slot."""
        return pci_device(element, needs if self.on.root == "pcie-root" else CONVENTIONAL)


def pci_order(parts: Parts, serials: list[Part]) -> Iterator[Part]:
    """Yield the devices on PCI in the order in which libvirt gives them places."""
    for part in (
        *parts.filesystems, *parts.nets, *parts.sounds, *parts.controllers, *parts.disks,
        *parts.hosts, *parts.balloons, *parts.randoms, *parts.watchdogs, *parts.videos,
        *parts.inputs, *serials, *parts.vsocks,
    ):  # fmt: skip
        if part.pci is not None:
            yield part


def ccw_order(parts: Parts) -> Iterator[Part]:
    """Yield the devices of s390x in the order in which libvirt gives them numbers."""
    for part in (
        *parts.disks, *parts.nets, *parts.controllers, *parts.inputs, *parts.filesystems,
        *parts.videos, *parts.balloons, *parts.randoms, *parts.vsocks,
    ):  # fmt: skip
        if part.ccw:
            yield part


def usb_order(parts: Parts, serials: list[Part]) -> Iterator[Part]:
    """Yield the devices on USB, without hubs, in the order in which libvirt gives them ports."""
    for part in (
        *parts.hosts, *parts.disks, *parts.controllers, *parts.inputs, *serials, *parts.sounds,
        *parts.redirections,
    ):  # fmt: skip
        if part.usb is not None:
            yield part
