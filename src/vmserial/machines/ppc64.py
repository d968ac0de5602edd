"""ppc64: ``pseries``; each ``-serial`` is a spapr-vty of its own."""

from __future__ import annotations

from vmserial.machines.base import Architecture, OnBoardUart, Platform
from vmserial.model import NodeIdentity

PSERIES = Platform(
    name="pseries",
    prefixes=("pseries-",),
    root_bus="pci.0",
    pcie=False,
    board_slots=frozenset({0}),
    root_ports=0,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="spapr-vty",
        # The 256th fails: "IRQ 4352 is not free".  100 were run.
        identities=tuple(NodeIdentity("vio", hex(0x30000000 + n * 0x1000)) for n in range(100)),
        node="/dev/hvc",
        assumed=lambda _: 100,
        source="hw/ppc/spapr.c: one spapr-vty for each -serial up to the first that is none; "
        "100 run with 7.2",
        none_ends=True,
    ),
    source="hw/ppc/spapr.c",
)

ARCHITECTURE = Architecture(
    name="ppc64",
    aliases=("ppc64le", "ppc64el"),
    debian="ppc64el",
    platforms=(PSERIES,),
    order=("uart", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="",
    console="hvc0",
    test_guests=False,
)
