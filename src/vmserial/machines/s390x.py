"""s390x: ``s390-ccw-virtio``; sclpconsole and sclplmconsole, then only virtio."""

from __future__ import annotations

from vmserial.machines.base import Architecture, OnBoardUart, Platform
from vmserial.model import NodeIdentity

CCW = Platform(
    name="s390-ccw-virtio",
    prefixes=("s390-ccw-virtio-", "s390-ccw"),
    root_bus="pci.0",
    pcie=False,
    board_slots=frozenset({0}),
    root_ports=0,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="sclp console",
        identities=(NodeIdentity("sclp", "sclpconsole"), NodeIdentity("sclp", "sclplmconsole")),
        node="/dev/ttysclp",
        assumed=lambda _: 2,
        source="hw/s390x/s390-virtio-ccw.c: the first -serial is sclpconsole, the second "
        "sclplmconsole; a second of either fails",
    ),
    source="hw/s390x/s390-virtio-ccw.c",
    # Its PCI knows no multifunction devices, and few guests look at it.
    virtio_serial="virtio-serial-ccw",
)

ARCHITECTURE = Architecture(
    name="s390x",
    aliases=("s390",),
    debian="s390x",
    platforms=(CCW,),
    order=("uart", "virtio"),
    tcg_cpu="",
    firmware="",
    console="ttysclp0",
    test_guests=False,
)
