"""What nobody says a word about: it is known by what does not arrive."""

from __future__ import annotations

from vmserial.catalogue.base import ALL, Effect, Entry

_BOOTED = "run on booted guests, QEMU 7.2 to 11.1"

ENTRIES = (
    Entry(
        "usb-not-plugged",
        "a usb-serial that is not plugged in",
        Effect.DEAD,
        "The guest has no ttyUSB for it until a client opens the host side once.",
        "Without always-plugged=on usb-serial comes and goes with its client. libvirt never sets "
        "it.",
        (
            "write `-device usb-serial,chardev=serial1,always-plugged=on`; vmserial always does",
            "libvirt: open each port once after the start (`virsh console DOM --devname serial1`)",
        ),
        _BOOTED,
        see=("ttyusb-missing", "usb-always-plugged-too-old"),
    ),
    Entry(
        "port-without-device",
        "a chardev of a port's name that no device uses",
        Effect.DEAD,
        "QEMU starts, and the guest has no such port.",
        "A chardev is only the host's end: a -serial or a -device makes the guest's.",
        (
            "`vmserial fix` gives it a device; or write one: `-device usb-serial,chardev=serial1,"
            "always-plugged=on`",
            "PVE: this is how ports past serial3 are asked for where the emulator shim is "
            "installed, which gives each a device: `args: -chardev socket,id=serial4,"
            "path=/var/run/qemu-server/142.serial4,server=on,wait=off`",
        ),
        _BOOTED,
        see=("onboard-uart-limit", "pve-serial-limit"),
    ),
    Entry(
        "virtio-queue-overflow",
        "many virtio ports on one controller",
        Effect.DEAD,
        "Ports past the 32nd do not appear in the guest; past the 15th a starting guest may never "
        "hear that a client is there, and its writer waits for ever.",
        "The control queue has 32 entries and overflows silently.",
        (
            "at most 15 ports a controller, several controllers, hot-adds one after the other: "
            "`vmserial plan --arch aarch64 --ports 40 --type virtio`",
        ),
        _BOOTED + " (60 ports on one controller: 32 nodes)",
        see=("virtio-port-range",),
    ),
    Entry(
        "virtconsole-loss",
        "virtconsole loses output",
        Effect.LOSES,
        "Bytes are missing on the host while a connected client reads too slowly: 85,504 of "
        "1,048,576 arrived.",
        "virtconsole throws away what its backend does not take at once.",
        ("use virtserialport (`--type virtio`), which holds the writer back",),
        _BOOTED,
    ),
    Entry(
        "client-hangs-guest",
        "a client that does not read stops the VM",
        Effect.RISK,
        "The whole guest and QMP hang.",
        "pl011 and usb-serial write to their backend synchronously.",
        (
            "whoever is connected must always read; or be away, and keep `logfile=` beside the "
            "backend",
        ),
        _BOOTED,
    ),
    Entry(
        "output-lost-while-detached",
        "output while nobody is attached",
        Effect.LOSES,
        "What the guest says is gone; a virtserialport's writer waits instead.",
        "A socket or pty without a client takes nothing.",
        ("add `logfile=/var/log/vm/serial0.log` to the chardev: it keeps every byte",),
        _BOOTED,
    ),
    Entry(
        "second-client",
        "a second client of one socket",
        Effect.DEAD,
        "It connects and hears nothing until the first has left.",
        "A chardev serves one client; the others wait in the listen queue.",
        ("find the first: `ss -xp | grep serial0`, and end it",),
        "run with " + ALL,
    ),
    Entry(
        "virtlogd-freeze",
        "the VM freezes when virtlogd is away",
        Effect.RISK,
        "After 64 KiB of output of one port the whole VM stops.",
        "libvirt's `<log file=…>` goes through a pipe to virtlogd, and nobody empties it.",
        ("`systemctl start virtlogd`",),
        "run with libvirt 9.0",
        who=("libvirt",),
    ),
    Entry(
        "sclp-limit",
        "a second console of one sclp kind",
        Effect.FAILS,
        "QEMU does not start.",
        "s390x has one sclpconsole and one sclplmconsole.",
        ("use `--type virtio` (virtserialport) for the rest",),
        "run on s390x",
        who=("libvirt", "QEMU"),
    ),
    Entry(
        "caution",
        "a property of a device that must be known",
        Effect.RISK,
        'Nothing is wrong; `doctor` names it under "Know".',
        "Each kind of port has its own: what it does while the client does not read, how many "
        "there can be, whether it blocks migration.",
        ('know it: docs/guide.md, "What must be known"',),
        "the guide",
        see=("virtconsole-loss", "client-hangs-guest", "migration-blocked"),
    ),
)
