"""The controllers of a domain, and those that libvirt adds.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vmserial.sources.libvirt.boards import Board
from vmserial.sources.libvirt.chardevice import whole
from vmserial.sources.libvirt.drives import drive_bus, drive_place
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.parts import Part, PartMaker, alias, pci_device, usb_device
from vmserial.sources.libvirt.pci import BUSES, CONVENTIONAL, EXPRESS, MODELS, PciAddress
from vmserial.sources.libvirt.view import Controller, Domain

USB_DRIVERS = {
    "piix3-uhci": "piix3-usb-uhci", "piix4-uhci": "piix4-usb-uhci", "ehci": "usb-ehci",
    "ich9-ehci1": "ich9-usb-ehci1", "ich9-uhci1": "ich9-usb-uhci1", "ich9-uhci2": "ich9-usb-uhci2",
    "ich9-uhci3": "ich9-usb-uhci3", "vt82c686b-uhci": "vt82c686b-usb-uhci",
    "pci-ohci": "pci-ohci", "nec-xhci": "nec-usb-xhci", "qemu-xhci": "qemu-xhci",
}  # fmt: skip
_COMPANIONS = {"ich9-ehci1": 7, "ich9-uhci1": 0, "ich9-uhci2": 1, "ich9-uhci3": 2}
"""PCI functions of the ich9 controllers, which share a slot."""

_SCSI = {"lsilogic": "lsi", "lsisas1068": "mptsas1068", "lsisas1078": "megasas",
         "vmpvscsi": "pvscsi", "am53c974": "am53c974", "dc390": "dc-390"}  # fmt: skip


class Controllers(PartMaker):
    """Takes the controllers.

    Attributes:
        usb_models: of each USB bus the models of its controllers.
        usb_ids: of each USB bus the id of its controller.
        usb_off: the domain has no USB.
    """

    def __init__(self, domain: Domain, on: Board) -> None:
        super().__init__(domain, on)
        self.usb_models: dict[int, list[str]] = {}
        self.usb_ids: dict[int, str] = {}
        self.usb_off = False

    def take_controllers(self, found: Mapping[str, list[Element]]) -> None:
        """Take those of the domain, and those that libvirt adds."""
        named = self.domain.controllers
        counts: dict[str, int] = {}
        for controller in named:
            most = max(counts.get(controller.type, -1), min(controller.index or 0, BUSES))
            counts[controller.type] = most
        # Those of one type stand together, by their index.
        for type in dict.fromkeys(controller.type for controller in named):
            mine = self.domain.controllers_of(type)
            for controller in sorted(mine, key=lambda each: each.index or 0):
                self.take_controller(controller, controller.index or 0)
        self.add_controllers(found, counts)

    def take_controller(self, controller: Controller, index: int) -> None:
        """Take one."""
        element, model = controller.element, controller.model
        if not 0 <= index < BUSES:
            self.parts.unfollowed.append(element)
            return
        match controller.type:
            case "pci":
                self.parts.models[index] = model or (self.on.root if not index else "")
                if index:
                    self.parts.pci[index] = self.pci_controller(element, model, index)
            case "usb":
                self.usb(element, model or self.on.usb_model, index, controller.ports)
            case "virtio-serial":
                self.virtio_serial(element, index, controller.ports, controller.vectors)
            case "scsi":
                self.scsi(element, model, index)
            case "sata" if index or self.on.chipset != "q35":
                self.parts.controllers.append(
                    Part(element, "ahci", alias(element, f"sata{index}"),
                         pci=self.pci(element, CONVENTIONAL))
                )  # fmt: skip
            case "ccid":
                self.ccid(element, index)

    def add_controllers(self, found: Mapping[str, list[Element]], counts: dict[str, int]) -> None:
        """Add what libvirt adds, in its order."""
        if "usb" not in counts:
            if self.on.usb:
                self.usb(None, self.on.usb, 0, None)
        elif not self.usb_off:
            for index in range(max(self.usb_models, default=-1)):
                if index not in self.usb_models:
                    self.usb(None, self.on.usb or self.on.usb_model, index, None)
        for index in self.of_disks(found, "scsi"):
            self.scsi(None, "", index)
        for index in self.of_disks(found, "sata"):
            if index or self.on.chipset != "q35":
                self.parts.controllers.append(
                    Part(None, "ahci", f"sata{index}", pci=self.pci(None, CONVENTIONAL))
                )
        if found.get("smartcard") and "ccid" not in counts:
            self.ccid(None, 0)

    def of_disks(self, found: Mapping[str, list[Element]], type: str) -> list[int]:
        """Return the controllers that the disks of a bus have, and the domain does not name."""
        places = [drive_place(d) for d in found.get("disk", ()) if drive_bus(d) == type]
        most = max((place[0] for place in places if place is not None), default=-1)
        named = {controller.index for controller in self.domain.controllers_of(type)}
        return [index for index in range(min(most + 1, BUSES)) if index not in named]

    def pci_controller(self, element: Element | None, model: str, index: int) -> Part:
        """Return a PCI controller; its chassis and port follow when it has its place."""
        known = MODELS.get(model)
        named = element.child("model") if element is not None else None
        driver = named.get("name") if named is not None else ""
        return Part(
            element, driver or (known.driver if known else ""),
            alias(element, self.on.one_bus or f"pci.{index}"),
            pci=pci_device(element, known.needs if known else ""),
        )  # fmt: skip

    def usb(self, element: Element | None, model: str, index: int, ports: int | None) -> None:
        """Take a USB controller."""
        if model == "none":
            self.usb_off = True
            return
        self.usb_models.setdefault(index, []).append(model)
        id = alias(element, "usb" if not index else f"usb{index}")
        needs = EXPRESS if "xhci" in model else CONVENTIONAL
        part = Part(element, USB_DRIVERS.get(model, model), id, pci=self.pci(element, needs))
        assert part.pci is not None
        master = element.child("master") if element is not None else None
        if model in _COMPANIONS:
            part.pci.companions = f"usb{index}"
            part.pci.function = _COMPANIONS[model]
        if master is not None:
            part.keys += [("masterbus", f"{self.usb_ids.get(index, id)}.0"),
                          ("firstport", whole(master.get("startport")))]  # fmt: skip
            part.id = ""
        else:
            self.usb_ids.setdefault(index, id)
        if ports is not None and "xhci" in model:
            part.keys += [("p2", ports), ("p3", ports)]
        if model == "piix3-uhci" and not index and self.on.chipset == "i440fx":
            part.pci.stated = part.pci.stated or PciAddress(0, 1, 2)
        self.parts.controllers.append(part)

    def virtio_serial(
        self, element: Element | None, index: int, ports: int | None, vectors: int | None
    ) -> None:
        """Take a virtio-serial controller."""
        part = self.virtio("virtio-serial", element, alias(element, f"virtio-serial{index}"))
        part.keys += [(key, value) for key, value in (("max_ports", ports), ("vectors", vectors))
                      if value is not None and value >= 0]  # fmt: skip
        self.parts.controllers.append(part)

    def scsi(self, element: Element | None, model: str, index: int) -> None:
        """Take a SCSI controller."""
        id = alias(element, f"scsi{index}")
        if not model and self.domain.arch == "ppc64":
            return  # spapr-vscsi
        if not model and self.domain.arch == "s390x":
            model = "virtio-scsi"
        if model.startswith("virtio"):
            self.parts.controllers.append(self.virtio("virtio-scsi", element, id))
        elif model != "ibmvscsi":
            self.parts.controllers.append(
                Part(element, _SCSI.get(model or "lsilogic", model), id,
                     pci=self.pci(element, CONVENTIONAL))
            )  # fmt: skip

    def ccid(self, element: Element | None, index: int) -> None:
        """Take a reader of smart cards."""
        self.parts.controllers.append(
            Part(element, "usb-ccid", alias(element, f"ccid{index}"), usb=usb_device(element))
        )
