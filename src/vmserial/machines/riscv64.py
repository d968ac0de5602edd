"""riscv64: the ``virt`` board."""

from __future__ import annotations

from vmserial.machines.base import Architecture, OnBoardUart, Platform
from vmserial.model import NodeIdentity

VIRT = Platform(
    name="virt",
    prefixes=("virt-",),
    root_bus="pcie.0",
    virtio_mmio=8,
    pcie=True,
    board_slots=frozenset({0}),
    # 64 KiB of I/O as on aarch64.
    root_ports=15,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="ns16550a",
        identities=(NodeIdentity("mmio", "0x10000000"),),
        node="/dev/ttyS",
        assumed=lambda _: 1,
        source="hw/riscv/virt.c: one ns16550a; the second -serial has no frontend (run on 7.2)",
        is_8250=True,
        late_with="aia",
        late_caution="with aia the board's UART gets its interrupt after PCI: beside UARTs on PCI "
        "it is not ttyS0 but comes after them (Linux 7.2) or has no node (Linux 6.12), and what "
        "console=ttyS0 says leaves by the first of those. With aia=aplic-imsic of QEMU 7.2 no "
        "kernel of Debian's says a word: take aia=aplic, or QEMU 10.0",
    ),
    default_slots=frozenset({1}),
    source="hw/riscv/virt.c",
)

ARCHITECTURE = Architecture(
    name="riscv64",
    aliases=("riscv",),
    debian="riscv64",
    platforms=(VIRT,),
    order=("uart", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd",
    console="ttyS0",
    # Debian has it since 13.
    suites=("trixie", "sid"),
)
