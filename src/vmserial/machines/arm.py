"""arm (32 bit): aarch64's ``virt``, ``vexpress-a15`` and ``vexpress-a9``."""

from __future__ import annotations

from dataclasses import replace

from vmserial.limits import PCI_SLOTS
from vmserial.machines.aarch64 import VIRT as VIRT_64
from vmserial.machines.base import PL011_CAUTION, PL011_EARLY, Architecture, OnBoardUart, Platform
from vmserial.model import NodeIdentity

VIRT = replace(
    VIRT_64,
    # Its PCI configuration space is above 4 GiB by default, where a kernel without LPAE, such
    # as Debian's armmp, cannot reach: "hw/arm/virt.c, highmem"; run with 6.1, 6.12 and 7.2.
    options=(("highmem", "off"),),
)


def _vexpress(name: str, base: int, step: int, dtb: str) -> Platform:
    return Platform(
        name=name,
        prefixes=(),
        root_bus="",
        virtio_mmio=4,
        pcie=False,
        # No PCI at all.
        board_slots=frozenset(range(PCI_SLOTS)),
        root_ports=0,
        isa=False,
        ide="",
        uart=OnBoardUart(
            model="pl011",
            cautions=(PL011_CAUTION, PL011_EARLY),
            identities=tuple(NodeIdentity("mmio", hex(base + n * step)) for n in range(4)),
            node="/dev/ttyAMA",
            assumed=lambda _: 4,
            source="hw/arm/vexpress.c: VE_UART0 to VE_UART3; four were alive with libvirt 9.0",
        ),
        virtio_serial="virtio-serial-device",
        dtb=dtb,
        source="hw/arm/vexpress.c",
    )


VEXPRESS_A15 = _vexpress("vexpress-a15", 0x1C090000, 0x10000, "vexpress-v2p-ca15-tc1.dtb")
"""The one that Debian's kernel boots: it has virtio-mmio, and its device tree is shipped."""

VEXPRESS_A9 = _vexpress("vexpress-a9", 0x10009000, 0x1000, "vexpress-v2p-ca9.dtb")

ARCHITECTURE = Architecture(
    name="arm",
    aliases=("armhf", "armv7", "armv7l"),
    debian="armhf",
    platforms=(VIRT, VEXPRESS_A15, VEXPRESS_A9),
    order=("uart", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="/usr/share/AAVMF/AAVMF32_CODE.fd",
    console="ttyAMA0",
    suites=("bookworm", "trixie", "sid"),
    flavour="armmp",
    guest_modules=("virtio_mmio",),
)
