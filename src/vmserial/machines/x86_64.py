"""x86_64: ``q35`` and ``pc`` (i440fx)."""

from __future__ import annotations

from vmserial.machines.base import ALL_SUITES, Architecture, Platform

Q35 = Platform(
    name="q35",
    prefixes=("pc-q35-",),
    root_bus="pcie.0",
    pcie=True,
    # 0: host bridge, 0x1f: LPC, AHCI and SMBus.
    board_slots=frozenset({0, 0x1F}),
    shared_slots={0x1F: frozenset({0, 2, 3})},
    # 15 hang in SeaBIOS, 14 boot (measured on 7.2).
    root_ports=14,
    isa=True,
    ide="six-ports",
    uart=None,
    default_slots=frozenset({1, 2}),
    source="hw/i386/pc_q35.c; root ports measured on 7.2",
)

PC = Platform(
    name="pc",
    prefixes=("pc-i440fx-",),
    root_bus="pci.0",
    pcie=False,
    # 0: host bridge, 1: PIIX3 (ISA, IDE, USB, ACPI).
    board_slots=frozenset({0, 1}),
    shared_slots={1: frozenset({0, 1, 3})},
    root_ports=0,
    isa=True,
    ide="two-channels",
    uart=None,
    default_slots=frozenset({2, 3}),
    source="hw/i386/pc_piix.c",
)

NO_TIMER_CHECK = "no_timer_check"
"""Linux counts ten ticks of the timer at boot, and where the host's other work keeps an emulated
CPU from them it panics: "IO-APIC + timer doesn't work!" (2 of 8 boots at load 11)."""

ARCHITECTURE = Architecture(
    name="x86_64",
    aliases=("amd64", "x86-64"),
    debian="amd64",
    # PVE's and QEMU's own default is pc, as a conf without "machine:" expects.
    platforms=(PC, Q35),
    order=("isa", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="/usr/share/OVMF/OVMF_CODE_4M.fd",
    console="ttyS0",
    kernel_words=NO_TIMER_CHECK,
    suites=ALL_SUITES,
    flavours=("cloud", "rt"),
)
