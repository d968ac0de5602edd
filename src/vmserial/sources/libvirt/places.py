"""The places of a domain's devices, those too that libvirt gives by itself.  Pure."""

from __future__ import annotations

from vmserial.model.origin import Gap
from vmserial.options import Scalar
from vmserial.sources.libvirt.boards import Board
from vmserial.sources.libvirt.chardevice import whole
from vmserial.sources.libvirt.devices import PartList
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.parts import (
    Part,
    Parts,
    ccw_order,
    pci_order,
    usb_order,
)
from vmserial.sources.libvirt.pci import ROOTS, PciAddress, PciBuses, Unplaced
from vmserial.sources.libvirt.ports import PortParts
from vmserial.sources.libvirt.usb import PORTS, Unplugged, UsbBuses
from vmserial.sources.libvirt.view import Domain
from vmserial.sources.libvirt.virtioserial import VirtioSerialNumbers

_BUS = frozenset({"bus", "addr", "multifunction"})
_USB, _USB_PORT = frozenset({"bus", "port"}), frozenset({"port"})
_SPAPR_FIRST, _SPAPR_STEP = 0x30000000, 0x1000


class Places:
    """Gives the devices of one domain their places."""

    def __init__(
        self, domain: Domain, on: Board, taken: PartList, parts: Parts, ports: PortParts
    ) -> None:
        self.domain, self.on, self.taken = domain, on, taken
        self.parts, self.ports = parts, ports
        self.gaps: list[Gap] = []

    def given(self) -> list[Gap]:
        """Give all of them; return what libvirt refuses, and what is not known."""
        VirtioSerialNumbers(self.domain, self.taken, self.ports, self.refused).give()
        self.spapr()
        if self.on.virtio == "ccw":
            self.ccw()
        self.usb()
        self.pci()
        return self.gaps

    def refused(self, words: str, element: Element | None = None, rule: str = "") -> None:
        """Note that libvirt refuses the domain.

        Args:
            words: libvirt's.
            element: what it is about; None: the domain.
            rule: the finding that says so too, of what QEMU would make of it.
        """
        about = element if element is not None else self.domain.root
        self.gaps.append(Gap("refused", words, about.where, rule, about))

    def is_port(self, element: Element | None) -> bool:
        """Tell whether an element is a port that the rules look at."""
        return any(port.element is element for port in self.domain.characters)

    # -------------------------------------------------------------- spapr-vio, ccw

    def spapr(self) -> None:
        """Give the registers of pseries."""
        taken: set[int] = set()
        waiting: list[Part] = []
        for port in self.domain.serials:
            part = self.ports.devices.get(port)
            if part is None or part.driver != "spapr-vty":
                continue
            address = port.address
            if address is None or not address.element.get("reg"):
                waiting.append(part)
                continue
            number = address.number("reg")
            if number in taken:
                self.refused(f"spapr-vio address {number:#x} already in use", port.element,
                             "spapr-vty-clash")  # fmt: skip
            taken.add(number)
            part.place = [("reg", number)]
        number = _SPAPR_FIRST
        for part in waiting:
            while number in taken:
                number += _SPAPR_STEP
            taken.add(number)
            part.place = [("reg", number)]
            part.automatic = frozenset({"reg"})

    def ccw(self) -> None:
        """Give the device numbers of s390x."""
        taken: set[str] = set()
        waiting: list[Part] = []
        for part in ccw_order(self.parts):
            address = part.element.child("address") if part.element is not None else None
            if address is None or "devno" not in address.values:
                waiting.append(part)
                continue
            place = (f"{whole(address.get('cssid'), 0xFE):x}.{whole(address.get('ssid')):x}."
                     f"{whole(address.get('devno')):04x}")  # fmt: skip
            taken.add(place)
            part.place = [("devno", place)]
        number = 0
        for part in waiting:
            while f"fe.0.{number:04x}" in taken:
                number += 1
            taken.add(f"fe.0.{number:04x}")
            part.place = [("devno", f"fe.0.{number:04x}")]
            part.automatic = frozenset({"devno"})

    # -------------------------------------------------------------- USB

    def usb(self) -> None:
        """Give the USB ports."""
        taken, parts = self.taken, self.parts
        devices = list(usb_order(parts, self.ports.serial_parts))
        if not taken.usb_models:
            if devices or parts.hubs:
                serial = any(part.driver == "usb-serial" for part in devices)
                self.refused("USB is disabled for this domain, but USB devices are present in the "
                             "domain XML", rule="usb-no-bus" if serial else "")  # fmt: skip
            return
        counts: dict[int, int] = {}
        for controller in self.domain.controllers_of("usb"):
            if controller.ports:
                counts[controller.index or 0] = controller.ports
        ports = {
            index: counts.get(index) or sum(PORTS.get(model, 0) for model in models)
            for index, models in taken.usb_models.items()
        }  # fmt: skip
        try:
            wanted = [part.usb for part in devices if part.usb is not None]
            hubs = [part.usb for part in parts.hubs if part.usb is not None]
            added = UsbBuses(ports).assign(hubs, wanted)
        except Unplugged as error:
            self.refused(str(error))
            added = []
        for part in (*parts.hubs, *devices):
            if part.usb is not None and part.usb.refused:
                rule = "usb-port-taken" if self.is_port(part.element) else ""
                missing = rule and part.usb.bus not in ports
                self.refused(part.usb.refused, part.element, "bus-missing" if missing else rule)
        first = len(parts.hubs)
        parts.hubs += [
            Part(None, "usb-hub", f"hub{first + number}", usb=hub)
            for number, hub in enumerate(added)
        ]
        for part in (*parts.hubs, *devices):
            usb = part.usb
            if usb is None or usb.place is None:
                continue
            bus, port = usb.place
            name = taken.usb_ids.get(bus) or ("usb" if not bus else f"usb{bus}")
            part.place = [("bus", f"{name}.0"), ("port", port)]
            if not usb.port:
                part.automatic = _USB if usb.bus is None else _USB_PORT

    # -------------------------------------------------------------- PCI

    def pci(self) -> None:
        """Give the PCI addresses, and add the controllers that they need."""
        parts, serials = self.parts, self.ports.serial_parts
        devices = list(pci_order(parts, serials))
        if not self.on.root:
            if devices:
                self.refused("No PCI buses available", rule="pci-no-bus")
            return
        root = parts.models.get(0, "")
        if root not in ROOTS:
            root = self.on.root
        reserved = self.chipset(devices)
        buses = PciBuses(root, parts.models, reserved)
        try:
            added = buses.assign(
                {n: p.pci for n, p in parts.pci.items() if p.pci is not None},
                [part.pci for part in devices if part.pci is not None],
            )
        except Unplaced as error:
            if "not followed" in str(error):
                self.gaps.append(Gap("addresses", str(error), self.domain.root.where))
            else:
                self.refused(str(error))
            return
        for part in (*parts.pci.values(), *devices):
            if part.pci is not None and part.pci.refused:
                ours = self.is_port(part.element) or part.driver.startswith("virtio-serial")
                self.refused(part.pci.refused, part.element, "pci-slot-taken" if ours else "")
        stated = list(parts.pci)
        for index, (model, device) in added.items():
            part = self.taken.pci_controller(None, model, index)
            part.pci = device
            parts.pci[index] = part
        parts.pci = {n: parts.pci[n] for n in (*sorted(stated), *sorted(added))}
        names = {0: self.on.bus0}
        names |= {index: part.id for index, part in parts.pci.items()}
        models = parts.models | {index: model for index, (model, _) in added.items()}
        for index, part in parts.pci.items():
            self.chassis(part, models[index], index)
        for part in (*parts.pci.values(), *devices):
            self.place_pci(part, names)

    def chassis(self, part: Part, model: str, index: int) -> None:
        """Give a PCI controller its numbers."""
        said = part.element.child("target") if part.element is not None else None
        address = part.pci.address if part.pci is not None else None

        def number(key: str, default: int) -> int:
            return whole(said.get(key), default) if said is not None else default

        keys: list[tuple[str, Scalar]] = []
        if model in {"pcie-root-port", "pcie-switch-downstream-port"} and address is not None:
            own = address.slot << 3 | address.function
            if model != "pcie-root-port":
                own = address.slot
            keys = [("port", number("port", own)), ("chassis", number("chassis", index))]
        elif model == "pci-bridge":
            keys = [("chassis_nr", number("chassisNr", index))]
        part.keys += keys

    def chipset(self, devices: list[Part]) -> list[tuple[int, int]]:
        """Return the places of bus 0 that the chipset has, and place what sits at a fixed one."""
        reserved: list[tuple[int, int]] = []
        videos = [part for part in self.parts.videos if part.pci is not None]
        first = videos[0].pci if videos else None
        used = {
            (part.pci.stated.slot) for part in devices
            if part.pci is not None and part.pci.stated is not None and not part.pci.stated.bus
        }  # fmt: skip
        if self.on.chipset == "i440fx":
            reserved = [(1, 0xFF)]
            if first is not None and first.stated is None and 2 not in used:
                first.stated = _first(2)
        elif self.on.chipset == "q35":
            reserved = [(0x1F, 0xFF)]
            if first is not None and first.stated is None and 1 not in used:
                first.stated = _first(1)
            free = [slot for slot in (0x1D, 0x1A) if slot not in used]
            for index, models in sorted(self.taken.usb_models.items()):
                if "ich9-uhci1" in models and free:
                    slot = free.pop(0)
                    for part in self.parts.controllers:
                        device = part.pci
                        if device is not None and device.companions == f"usb{index}":
                            device.stated = device.stated or _first(slot, device.function)
            for part in self.parts.sounds:
                if part.driver == "ich9-intel-hda" and part.pci is not None:
                    if part.pci.stated is None and 0x1B not in used:
                        part.pci.stated = _first(0x1B)
                    break
        return reserved

    def place_pci(self, part: Part, names: dict[int, str]) -> None:
        """Write a PCI device's place."""
        device = part.pci
        if device is None or device.address is None:
            return
        place = device.address
        keys: list[tuple[str, Scalar]] = [("bus", names[place.bus])]
        if device.multi:
            keys.append(("multifunction", True))
        text = f"{place.slot:#x}" + (f".{place.function:#x}" if place.function else "")
        part.place = [*keys, ("addr", text)]
        element = part.element
        address = element.child("address") if element is not None else None
        if address is None or "slot" not in address.values:
            part.automatic = _BUS


def _first(slot: int, function: int = 0) -> PciAddress:
    return PciAddress(0, slot, function)
