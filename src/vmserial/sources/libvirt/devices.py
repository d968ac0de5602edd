"""The devices of a domain beside its ports: what QEMU's device each element becomes.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vmserial.sources.libvirt.boards import Board
from vmserial.sources.libvirt.controllers import Controllers
from vmserial.sources.libvirt.drives import drive_bus, drive_number
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.parts import Part, Parts, alias, pci_address, usb_device
from vmserial.sources.libvirt.pci import CONVENTIONAL, EXPRESS
from vmserial.sources.libvirt.usb import UsbDevice
from vmserial.sources.libvirt.view import Domain

_VIDEO = {"cirrus": "cirrus-vga", "vga": "VGA", "bochs": "bochs-display", "vmvga": "vmware-svga"}
_VIRTIO_VGA = frozenset({"x86_64", "riscv64"})
_SOUND = {"ich6": "intel-hda", "ich9": "ich9-intel-hda", "ac97": "AC97", "es1370": "ES1370",
          "virtio": "virtio-sound-pci"}  # fmt: skip
_NIC_PCIE = frozenset({"virtio", "virtio-non-transitional", "e1000e", "igb", "vmxnet3"})
_INPUT = {"tablet": "tablet", "mouse": "mouse", "keyboard": "kbd"}


class PartList(Controllers):
    """Takes a domain's elements apart."""

    def __init__(self, domain: Domain, on: Board) -> None:
        super().__init__(domain, on)
        self.graphics = False

    def take(self) -> Parts:
        """Return the devices; ports are no part of them."""
        found = self.domain.by_name
        self.graphics = bool(found.get("graphics"))
        self.take_controllers(found)
        parts = self.parts
        for number, element in enumerate(found.get("hub", ())):
            parts.hubs.append(
                Part(element, "usb-hub", alias(element, f"hub{number}"),
                     usb=usb_device(element, hub=True))
            )  # fmt: skip
        self.take_disks(found.get("disk", []))
        for number, element in enumerate(found.get("interface", ())):
            self.take_net(element, number)
        for number, element in enumerate(found.get("smartcard", ())):
            parts.smartcards.append(
                Part(element, "ccid-card-passthru", alias(element, f"smartcard{number}"),
                     place=[("bus", "ccid0.0")])
            )  # fmt: skip
        self.take_inputs(found.get("input", []))
        self.take_screens(found.get("video", []))
        for number, element in enumerate(found.get("sound", ())):
            self.take_sound(element, number)
        for number, element in enumerate(found.get("redirdev", ())):
            parts.redirections.append(
                Part(element, "usb-redir", alias(element, f"redir{number}"),
                     usb=usb_device(element))
            )  # fmt: skip
        for number, element in enumerate(found.get("hostdev", ())):
            self.take_host(element, number)
        self.take_small(found)
        return parts

    def take_disks(self, elements: list[Element]) -> None:
        """Take the disks that sit on PCI or USB themselves."""
        numbers: dict[str, int] = {}
        for element in elements:
            target = element.child("target")
            bus = drive_bus(element)
            number = drive_number(target.get("dev") if target is not None else "")
            numbers[bus] = numbers.get(bus, -1) + 1
            if bus == "virtio":
                id = alias(element, f"virtio-disk{number if number >= 0 else numbers[bus]}")
                self.parts.disks.append(self.virtio("virtio-blk", element, id))
            elif bus == "usb":
                id = alias(element, f"usb-disk{number if number >= 0 else numbers[bus]}")
                self.parts.disks.append(Part(element, "usb-storage", id, usb=usb_device(element)))

    def take_net(self, element: Element, number: int) -> None:
        """Take a network card."""
        named = element.child("model")
        model = named.get("type") if named is not None else ""
        if not model:
            model = {"x86_64": "rtl8139", "s390x": "virtio"}.get(self.domain.arch, "virtio")
        id = alias(element, f"net{number}")
        if element.get("type") == "hostdev":
            self.parts.unfollowed.append(element)
        elif model.startswith("virtio"):
            self.parts.nets.append(self.virtio("virtio-net", element, id))
        elif model not in {"usb-net", "spapr-vlan", "lan9118", "smc91c111", "ne2k_isa"}:
            needs = EXPRESS if model in _NIC_PCIE else CONVENTIONAL
            self.parts.nets.append(Part(element, model, id, pci=self.pci(element, needs)))

    def take_inputs(self, elements: list[Element]) -> None:
        """Take keyboards, mice and tablets, and those that a screen of pseries comes with."""
        number = 0
        for element in elements:
            type, bus = element.get("type"), element.get("bus")
            if not bus:
                bus = "usb" if type == "tablet" or self.domain.arch != "x86_64" else "ps2"
            id = alias(element, f"input{number}")
            number += 1
            if bus == "usb":
                driver = f"usb-{_INPUT.get(type, type)}"
                self.parts.inputs.append(Part(element, driver, id, usb=usb_device(element)))
            elif bus == "virtio":
                name = {"passthrough": "input-host", "evdev": "input-host"}.get(type, type)
                self.parts.inputs.append(self.virtio(f"virtio-{name}", element, id))
        if self.domain.arch == "ppc64" and self.graphics:
            there = {element.get("type") for element in elements if element.get("bus") == "usb"}
            for type in ("keyboard", "mouse"):
                if type not in there:
                    self.parts.inputs.append(
                        Part(None, f"usb-{_INPUT[type]}", f"input{number}", usb=UsbDevice())
                    )
                    number += 1

    def take_screens(self, elements: list[Element]) -> None:
        """Take the graphics cards, and the one that a screen comes with."""
        found: list[tuple[Element | None, str]] = []
        for element in elements:
            named = element.child("model")
            found.append((element, named.get("type") if named is not None else ""))
        if not found and self.graphics:
            found = [(None, "")]
        usual = {"x86_64": "cirrus", "ppc64": "vga"}.get(self.domain.arch, "virtio")
        for number, (card, model) in enumerate(found):
            kind = model or usual
            id = alias(card, f"video{number}")
            if kind == "virtio":
                if self.on.virtio == "pci" and self.domain.arch in _VIRTIO_VGA and not number:
                    part = Part(card, "virtio-vga", id, pci=self.pci(card, EXPRESS))
                else:
                    part = self.virtio("virtio-gpu", card, id)
            elif kind in {"none", "ramfb"}:
                continue
            else:
                driver = _VIDEO.get(kind, kind)
                if kind == "qxl":
                    driver = "qxl" if number else "qxl-vga"
                needs = EXPRESS if kind == "bochs" else CONVENTIONAL
                part = Part(card, driver, id, pci=self.pci(card, needs))
            self.parts.videos.append(part)

    def take_sound(self, element: Element, number: int) -> None:
        """Take a sound card."""
        model, id = element.get("model"), alias(element, f"sound{number}")
        if model == "usb":
            self.parts.sounds.append(Part(element, "usb-audio", id, usb=usb_device(element)))
        elif model in _SOUND:
            self.parts.sounds.append(
                Part(element, _SOUND[model], id, pci=self.pci(element, CONVENTIONAL))
            )

    def take_host(self, element: Element, number: int) -> None:
        """Take a device of the host."""
        type, id = element.get("type"), alias(element, f"hostdev{number}")
        if type == "usb":
            self.parts.hosts.append(Part(element, "usb-host", id, usb=usb_device(element)))
        elif type in {"pci", "mdev"}:
            if pci_address(element) is None and self.on.root:
                # Its kind of slot depends on what the host's card is.
                self.parts.unfollowed.append(element)
            else:
                self.parts.hosts.append(
                    Part(element, "vfio-pci", id, pci=self.pci(element, EXPRESS))
                )

    def take_small(self, found: Mapping[str, list[Element]]) -> None:
        """Take what a domain has one of, mostly."""
        parts = self.parts
        for element in found.get("watchdog", ()):
            if element.get("model") == "i6300esb":
                parts.watchdogs.append(
                    Part(element, "i6300esb", alias(element, "watchdog0"),
                         pci=self.pci(element, CONVENTIONAL))
                )  # fmt: skip
        balloons: list[Element | None] = [*found.get("memballoon", ())]
        if not balloons and self.on.balloon:
            balloons = [None]
        for balloon in balloons:
            if balloon is None or balloon.get("model") != "none":
                parts.balloons.append(
                    self.virtio("virtio-balloon", balloon, alias(balloon, "balloon0"))
                )
        for number, element in enumerate(found.get("rng", ())):
            parts.randoms.append(self.virtio("virtio-rng", element, alias(element, f"rng{number}")))
        for number, element in enumerate(found.get("filesystem", ())):
            driver = element.child("driver")
            name = "virtio-9p"
            if driver is not None and driver.get("type") == "virtiofs":
                name = "vhost-user-fs"
            parts.filesystems.append(self.virtio(name, element, alias(element, f"fs{number}")))
        for element in found.get("vsock", ()):
            parts.vsocks.append(self.virtio("vhost-vsock", element, alias(element, "vsock0")))
        for name in ("shmem", "crypto", "iommu", "memory"):
            parts.unfollowed += [e for e in found.get(name, ()) if e.child("address") is None]
