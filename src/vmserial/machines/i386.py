"""i386: the boards of x86_64 with a 32-bit processor, and a kernel of Debian's until 12."""

from __future__ import annotations

from vmserial.machines.base import Architecture
from vmserial.machines.x86_64 import NO_TIMER_CHECK, PC, Q35

ARCHITECTURE = Architecture(
    name="i386",
    aliases=("i486", "i586", "i686", "x86"),
    debian="i386",
    platforms=(PC, Q35),
    order=("isa", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd",
    console="ttyS0",
    kernel_words=NO_TIMER_CHECK,
    # Debian 13 has no kernel for it any more.
    suites=("bookworm",),
    flavour="686-pae",
)
