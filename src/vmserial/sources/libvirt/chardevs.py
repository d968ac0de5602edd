"""A chardev as libvirt's ``type=``, ``<source>``, ``<protocol>`` and ``<log>``."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement

from vmserial.model import (
    File,
    HostTty,
    Null,
    Pipe,
    Pty,
    Ringbuf,
    SerialPort,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)
from vmserial.sources.losses import Losses

_NOT_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Sources:
    """Writes the host's end of ports.

    Args:
        losses: collects what libvirt cannot say.
    """

    def __init__(self, losses: Losses) -> None:
        self.losses = losses

    def write(self, element: Element, port: SerialPort) -> None:
        """Write a port's chardev into its element, which is empty."""
        match port.chardev.backend:
            case UnixSocket() as backend:
                self.unix(element, port, backend)
            case TcpSocket() as backend:
                self.tcp(element, port, backend)
            case Udp() as backend:
                self.udp(element, port, backend)
            case Pty(path):
                element.set("type", "pty")
                self.lost(port, {"path": path}, "the path of a pty is libvirt's to tell")
            case HostTty(path):
                self.path(element, port, "dev", path)
            case File(path, append, input_path):
                self.path(element, port, "file", path)
                if append and len(element):
                    element[0].set("append", "on")
                self.lost(port, {"input-path": input_path}, "output goes to the file all the same")
            case Pipe(path):
                self.path(element, port, "pipe", path)
            case Null():
                element.set("type", "null")
            case Ringbuf():
                element.set("type", "null")
                self.losses.port(port, "the backend ringbuf", "null is written; <log> keeps a file")
            case Stdio(signal):
                element.set("type", "stdio")
                # Nobody says it, so QEMU's default holds: on.
                self.lost(port, {"signal": "" if signal else "off"}, "libvirt has no signal=")
            case Vc() as backend:
                element.set("type", "vc")
                sizes = {key: str(v) for key, v in vars(backend).items() if v is not None}
                self.lost(port, sizes, "the size is QEMU's default")
        self.log(element, port)

    def log(self, element: Element, port: SerialPort) -> None:
        """Write the log."""
        chardev = port.chardev
        if not chardev.logfile:
            return
        if _NOT_XML.search(chardev.logfile):
            self.losses.port(port, "a control character in logfile", "no log is written")
            return
        SubElement(
            element, "log", file=chardev.logfile, append="on" if chardev.logappend else "off"
        )

    def lost(self, port: SerialPort, values: dict[str, str], hint: str) -> None:
        """Name the values that are there."""
        for key, value in values.items():
            if value:
                self.losses.port(port, f"{key}={value}", hint)

    def path(self, element: Element, port: SerialPort, kind: str, path: str) -> bool:
        """Write a source with a path; null where XML cannot hold it."""
        if _NOT_XML.search(path):
            element.set("type", "null")
            self.losses.port(port, "a control character in the path", "null is written")
            return False
        element.set("type", kind)
        SubElement(element, "source", path=path)
        return True

    def unix(self, element: Element, port: SerialPort, backend: UnixSocket) -> None:
        """Write a Unix socket."""
        if backend.abstract:
            element.set("type", "null")
            self.losses.port(port, "an abstract socket", "null is written; use a path")
            return
        if not self.path(element, port, "unix", backend.path):
            return
        element[0].set("mode", "bind" if backend.server else "connect")
        self.lost(port, {"telnet": _on(backend.telnet)}, "telnet is for TCP; the socket is raw")
        self.lost(port, {"tight": "" if backend.tight else "off"}, "it is for abstract sockets")
        self.socket(element, port, backend)

    def tcp(self, element: Element, port: SerialPort, backend: TcpSocket) -> None:
        """Write a TCP socket."""
        element.set("type", "tcp")
        host = backend.host
        if not host:
            host = "0.0.0.0"
            self.losses.port(port, "an empty host", f"{host} is written: IPv4 only")
        SubElement(element, "source", mode="bind" if backend.server else "connect", host=host,
                   service=str(backend.port))  # fmt: skip
        self.socket(element, port, backend)
        SubElement(element, "protocol", type="telnet" if backend.telnet else "raw")
        if backend.tls_creds:
            element[0].set("tls", "yes")
            why = "tls='yes' takes the certificates of chardev_tls_x509_cert_dir"
            self.losses.port(port, f"tls-creds={backend.tls_creds}", why)
        self.lost(port, {"tls-authz": backend.tls_authz}, "set chardev_tls_x509_verify")
        self.lost(port, {"to": str(backend.to or "")}, "one port number is tried")
        self.lost(port, {"nodelay": _on(backend.nodelay)}, "")
        self.family(port, backend)

    def socket(self, element: Element, port: SerialPort, backend: UnixSocket | TcpSocket) -> None:
        """Write what both kinds of socket have."""
        self.lost(port, {"wait": _on(backend.wait)}, "libvirt starts without a client")
        self.lost(port, {"websocket": _on(backend.websocket)}, "the socket is raw")
        if backend.reconnect_ms:
            seconds = -(-backend.reconnect_ms // 1000)
            SubElement(element[0], "reconnect", enabled="yes", timeout=str(seconds))
            if backend.reconnect_ms % 1000:
                why = f"{seconds} s are written: libvirt knows whole seconds"
                self.losses.port(port, f"reconnect-ms={backend.reconnect_ms}", why)

    def udp(self, element: Element, port: SerialPort, backend: Udp) -> None:
        """Write both ends of UDP."""
        element.set("type", "udp")
        if backend.localaddr or backend.localport is not None:
            own = SubElement(element, "source", mode="bind", service=str(backend.localport or 0))
            if backend.localaddr:
                own.set("host", backend.localaddr)
        # An empty host is QEMU's localhost.
        SubElement(element, "source", mode="connect", host=backend.host or "localhost",
                   service=str(backend.port))  # fmt: skip
        self.family(port, backend)

    def family(self, port: SerialPort, backend: TcpSocket | Udp) -> None:
        """Name a choice of IPv4 or IPv6."""
        for key in ("ipv4", "ipv6"):
            value = getattr(backend, key)
            if value is not None:
                self.losses.port(port, f"{key}={'on' if value else 'off'}", "write an address")


def _on(flag: bool) -> str:
    return "on" if flag else ""
