"""PVE's fixed map of PCI addresses, and the hardware that each of its VMs has; data alone.

Facts of qemu-server 9.2.6 (its PCI map, its ``pve-*.cfg`` files), as docs/pve.md
names them.  A place is ``(bus, slot)`` of the map; what the bus is called depends
on the board: bus 0 is ``pci.0`` (on q35 a bridge of that id) or ``pcie.0``, bus N
is ``pci.N``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from vmserial.options import Scalar

Board = Literal["i440fx", "q35", "aarch64"]
Params = tuple[tuple[str, Scalar], ...]


def _row(stem: str, first: int, bus: int, slot: int, count: int) -> Iterator[tuple[str, int, int]]:
    """Yield ``stem`` with the numbers from ``first`` on, in slots that follow each other."""
    for offset in range(count):
        yield f"{stem}{first + offset}", bus, slot + offset


PLACES: Mapping[str, tuple[int, int]] = {
    "vga": (0, 0x2), "balloon0": (0, 0x3), "watchdog": (0, 0x4), "pci.3": (0, 0x5),
    "scsihw0": (0, 0x5), "scsihw1": (0, 0x6), "ahci0": (0, 0x7), "qga0": (0, 0x8),
    "spice": (0, 0x9), "hostpci0": (0, 0x10), "hostpci1": (0, 0x11), "hostpci2": (0, 0x1B),
    "hostpci3": (0, 0x1C), "pci.1": (0, 0x1E), "pci.2": (0, 0x1F), "xhci": (1, 0x1B),
    "pci.4": (1, 0x1C), "rng0": (1, 0x1D), "pci.2-igd": (1, 0x1E), "ivshmem": (2, 0xB),
    "audio0": (2, 0xC), "legacy-igd": (0, 0x2),
    **{
        name: (bus, slot)
        for row in (
            ("virtio", 0, 0, 0xA, 6), ("virtio", 6, 2, 0x1, 10), ("net", 0, 0, 0x12, 6),
            ("net", 6, 1, 0x1, 26), ("vga", 1, 0, 0x18, 3), ("hostpci", 4, 2, 0xD, 12),
            ("scsihw", 2, 4, 0x1, 3), ("virtioscsi", 0, 3, 0x1, 31),
        )
        for name, bus, slot in _row(*row)
    },
}  # fmt: skip
"""Where each device is, by the map's name for it."""

ON_PCIE: Mapping[str, int] = {"vga": 0x1, "ivshmem": 0x14}
"""Slots on ``pcie.0`` of what q35 has there and not behind a bridge."""

WIN7_PCIE = (*range(0x10, 0x14), *range(0x9, 0x10), *range(0x15, 0x1A))
"""Slots on ``pcie.0`` of hostpci0 to hostpci15 with ``pcie=1``, where the guest is Windows 7."""

SOCKETS = "/var/run/qemu-server"
"""Where PVE puts the sockets of a VM: ``<VMID>.serialN``, ``<VMID>.qga``, ``<VMID>.qmp``."""

CFG = "/usr/share/qemu-server"
"""Where the files are that PVE's command names with -readconfig."""


def bus_name(board: Board, number: int) -> str:
    """Return what a bus of the map is called."""
    return "pcie.0" if board == "aarch64" and number == 0 else f"pci.{number}"


def at(board: Board, name: str) -> Params:
    """Return a device's ``bus=`` and ``addr=``."""
    if board == "q35" and name in ON_PCIE:
        return (("bus", "pcie.0"), ("addr", f"0x{ON_PCIE[name]:x}"))
    bus, slot = PLACES[name]
    return (("bus", bus_name(board, bus)), ("addr", f"0x{slot:x}"))


def bridge(board: Board, number: int, place: str = "") -> Params:
    """Return the keys of the bridge ``pci.N``."""
    name = f"pci.{number}"
    return (("id", name), ("chassis_nr", number), *at(board, place or name))


def _ehci(bus: str, slot: int, name: str, index: int) -> Iterator[tuple[str, Params]]:
    """Yield an ICH9 EHCI controller with its three companions, as QEMU's own example has them."""
    ehci = (("id", name), ("multifunction", True), ("bus", bus), ("addr", f"{slot:x}.7"))
    yield f"ich9-usb-ehci{index}", ehci
    first = 3 * (index - 1) + 1
    for offset in range(3):
        yield (
            f"ich9-usb-uhci{first + offset}",
            (
                ("id", f"uhci-{first + offset}"), ("multifunction", True), ("bus", bus),
                ("addr", f"{slot:x}.{offset}"), ("masterbus", f"{name}.0"),
                ("firstport", 2 * offset),
            ),
        )  # fmt: skip


def _q35(port: str) -> Iterator[tuple[str, Params]]:
    root = ("bus", "pcie.0")
    yield from _ehci("pcie.0", 0x1D, "ehci", 1)
    yield from _ehci("pcie.0", 0x1A, "ehci-2", 2)
    yield "ich9-intel-hda", (("id", "audio0"), root, ("addr", "1b.0"))
    for number in range(1, 5):
        yield (
            port,
            (
                ("id", f"ich9-pcie-port-{number}"), ("multifunction", True), root,
                ("addr", f"1c.{number - 1}"), ("port", number), ("chassis", number),
            ),
        )  # fmt: skip
    yield "i82801b11-bridge", (("id", "pcidmi"), root, ("addr", "1e.0"))
    for number in range(4):
        yield (
            "pci-bridge",
            (
                ("id", f"pci.{number}"), ("bus", "pcidmi"), ("addr", f"{number + 1:x}.0"),
                ("chassis_nr", number + 1),
            ),
        )  # fmt: skip


READCONFIG: Mapping[str, tuple[tuple[str, Params], ...]] = {
    f"{CFG}/pve-q35-4.0.cfg": tuple(_q35("pcie-root-port")),
    f"{CFG}/pve-q35.cfg": tuple(_q35("ioh3420")),
    f"{CFG}/pve-usb.cfg": tuple(_ehci("pci.0", 0x1D, "ehci", 1)),
}
"""The devices of each file that PVE's command names with -readconfig.

A lowered command has them as ``-device`` options of PVE's own instead of the file:
whoever judges it sees the buses, on a machine without PVE, too."""
