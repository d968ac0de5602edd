"""x86_64: ``q35``, ``pc`` (i440fx) and ``microvm``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vmserial.limits import PCI_SLOTS
from vmserial.machines.base import ALL_SUITES, Architecture, Platform
from vmserial.values import is_on

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

_NO_IO_WINDOW = (
    "its PCI Express has no I/O window, in which a pci-serial has its registers: Linux says "
    '"BAR 0 [io size 0x0008]: can\'t assign; no space", and there is no node'
)
"""Run with QEMU 7.2 and Linux 6.1 and 6.12 (hw/i386/microvm.c maps the windows of memory alone)."""

_NO_ACPI = (
    "with acpi=off QEMU tells of virtio-mmio on the kernel's command line alone, which a kernel "
    "with CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES reads; Debian's are built without"
)
"""Run with QEMU 7.2 and Linux 6.1."""


_ONE_IOAPIC = 8
"""Its transports with ``acpi=off`` or ``ioapic2=off``."""


def _microvm(board: Platform, options: Mapping[str, str]) -> Platform:
    """Return microvm as its properties make it; "auto" is each one's default."""
    acpi = is_on(options.get("acpi"), True)
    both = acpi and is_on(options.get("ioapic2"), True)
    # Without ACPI it makes no PCI Express and no USB, whatever is asked for (run with 7.2).
    pcie = acpi and is_on(options.get("pcie"))
    return replace(
        board,
        root_bus=board.root_bus if pcie else "",
        board_slots=board.board_slots if pcie else frozenset(range(PCI_SLOTS)),
        isa_serials=int(is_on(options.get("isa-serial"), True)),
        virtio_mmio=board.virtio_mmio if both else _ONE_IOAPIC,
        usb_ports=board.usb_ports if acpi and is_on(options.get("usb")) else 0,
        unseen="" if acpi else _NO_ACPI,
        tcg_words=board.tcg_words if acpi else "",
    )


MICROVM = Platform(
    name="microvm",
    prefixes=(),
    root_bus="pcie.0",
    pcie=True,
    # 0: host bridge.
    board_slots=frozenset({0}),
    root_ports=0,
    # -serial makes the first alone; -device isa-serial makes all four, and Linux finds them.
    isa=True,
    isa_serials=1,
    ide="",
    uart=None,
    virtio_serial="virtio-serial-device",
    # With two I/O APICs, its default (virtio_num_transports; counted with 7.2, 10.0 and 11.1).
    virtio_mmio=24,
    # Of the xhci that usb=on makes: port 9 is not found (7.2).
    usb_ports=8,
    no_pci_hotplug="nothing on it can be hot-plugged, and its ACPI lets Linux serve no root port",
    dead_pci_uarts=_NO_IO_WINDOW,
    # The xhci that usb=on makes is no PCI device: Debian 12 has no driver for it (Debian 13 has).
    options=(("pcie", "on"),),
    # Its ACPI tells of no PIT, HPET or ACPI timer, and an emulated processor of no frequency:
    # Linux 6.1 and 6.12 say "could not calculate TSC khz" and nothing more, ever.
    tcg_words="tsc_early_khz={tsc_khz}",
    varies=_microvm,
    source="hw/i386/microvm.c; run with QEMU 7.2, Linux 6.1 and 6.12",
)

NO_TIMER_CHECK = "no_timer_check"
"""Linux counts ten ticks of the timer at boot, and where the host's other work keeps an emulated
CPU from them it panics: "IO-APIC + timer doesn't work!" (2 of 8 boots at load 11)."""

ARCHITECTURE = Architecture(
    name="x86_64",
    aliases=("amd64", "x86-64"),
    debian="amd64",
    # PVE's and QEMU's own default is pc, as a conf without "machine:" expects.
    platforms=(PC, Q35, MICROVM),
    order=("isa", "usb", "pci", "virtio"),
    tcg_cpu="",
    firmware="/usr/share/OVMF/OVMF_CODE_4M.fd",
    console="ttyS0",
    kernel_words=NO_TIMER_CHECK,
    suites=ALL_SUITES,
    flavours=("cloud", "rt"),
    guest_modules=("virtio_mmio",),
)
