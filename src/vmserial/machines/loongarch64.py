"""loongarch64: the ``virt`` board."""

from __future__ import annotations

from vmserial.machines.base import Architecture, OnBoardUart, Platform
from vmserial.model import NodeIdentity

VIRT = Platform(
    name="virt",
    prefixes=("virt-",),
    root_bus="pcie.0",
    pcie=True,
    board_slots=frozenset({0}),
    root_ports=15,
    isa=False,
    ide="",
    uart=OnBoardUart(
        model="ns16550a",
        identities=tuple(NodeIdentity("mmio", hex(0x1FE001E0 + n * 0x100)) for n in range(4)),
        node="/dev/ttyS",
        assumed=lambda version: 4 if version >= (9, 2, 0) else 1,
        source="hw/loongarch/virt.c: one; four since 9.2 (b3d4ef8348)",
        is_8250=True,
    ),
    default_slots=frozenset({1}),
    dead_pci_uarts="Linux's 8250_pci takes it without an error and no tty comes of it (run with "
    "QEMU 11.1 and Linux 7.2, under UEFI)",
    # "ram_size must be greater than 1G" (run with 7.2).
    least_memory_mib=2048,
    source="hw/loongarch/virt.c",
)

ARCHITECTURE = Architecture(
    name="loongarch64",
    aliases=("loong64",),
    debian="loong64",
    platforms=(VIRT,),
    order=("uart", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="/usr/share/qemu-efi-loongarch64/QEMU_EFI.fd",
    console="ttyS0",
    suites=("sid",),
    # Without it Linux gets neither ACPI nor a device tree's PCI: it does not get far, and says
    # nothing (run with QEMU 10.0, 11.1 and Linux 7.2).
    firmware_package="qemu-efi-loongarch64",
    # Of 7.2: "Could not load ROM image"; it takes no UEFI of 16 MiB.
    guest_needs=(10, 0, 0),
)
