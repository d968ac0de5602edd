"""Chardev backends: where the host's end of a serial port is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnixSocket:
    """``-chardev socket,path=…``: as server (the default) or as client.

    ``reconnect_ms`` is in milliseconds and only for a client; QEMU before 9.2
    knows whole seconds only.
    """

    path: str
    server: bool = True
    wait: bool = False
    abstract: bool = False
    tight: bool = True
    telnet: bool = False
    websocket: bool = False
    reconnect_ms: int = 0


@dataclass(frozen=True)
class TcpSocket:
    """``-chardev socket,host=…,port=…``: as server (the default) or as client."""

    host: str
    port: int
    server: bool = True
    wait: bool = False
    to: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None
    nodelay: bool = False
    telnet: bool = False
    websocket: bool = False
    tls_creds: str = ""
    tls_authz: str = ""
    reconnect_ms: int = 0


@dataclass(frozen=True)
class Pty:
    """``-chardev pty``; ``path`` (a symlink to the pty) needs QEMU 9.2."""

    path: str = ""


@dataclass(frozen=True)
class HostTty:
    """``-chardev serial,path=…``: a tty of the host; must be a character device."""

    path: str


@dataclass(frozen=True)
class File:
    """``-chardev file,path=…``: output only, or with ``input_path`` both ways."""

    path: str
    append: bool = False
    input_path: str = ""


@dataclass(frozen=True)
class Pipe:
    """``-chardev pipe,path=…``: PATH.in and PATH.out, or one FIFO of that name."""

    path: str


@dataclass(frozen=True)
class Udp:
    """``-chardev udp``: datagrams to ``host:port``, received on ``localaddr:localport``."""

    host: str
    port: int
    localaddr: str = ""
    localport: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None


@dataclass(frozen=True)
class Null:
    """``-chardev null``: output is thrown away, input never comes."""


@dataclass(frozen=True)
class Ringbuf:
    """``-chardev ringbuf``: the last ``size`` bytes (a power of two) in QEMU's memory."""

    size: int = 65536


@dataclass(frozen=True)
class Stdio:
    """``-chardev stdio``: QEMU's own standard input and output; one port at most."""

    signal: bool = False


@dataclass(frozen=True)
class Vc:
    """``-chardev vc``: a text console inside QEMU's own window; sizes in pixels or cells."""

    width: int | None = None
    height: int | None = None
    cols: int | None = None
    rows: int | None = None


Backend = UnixSocket | TcpSocket | Pty | HostTty | File | Pipe | Udp | Null | Ringbuf | Stdio | Vc


@dataclass(frozen=True)
class Chardev:
    """The host side of a port: a backend and, if wanted, a log of all that the guest sends.

    Attributes:
        logfile: QEMU writes each byte that the guest sends here (QEMU ≥ 2.6).
        logappend: add to an existing log instead of truncating it.
    """

    backend: Backend
    logfile: str = ""
    logappend: bool = False
