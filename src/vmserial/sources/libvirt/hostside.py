"""The host's end of a domain's port as libvirt writes it: ``-object`` and ``-chardev``.  Pure."""

from __future__ import annotations

from vmserial.options import Option
from vmserial.records import record
from vmserial.sources.libvirt.chardevice import CharDevice, read_device
from vmserial.sources.libvirt.elements import Element

TLS_DIRECTORY = "/etc/pki/qemu"
"""Where libvirt looks for certificates, unless its qemu.conf says otherwise."""

CHANNELS = "/var/lib/libvirt/qemu/channel/target"
"""Where libvirt makes the sockets of channels without a path."""

_LISTENS = (("server", "on"), ("wait", "off"))

_RECONNECT_MS = (9, 2, 0)
"""The first QEMU with ``reconnect-ms``; 10.2 has no ``reconnect`` any more."""


@record(frozen=True)
class HostSide:
    """What the host's end becomes.

    Attributes:
        options: the chardev last.
        automatic: keys of the chardev that libvirt chooses.
    """

    options: tuple[Option, ...]
    automatic: frozenset[str] = frozenset()


def tls_object(chardev: str) -> str:
    """Return the id of the object with the certificates of a chardev."""
    return f"obj{chardev}_tls0"


def of_element(element: Element, id: str, domain: str, version: tuple[int, ...]) -> HostSide:
    """Return the host's end of a ``<redirdev>`` or ``<smartcard>``."""
    return host_side(read_device(element, 0), id, domain, version)


def host_side(port: CharDevice, id: str, domain: str, version: tuple[int, ...]) -> HostSide:
    """Return what a port's source becomes.

    Args:
        port: the port.
        id: of the chardev.
        domain: the domain's name, for the paths that libvirt chooses.
        version: QEMU's.
    """
    head = port.type
    keys: list[tuple[str, str]] = [("id", id)]
    more: list[Option] = []
    automatic: frozenset[str] = frozenset()
    match port.type:
        case "pty" | "null":
            pass  # first: most ports are one
        case "unix":
            path = port.path
            if not path and port.tag == "channel":
                path = f"{CHANNELS}/domain-1-{domain[:20]}/{port.target_name}"
                automatic = frozenset({"path"})
            # libvirt listens at a path of its own choice, whatever the mode says.
            keys += [("path", path), *(_LISTENS if automatic else _socket(port, version))]
            head = "socket"
        case "tcp":
            keys += [("host", port.host), ("port", port.service)]
            if port.protocol in {"telnet", "telnets"}:
                keys.append(("telnet", "on"))
            keys += _socket(port, version)
            head = "socket"
            if port.tls or port.protocol in {"tls", "telnets"}:
                name = tls_object(id)
                end = "client" if port.mode == "connect" else "server"
                keys.append(("tls-creds", name))
                more.append(Option("-object", "tls-creds-x509", (
                    ("id", name), ("dir", TLS_DIRECTORY), ("endpoint", end), ("verify-peer", "on"),
                )))  # fmt: skip
        case "udp":
            keys += [("host", port.host), ("port", port.service),
                     ("localaddr", port.own.get("host", "")),
                     ("localport", port.own.get("service", "0"))]  # fmt: skip
        case "file":
            keys.append(("path", port.path))
            if port.append:
                keys.append(("append", port.append))
        case "dev":
            keys.append(("path", port.path))
            head = "serial"
        case "pipe":
            keys.append(("path", port.path))
        case "spicevmc":
            keys.append(("name", {"redirdev": "usbredir", "smartcard": "smartcard"}.get(
                port.tag, "vdagent")))  # fmt: skip
        case "qemu-vdagent":
            keys.append(("name", "vdagent"))
            source = port.element.child("source")
            for name, key, yes in (("clipboard", "copypaste", "yes"), ("mouse", "mode", "client")):
                option = source.child(name) if source is not None else None
                if option is not None:
                    keys.append((name, "on" if option.get(key) == yes else "off"))
        case "spiceport" | "dbus":
            keys.append(("name", port.channel))
    if "log" in port.parts and port.log_file:
        keys.append(("logfile", port.log_file))
        if said := port.said("log", "append"):
            keys.append(("logappend", said))
    return HostSide((*more, Option("-chardev", head, tuple(keys))), automatic)


def _socket(port: CharDevice, version: tuple[int, ...]) -> list[tuple[str, str]]:
    if port.mode != "connect":
        return list(_LISTENS)
    seconds = port.reconnect
    if seconds is None:
        return [] if port.retries != "no" else [(_reconnect(version), "0")]
    if version >= _RECONNECT_MS:
        return [("reconnect-ms", str(seconds * 1000))]
    return [("reconnect", str(seconds))]


def _reconnect(version: tuple[int, ...]) -> str:
    return "reconnect-ms" if version >= _RECONNECT_MS else "reconnect"
