"""Serial devices: which there are, how many, and what they take."""

from __future__ import annotations

from vmserial.catalogue.base import ALL, Effect, Entry, Text

_RUN = "run with QEMU 5.2, 7.2, 10.0 and 11.1"

ENTRIES = (
    Entry(
        "kind-not-on-arch",
        "a kind of port that this machine does not have",
        Effect.FAILS,
        "QEMU does not start. isa-serial is for x86 (and some ppc and mips boards); aarch64, "
        "riscv64, s390x and loongarch64 have no ISA bus.",
        "The device sits on a bus that the architecture lacks, so its QEMU is built without it.",
        (
            "use another type: `vmserial plan --arch aarch64 --ports 4` (`--type usb`, `pci` or "
            "`virtio`); `vmserial doctor` names what fits",
            "libvirt: `<target type='usb-serial'>` with `<controller type='usb' "
            "model='qemu-xhci' ports='15'>`, or `<target type='pci-serial'>`",
            "QEMU: `-device qemu-xhci -device usb-serial,chardev=serial1,always-plugged=on`",
        ),
        _RUN,
        (
            Text("'isa-serial' is not a valid device model name"),
            Text("'isa-debugcon' is not a valid device model name"),
            Text("'spapr-vty' is not a valid device model name"),
            Text("'sclp<console>' is not a valid device model name"),
        ),
        see=("pve-isa-on-aarch64", "binary-no-device"),
    ),
    Entry(
        "agent-isa-not-on-arch",
        "the guest agent on isa-serial where there is no ISA bus",
        Effect.FAILS,
        "QEMU does not start: 'isa-serial' is not a valid device model name.",
        "The architecture has no ISA bus.",
        ("use `agent: 1` (virtio)",),
        _RUN,
        who=("PVE",),
        see=("pve-agent-isa-on-aarch64", "kind-not-on-arch"),
    ),
    Entry(
        "device-needs-newer-qemu",
        "JSON after -device with a QEMU before 6.2",
        Effect.FAILS,
        "QEMU does not start.",
        "-device takes JSON from QEMU 6.2; an older one takes it for a device's name.",
        ("write `driver,key=value` instead of JSON, or use a newer QEMU",),
        _RUN,
        (Text("""'{"<driver":"pci-serial">' is not a valid device model name""", "QEMU 5.2"),),
        ("libvirt", "QEMU"),
    ),
    Entry(
        "binary-no-device",
        "this QEMU has no such device",
        Effect.FAILS,
        "QEMU does not start.",
        "The name is misspelt, the device is of another architecture, or the distribution put "
        "it into a package that is not installed.",
        (
            "see what there is: `vmserial probe --arch aarch64`; `vmserial doctor` names what fits",
            "QEMU: `qemu-system-aarch64 -device help | grep -i serial`",
        ),
        _RUN,
        (
            Text("' is not a valid device model name"),
            Text("Parameter 'driver' is missing"),
        ),
        see=("kind-not-on-arch",),
    ),
    Entry(
        "device-not-pluggable",
        "an on-board UART asked for with -device",
        Effect.FAILS,
        "QEMU does not start, although `-device help` of other boards may list the device.",
        "pl011 and the other UARTs of a board are wired up by the machine type; only -serial "
        "reaches them.",
        (
            "use `-serial chardev:serial0` for the board's own UART and another device for the "
            "rest: `vmserial showcmd --arch aarch64 --ports 2 --pretty`",
        ),
        _RUN,
        (
            Text("Parameter 'driver' expects a pluggable device type", "QEMU 7.2 to 11.1"),
            Text("Parameter 'driver' expects pluggable device type", "QEMU 5.2"),
        ),
        ("QEMU", "libvirt"),
        ("onboard-uart-limit",),
    ),
    Entry(
        "isa-limit",
        "a fifth isa-serial",
        Effect.FAILS,
        "QEMU does not start.",
        "isa-serial's index goes from 0 to 3; an own iobase and irq do not help.",
        (
            "a VM has four ISA serial ports at most: use another type for the rest: "
            "`vmserial plan --arch x86_64 --ports 10`",
            "PVE: `agent: 1` instead of type=isa frees one",
            "libvirt: `<target type='pci-serial'>` or `'usb-serial'` from the fifth port on",
            "QEMU: `-device pci-serial,chardev=serial4`",
        ),
        _RUN,
        (
            Text("Max. supported number of ISA serial ports is <4>"),
            Text("Maximum supported number of ISA serial ports is '<4>'", "libvirt 9.0"),
        ),
        see=("pve-isa-limit", "isa-clash"),
    ),
    Entry(
        "isa-irq",
        "an interrupt that the ISA bus does not have",
        Effect.FAILS,
        "QEMU aborts (SIGABRT) with a failed assertion.",
        "ISA has the interrupts 0 to 15, and isa-serial does not check its irq.",
        ("leave irq away, or give 0 to 15: `-device isa-serial,chardev=serial0,index=0`",),
        _RUN,
        (
            Text("Assertion `isairq < ISA_NUM_IRQS' failed", "QEMU 5.2, 7.2"),
            Text("Assertion `irqnum < ISA_NUM_IRQS' failed", "QEMU 10.0, 11.1"),
        ),
        ("libvirt", "QEMU"),
    ),
    Entry(
        "serial-too-many",
        "more -serial than an old QEMU takes",
        Effect.FAILS,
        "QEMU does not start.",
        "QEMU before 2.12 took four -serial; newer ones take any number and drop what the "
        "board does not wire up.",
        ("use a newer QEMU, and no more -serial than the board has UARTs",),
        "QEMU's source before 2.12; 300 -serial start with QEMU 5.2 to 11.1",
        (Text("too many serial ports", "QEMU before 2.12"),),
        ("libvirt", "QEMU"),
        ("onboard-uart-limit",),
    ),
    Entry(
        "spapr-vty-limit",
        "256 and more spapr-vty",
        Effect.FAILS,
        "QEMU does not start; 100 are fine.",
        "Each spapr-vty takes an interrupt of its own, and the board runs out of them.",
        ("ask for fewer, or use usb-serial or virtserialport for the rest",),
        "run on pseries",
        (Text("IRQ <4352> is not free"),),
        ("libvirt", "QEMU"),
    ),
    Entry(
        "chardev-required",
        "a usb-serial without a chardev",
        Effect.FAILS,
        "QEMU does not start. isa-serial, pci-serial and virtserialport start without one and "
        "are dead.",
        "usb-serial is the only serial device that insists on its chardev.",
        ("add `-chardev socket,id=serial1,…` before it and `chardev=serial1` to the device",),
        _RUN,
        (Text("Property chardev is required"),),
        ("QEMU",),
        ("chardev-missing",),
    ),
    Entry(
        "usb-always-plugged-too-old",
        "always-plugged with a QEMU that does not know it",
        Effect.FAILS,
        "QEMU does not start.",
        "usb-serial has always-plugged from QEMU 5.2.",
        ("use QEMU 5.2 or later, or leave it away and open the port's host side before the guest",),
        "QEMU's source; 5.2 has it",
        (Text("Property 'usb-serial.always-plugged' not found", "QEMU before 5.2"),),
        see=("usb-not-plugged",),
    ),
    Entry(
        "pci-card-chardev",
        "chardev= on a card of several ports",
        Effect.FAILS,
        "QEMU does not start.",
        "pci-serial-2x and -4x have chardev1 to chardev4, one a port.",
        ("write `-device pci-serial-2x,chardev1=serial1,chardev2=serial2`",),
        _RUN,
        (Text("Property 'pci-serial-<2>x.chardev' not found"),),
        ("QEMU",),
    ),
    Entry(
        "property-unknown",
        "a property that the device does not have",
        Effect.FAILS,
        "QEMU does not start.",
        "It is misspelt, belongs to another device (index is isa-serial's), or to another version.",
        ("see what there is: `qemu-system-x86_64 -device pci-serial,help`",),
        _RUN,
        (Text("Property '<usb-serial.allways-plugged>' not found"),),
        ("libvirt", "QEMU"),
    ),
    Entry(
        "onboard-uart-limit",
        "more ports than the board wires up",
        Effect.DEAD,
        "QEMU starts and says nothing; the port has no device behind it. The client connects "
        "and hears nothing.",
        "aarch64 virt has one pl011 (two from QEMU 9.1), riscv64 virt one, and QEMU ignores every "
        "further -serial.",
        (
            "use another type for the ports past the first: `vmserial plan --arch aarch64 "
            "--ports 4`",
            "libvirt: give every `<serial>` but the first a `<target type='usb-serial'>`; an "
            "untyped one becomes a -serial",
            "QEMU: QMP `query-chardev` on the paused VM shows `frontend-open: false` for a dead "
            "one; `vmserial probe` measures how many there are",
        ),
        "hw/arm/virt.c; measured on paused VMs, QEMU 5.2 to 11.1",
        see=("kind-not-on-arch",),
    ),
    Entry(
        "isa-clash",
        "two ISA ports at one place",
        Effect.DEAD,
        "QEMU starts, and one of the two ports is dead.",
        "isa-serial takes any index, iobase and irq that it is given, also a second time.",
        ("give each an index of its own, index=0 to index=3",),
        "two isa-serial with index=0 start with " + ALL,
        see=("isa-limit",),
    ),
    Entry(
        "ttyusb-limit",
        "more usb ports than Linux has ttyUSB nodes",
        Effect.DEAD,
        "The port has no node in the guest.",
        "Linux has 512 ttyUSB.",
        ("use `--type virtio` for the rest",),
        "Linux, drivers/usb/serial/usb-serial.c",
        (Text("No more free serial minor numbers", "Linux 5.10 to 6.12"),),
    ),
)
