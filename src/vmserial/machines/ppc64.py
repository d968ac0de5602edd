"""ppc64: ``pseries``; each ``-serial`` is a spapr-vty of its own."""

from __future__ import annotations

from vmserial.machines.base import Architecture, OnBoardUart, Platform
from vmserial.model import Carries, NodeIdentity, Way

_SYSRQ = (
    "Linux takes 0F (Ctrl-O) and the byte after it on the hvc that is its console for a SysRq "
    "key, unless that is 0F again: the two are one 0F (drivers/tty/hvc/hvc_console.c; run on 6.1)"
)
"""With a SysRq that is allowed, random data reboots the guest."""

PSERIES = Platform(
    name="pseries",
    prefixes=("pseries-",),
    root_bus="pci.0",
    pcie=False,
    # The host bridge is no device of its own bus: the first card is in slot 0.
    board_slots=frozenset(),
    root_ports=0,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="spapr-vty",
        # The 256th fails: "IRQ 4352 is not free".  100 were run.
        identities=tuple(NodeIdentity("vio", hex(0x71000000 + n)) for n in range(100)),
        node="/dev/hvc",
        assumed=lambda _: 100,
        source="hw/ppc/spapr.c: one spapr-vty for each -serial up to the first that is none; "
        "100 run with 7.2. Their registers are given out from 0x71000000 on "
        "(hw/ppc/spapr_vio.c), before any other device's",
        none_ends=True,
        carries=(Carries(to_guest=Way(sysrq=True, why=_SYSRQ)),),
    ),
    no_pci_hotplug="pseries tells of it by an RTAS event, for which the guest needs rtas_errd; "
    "it appears after the next reset",
    source="hw/ppc/spapr.c; hot-plug run on 10.0 and 11.1",
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
    suites=("bookworm", "trixie", "sid"),
    flavour="powerpc64le",
)
