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
)
