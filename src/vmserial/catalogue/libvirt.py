"""What libvirt itself says."""

from __future__ import annotations

from vmserial.catalogue.base import Effect, Entry, Text

_LIBVIRT = ("libvirt",)

ENTRIES = (
    Entry(
        "libvirt-console-active",
        "a second virsh console",
        Effect.REFUSED,
        "virsh console is refused.",
        "libvirt allows one session a port, and the other may be one that was never ended.",
        ("end the other, or take the port from it: `virsh console DOM --force`",),
        "libvirt's source",
        (Text("Active console session exists for this domain", "libvirt"),),
        _LIBVIRT,
        ("second-client",),
    ),
    Entry(
        "libvirt-console-missing",
        "virsh console on a domain or port that has none",
        Effect.REFUSED,
        "virsh console is refused.",
        "The XML has no `<console>` or `<serial>`, none of that alias, or one that is not a pty.",
        (
            "add `<serial type='pty'/>`; name a port by its alias: `virsh console DOM --devname "
            "serial1`; reach a socket or TCP port with socat",
        ),
        "libvirt's source",
        (
            Text("cannot find character device <serial1>", "libvirt"),
            Text("character device <serial1> is not using a PTY", "libvirt"),
        ),
        _LIBVIRT,
    ),
    Entry(
        "libvirt-usb-order",
        "more usb-serial than USB ports",
        Effect.RISK,
        "libvirt adds hubs without a word; all ports live, but ttyUSB0, 1, 2… are not serial0, 1, "
        "2….",
        "libvirt counts four ports on a qemu-xhci unless `ports=` says more, and the guest finds "
        "what is behind a hub in another order.",
        (
            "write `<controller type='usb' model='qemu-xhci' ports='15'/>` and give each port an "
            "address `<address type='usb' bus='0' port='1'/>`; `vmserial fix guest.xml` does",
        ),
        "run with libvirt 9.0",
        (),
        _LIBVIRT,
        ("usb-not-plugged", "ttyusb-missing"),
    ),
    Entry(
        "libvirt-isa-onboard",
        "isa-serial in a domain without an ISA bus",
        Effect.RISK,
        "libvirt takes `<target type='isa-serial'>` on aarch64 and makes it a -serial: the board's "
        "own UART, of which there are one or two.",
        "libvirt chooses the device by the machine type where it can.",
        ("write `<target type='system-serial'>`, which is what it is",),
        "run with libvirt 9.0",
        (),
        _LIBVIRT,
        ("onboard-uart-limit",),
    ),
    Entry(
        "libvirt-phantom-hvc",
        "hvc nodes that no port is behind",
        Effect.RISK,
        "The guest has more hvc nodes than the domain has virtio consoles.",
        "Linux makes its hvc nodes before it knows what is behind them.",
        ("count on `/sys/class/virtio-ports`, not on `/dev/hvc*`",),
        "run with libvirt 9.0",
        (),
        _LIBVIRT,
        ("hvc-limit",),
    ),
)
