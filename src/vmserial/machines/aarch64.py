"""aarch64: the ``virt`` board."""

from __future__ import annotations

from vmserial.machines.base import (
    ALL_SUITES,
    PL011_CAUTION,
    PL011_EARLY,
    Architecture,
    OnBoardUart,
    Platform,
)
from vmserial.model import NodeIdentity

VIRT = Platform(
    name="virt",
    prefixes=("virt-",),
    root_bus="pcie.0",
    virtio_mmio=32,
    pcie=True,
    board_slots=frozenset({0}),
    # 64 KiB of I/O, 4 KiB a bridge, the first 4 KiB not given out: 15 boot directly.
    root_ports=15,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="pl011",
        cautions=(PL011_CAUTION, PL011_EARLY),
        identities=(NodeIdentity("mmio", "0x9000000"), NodeIdentity("mmio", "0x9040000")),
        node="/dev/ttyAMA",
        assumed=lambda version: 2 if version >= (9, 1, 0) else 1,
        source="hw/arm/virt.c: one pl011; a second, non-secure one since 9.1 (e7100972f2)",
    ),
    default_slots=frozenset({1}),
    source="hw/arm/virt.c; root ports measured on 7.2 with a direct kernel boot",
)

ARCHITECTURE = Architecture(
    name="aarch64",
    aliases=("arm64",),
    debian="arm64",
    platforms=(VIRT,),
    order=("uart", "usb", "pci", "virtio"),
    # virt's own default is the 32-bit cortex-a15; "max" costs TCG pointer authentication.
    tcg_cpu="cortex-a57",
    firmware="/usr/share/AAVMF/AAVMF_CODE.fd",
    console="ttyAMA0",
    suites=ALL_SUITES,
    flavours=("cloud", "rt"),
)
