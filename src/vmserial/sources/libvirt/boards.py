"""What libvirt takes a machine type to have: its PCI bus, and what it adds without being asked.

Facts of libvirt 9.0, seen in what it makes of domains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ARM = frozenset({"arm", "aarch64"})
_MIPS = frozenset({"mips", "mipsel", "mips64", "mips64el"})
_VIRT = re.compile(r"virt(?:-|\Z)")
_I440FX = re.compile(r"pc(?:\Z|-i440fx|-[01])|rhel[67]|rhel-[67]")
_Q35 = re.compile(r"(?:pc-)?q35(?:-|\Z)")


@dataclass(frozen=True)
class Board:
    """A machine type as libvirt sees it.

    Attributes:
        root: ``pci-root`` or ``pcie-root``; empty: it has no PCI.
        chipset: ``q35``, ``i440fx`` or nothing: fixed places on bus 0.
        usb: model of the USB controller that each domain has; empty: none without being asked.
        usb_model: of a USB controller that names none.
        balloon: each domain has a balloon that names none.
        virtio: where virtio devices sit: ``pci``, ``ccw`` or ``mmio``.
        legacy_usb: libvirt writes ``-usb``.
        one_bus: the machine has one PCI bus, of this name, and libvirt has no number for another.
    """

    root: str
    chipset: str = ""
    usb: str = ""
    usb_model: str = "piix3-uhci"
    balloon: bool = True
    virtio: str = "pci"
    legacy_usb: bool = False
    one_bus: str = ""

    @property
    def bus0(self) -> str:
        """QEMU's name of the first PCI bus."""
        return self.one_bus or ("pcie.0" if self.root == "pcie-root" else "pci.0")


def board(arch: str, machine_type: str) -> Board:
    """Return what libvirt takes a machine type to have."""
    if arch == "x86_64":
        if _Q35.match(machine_type):
            return Board("pcie-root", "q35", "qemu-xhci")
        if not machine_type or _I440FX.match(machine_type):
            return Board("pci-root", "i440fx", "piix3-uhci")
        return Board("", usb="piix3-uhci")
    if arch in _ARM:
        model = "qemu-xhci" if arch == "aarch64" else "piix3-uhci"
        if _VIRT.match(machine_type):
            return Board("pcie-root", usb_model=model, balloon=False)
        root = "pci-root" if machine_type == "versatilepb" else ""
        virtio = "pci" if root else "mmio"
        return Board(root, usb_model=model, balloon=False, virtio=virtio, legacy_usb=True)
    if arch == "ppc64":
        if not machine_type or machine_type.startswith("pseries"):
            return Board("pci-root", usb="qemu-xhci", usb_model="qemu-xhci")
        return Board("pci-root", usb="pci-ohci", usb_model="pci-ohci")
    if arch == "s390x":
        return Board("", usb_model="none", virtio="ccw")
    if arch in {"riscv64", "loongarch64"}:
        root = "pcie-root" if _VIRT.match(machine_type) else ""
        return Board(root, balloon=arch == "riscv64", virtio="pci" if root else "mmio")
    if arch in _MIPS and machine_type in {"", "malta"}:
        return Board("pci-root", usb="piix3-uhci", one_bus="pci")
    return Board("")
