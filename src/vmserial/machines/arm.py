"""arm (32 bit): aarch64's ``virt`` and ``vexpress-a9``, as far as planning and judging need."""

from __future__ import annotations

from vmserial.limits import PCI_SLOTS
from vmserial.machines.aarch64 import VIRT
from vmserial.machines.base import PL011_CAUTION, Architecture, OnBoardUart, Platform
from vmserial.model import NodeIdentity

VEXPRESS = Platform(
    name="vexpress-a9",
    prefixes=("vexpress-a15",),
    root_bus="",
    virtio_mmio=True,
    pcie=False,
    # No PCI at all.
    board_slots=frozenset(range(PCI_SLOTS)),
    root_ports=0,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="pl011",
        cautions=(PL011_CAUTION,),
        identities=tuple(NodeIdentity("mmio", hex(0x10009000 + n * 0x1000)) for n in range(4)),
        node="/dev/ttyAMA",
        assumed=lambda _: 4,
        source="hw/arm/vexpress.c: VE_UART0 to VE_UART3; four were alive with libvirt 9.0",
    ),
    virtio_serial="virtio-serial-device",
    source="hw/arm/vexpress.c",
)

ARCHITECTURE = Architecture(
    name="arm",
    aliases=("armhf", "armv7", "armv7l"),
    debian="armhf",
    platforms=(VIRT, VEXPRESS),
    order=("uart", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="/usr/share/AAVMF/AAVMF32_CODE.fd",
    console="ttyAMA0",
    test_guests=False,
)
