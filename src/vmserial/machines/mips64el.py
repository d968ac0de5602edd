"""mips64el: ``malta``; two UARTs of its super I/O chip and one of its board logic."""

from __future__ import annotations

from vmserial.limits import PCI_SLOTS
from vmserial.machines.base import Architecture, OnBoardUart, Platform
from vmserial.model import NodeIdentity

_SOCKETS = frozenset({0x12, 0x13, 0x14, 0x15})
"""Linux knows the interrupts of these four alone (arch/mips/pci/fixup-malta.c); 0 is the GT-64120,
0xa PIIX4.  A card elsewhere starts, and has no node (run: QEMU 7.2, Linux 6.1, slot 1)."""

MALTA = Platform(
    name="malta",
    prefixes=(),
    root_bus="pci",
    pcie=False,
    board_slots=frozenset(range(PCI_SLOTS)) - _SOCKETS,
    shared_slots={0xA: frozenset(range(4))},
    unwired_slots=frozenset(range(PCI_SLOTS)) - _SOCKETS - {0, 0xA},
    root_ports=0,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="16550A",
        identities=(
            NodeIdentity("io", "0x3f8"),
            NodeIdentity("io", "0x2f8"),
            NodeIdentity("mmio", "0x1f000900"),
        ),
        node="/dev/ttyS",
        assumed=lambda _: 3,
        source="hw/mips/malta.c: two of the super I/O chip, one at 0x1f000900 (CBUS)",
        is_8250=True,
    ),
    # The super I/O chip's (hw/isa/isa-superio.c makes them on a chardev of its own where none is).
    isa_always=2,
    unseen_isa="QEMU puts it at 3e8 or 2e8, and Linux looks at 3f8 and 2f8 alone, where the "
    "board's own two are (arch/mips/mti-malta/malta-platform.c; run with QEMU 7.2 and Linux 6.1)",
    default_slots=frozenset({0x12}),
    no_pci_hotplug="Debian's kernels for it have no PCI hot-plug",
    source="hw/mips/malta.c",
)

ARCHITECTURE = Architecture(
    name="mips64el",
    aliases=("mipsel64",),
    debian="mips64el",
    platforms=(MALTA,),
    order=("uart", "usb", "pci", "virtio"),
    # Debian's 5kc-malta says nothing on QEMU's own default, MIPS64R2-generic (run on 7.2).
    tcg_cpu="5KEc",
    firmware="",
    console="ttyS0",
    # Debian 13 has no mips64el any more.
    suites=("bookworm",),
    flavour="5kc-malta",
)
