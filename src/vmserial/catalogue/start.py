"""Binary, machine type, files and host: what keeps QEMU from starting at all."""

from __future__ import annotations

from vmserial.catalogue.base import ALL, Effect, Entry, Text

_RUN = "run with QEMU 5.2, 7.2, 10.0 and 11.1"
_OURS = "the plan, before anything starts"

ENTRIES = (
    Entry(
        "machine-not-in-binary",
        "a machine type that this QEMU does not have",
        Effect.FAILS,
        "QEMU does not start.",
        "Versioned machine types (virt-8.1) come and go with QEMU's versions; boards are of one "
        "architecture.",
        (
            "this binary has no such machine type; its names are shown by `-machine help`; use "
            "virt, q35 or pc",
        ),
        _RUN,
        (
            Text("unsupported machine type"),
            Text("Use -machine help to list supported machines"),
        ),
        see=("pve-option", "machine-unknown"),
    ),
    Entry(
        "kvm-unusable",
        "KVM that is not there",
        Effect.FAILS,
        "QEMU does not start.",
        "The host has no KVM, it is another architecture's, or /dev/kvm may not be opened.",
        (
            "KVM does not work here; use the accelerator tcg (`vmserial run --accel tcg`), or "
            "give the user the group kvm; `vmserial probe` says what was found",
        ),
        _RUN + "; without KVM",
        (
            Text("KVM kernel module"),
            Text("failed to initialize kvm"),
            Text("invalid accelerator kvm"),
            Text("CPU model 'host' requires KVM"),
        ),
    ),
    Entry(
        "disk-locked",
        "a disk image that another VM uses",
        Effect.FAILS,
        "QEMU does not start.",
        "QEMU locks the images that it opens.",
        ("another VM uses this disk image: stop it, or verify with a test guest instead",),
        "QEMU, block/file-posix.c",
        (
            Text('Failed to get "<write>" lock'),
            Text('Failed to get shared "<write>" lock'),
        ),
    ),
    Entry(
        "disk-readonly",
        "a read-only disk on a bus that has none",
        Effect.FAILS,
        "QEMU does not start.",
        "ide-hd cannot be read-only.",
        ("use scsi or virtio, or media=cdrom",),
        _RUN,
        (Text("Block node is read-only"),),
    ),
    Entry(
        "host-memory",
        "not enough memory on the host",
        Effect.FAILS,
        "QEMU does not start.",
        "The guest's memory cannot be had.",
        ("not enough memory on this host: give the VM less, or stop another one",),
        _RUN,
        (
            Text("cannot set up guest memory"),
            Text("Cannot allocate memory"),
        ),
    ),
    Entry(
        "firmware-missing",
        "a firmware file or kernel that is not there",
        Effect.FAILS,
        "QEMU does not start.",
        "The file is in a package of its own (qemu-efi-aarch64, ovmf, seabios), or the path is "
        "wrong.",
        (
            "check the path of the firmware, kernel or initrd that QEMU names, or install its "
            "package",
        ),
        _RUN,
        (
            Text("Could not find ROM image '</usr/share/AAVMF/AAVMF_CODE.fd>'"),
            Text("could not load kernel '</boot/vmlinuz>'", ALL + ", aarch64"),
            Text("could not load initrd '</boot/initrd.img>'", ALL + ", aarch64"),
            Text("could not open kernel file '</boot/vmlinuz>'", ALL + ", x86"),
            Text("error reading initrd </boot/initrd.img>:", ALL + ", x86"),
            Text("could not load PC BIOS '</usr/share/seabios/bios.bin>'"),
        ),
        see=("file-missing",),
    ),
    Entry(
        "machine-unknown",
        "a machine type that ports cannot be planned on",
        Effect.FAILS,
        "vmserial refuses; QEMU itself may know it.",
        "Where its ports, buses and limits are is not known.",
        ("use virt (aarch64), q35 or pc (x86_64)",),
        _OURS,
        see=("machine-not-in-binary",),
    ),
    Entry(
        "binary-wrong-target",
        "a QEMU of another architecture",
        Effect.FAILS,
        "The machine type or the devices are not there.",
        "Each qemu-system-… emulates one architecture.",
        ("use the qemu-system of the VM's architecture: `--qemu /usr/bin/qemu-system-aarch64`",),
        _OURS,
    ),
    Entry(
        "no-kind-fits",
        "no kind of port is left",
        Effect.FAILS,
        "vmserial refuses; the message says for each kind why not.",
        "UARTs, ISA, USB, PCI and virtio are all used up on this board.",
        ("ask for fewer ports",),
        _OURS,
        see=("pci-full", "guest-8250-limit"),
    ),
    Entry(
        "start-failed",
        "QEMU does not start, in words that are not known here",
        Effect.FAILS,
        "QEMU ends at once; its own words are shown.",
        "A private copy of the command was started paused, without its disks and networks, so "
        "the cause is among its board, its controllers and its devices.",
        (
            "QEMU's words name the option: mend it; `qemu-system-… -device DRIVER,help` shows "
            "what a device takes",
        ),
        "`vmserial doctor --live-probe`",
    ),
)
