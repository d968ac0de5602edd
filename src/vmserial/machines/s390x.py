"""s390x: ``s390-ccw-virtio``; sclpconsole and sclplmconsole, then only virtio."""

from __future__ import annotations

from vmserial.machines.base import Architecture, OnBoardUart, Platform
from vmserial.model import Carries, NodeIdentity, Way

_SYSRQ = (
    "Linux takes 0F (Ctrl-O) and the byte after it for a SysRq key, unless that is 0F again: "
    "the two are one 0F (drivers/s390/char/sclp_vt220.c)"
)

_BURST = 1024
"""Of 3,000 bytes at once all come, of 3,500 none, and no byte after them either (run with QEMU
7.2 and Linux 6.1: sclpconsole's buffer is 4 KiB, as is all that Linux asks for at once)."""

_LINES = (
    "sclplmconsole is line mode in EBCDIC: it carries printable ASCII, and breaks the line before "
    "each (hw/char/sclpconsole-lm.c; run with 7.2, 10.0 and 11.1)"
)

_NO_INPUT = (
    "nothing that is sent to sclplmconsole reaches Linux; QEMU echoes it by itself, until echo=off "
    "(run with QEMU 7.2, 10.0, 11.1 and Linux 6.1, 6.12, 7.2)"
)

CCW = Platform(
    name="s390-ccw-virtio",
    prefixes=("s390-ccw-virtio-", "s390-ccw"),
    root_bus="pci.0",
    pcie=False,
    board_slots=frozenset(),
    root_ports=0,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="sclp console",
        identities=(NodeIdentity("sclp", "sclpconsole"), NodeIdentity("sclp", "sclplmconsole")),
        node="/dev/ttysclp",
        nodes=("/dev/ttysclp0", "/dev/sclp_line0"),
        carries=(
            Carries(to_guest=Way(sysrq=True, burst=_BURST, why=_SYSRQ)),
            Carries(
                to_host=Way("text", why=_LINES),
                to_guest=Way("nothing", echo=True, why=_NO_INPUT),
            ),
        ),
        assumed=lambda _: 2,
        source="hw/s390x/s390-virtio-ccw.c: the first -serial is sclpconsole, the second "
        "sclplmconsole; a second of either fails",
    ),
    source="hw/s390x/s390-virtio-ccw.c",
    # "multifunction not supported in s390".
    multifunction=False,
    virtio_serial="virtio-serial-ccw",
    # hw/s390x/s390-pci-bus.c gives each device the first UID that is free, and Linux takes it for
    # the domain (run with QEMU 11.1 and Linux 6.1).
    own_domains=True,
)

ARCHITECTURE = Architecture(
    name="s390x",
    aliases=("s390",),
    debian="s390x",
    platforms=(CCW,),
    order=("uart", "usb", "virtio"),
    tcg_cpu="",
    firmware="",
    console="ttysclp0",
    suites=("bookworm", "trixie", "sid"),
)
