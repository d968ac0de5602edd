"""Chardev backends as QEMU takes them: on its command line and over QMP.

What a version of QEMU does not have is refused here with the version that has it
(chardev/char.c and qapi/char.json of the releases; run on 5.2, 7.2, 10.0).
"""

from __future__ import annotations

from typing import Any

from vmserial.errors import UsageError
from vmserial.model import (
    Backend,
    Chardev,
    File,
    HostTty,
    Null,
    Pipe,
    Pty,
    Ringbuf,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)
from vmserial.options import Option, Scalar, check_id

Version = tuple[int, int, int]


def _too_old(what: str, since: str) -> UsageError:
    return UsageError(f"{what} needs QEMU {since}", hint="use a newer QEMU, or leave it out")


def option(chardev_id: str, chardev: Chardev, version: Version) -> Option:
    """Return ``-chardev`` for this backend as this version of QEMU writes it.

    Raises:
        UsageError: the version does not have what is asked for.
    """
    name, params = _command_line(chardev.backend, version)
    params = [("id", check_id(chardev_id)), *params]
    if chardev.logfile:
        params.append(("logfile", chardev.logfile))
        params.append(("logappend", chardev.logappend))
    return Option("-chardev", name, tuple(params), role="chardev")


def _socket_params(backend: UnixSocket | TcpSocket, version: Version) -> list[tuple[str, Scalar]]:
    params: list[tuple[str, Scalar]] = [("server", backend.server)]
    if backend.server:
        params.append(("wait", backend.wait))
    if backend.telnet:
        params.append(("telnet", True))
    if backend.websocket:
        params.append(("websocket", True))
    if backend.reconnect_ms:
        # reconnect-ms came with 9.2; reconnect went with 10.2.
        if version >= (9, 2, 0):
            params.append(("reconnect-ms", backend.reconnect_ms))
        else:
            params.append(("reconnect", -(-backend.reconnect_ms // 1000)))
    return params


def _command_line(backend: Backend, version: Version) -> tuple[str, list[tuple[str, Scalar]]]:
    params: list[tuple[str, Scalar]] = []

    def add(key: str, value: Scalar | None) -> None:
        if value is not None and value != "":
            params.append((key, value))

    match backend:
        case UnixSocket():
            params.append(("path", backend.path))
            params += _socket_params(backend, version)
            if backend.abstract:
                params += [("abstract", True), ("tight", backend.tight)]
            return "socket", params
        case TcpSocket():
            # An empty host of a server is QEMU's 0.0.0.0; the key must still be there.
            params += [("host", backend.host), ("port", backend.port)]
            params += _socket_params(backend, version)
            add("to", backend.to)
            add("ipv4", backend.ipv4)
            add("ipv6", backend.ipv6)
            if backend.nodelay:
                params.append(("nodelay", True))
            add("tls-creds", backend.tls_creds)
            add("tls-authz", backend.tls_authz)
            return "socket", params
        case Pty():
            if backend.path and version < (9, 2, 0):
                raise _too_old("a pty with a path", "9.2")
            add("path", backend.path)
            return "pty", params
        case HostTty():
            return "serial", [("path", backend.path)]
        case File():
            params.append(("path", backend.path))
            if backend.append:
                params.append(("append", True))
            if backend.input_path and version < (8, 1, 0):
                raise _too_old("a file with an input path", "8.1")
            add("input-path", backend.input_path)
            return "file", params
        case Pipe():
            return "pipe", [("path", backend.path)]
        case Udp():
            params += [("host", backend.host or "localhost"), ("port", backend.port)]
            add("localaddr", backend.localaddr)
            add("localport", backend.localport)
            add("ipv4", backend.ipv4)
            add("ipv6", backend.ipv6)
            return "udp", params
        case Null():
            return "null", params
        case Ringbuf():
            return "ringbuf", [("size", backend.size)]
        case Stdio():
            return "stdio", [("signal", backend.signal)]
        case Vc():
            add("width", backend.width)
            add("height", backend.height)
            add("cols", backend.cols)
            add("rows", backend.rows)
            return "vc", params


def qmp(chardev_id: str, chardev: Chardev, version: Version) -> dict[str, Any]:
    """Return the arguments of QMP ``chardev-add`` (qapi/char.json).

    Raises:
        UsageError: QMP cannot create this backend (stdio belongs to the start),
            or the version does not have what is asked for.
    """
    name, data = _qapi(chardev.backend, version)
    if chardev.logfile:
        data["logfile"] = chardev.logfile
        data["logappend"] = chardev.logappend
    return {"id": check_id(chardev_id), "backend": {"type": name, "data": data}}


def _inet(host: str, port: int, backend: TcpSocket | Udp) -> dict[str, Any]:
    data: dict[str, Any] = {"host": host, "port": str(port)}
    for key, value in (("ipv4", backend.ipv4), ("ipv6", backend.ipv6)):
        if value is not None:
            data[key] = value
    return {"type": "inet", "data": data}


def _qapi(backend: Backend, version: Version) -> tuple[str, dict[str, Any]]:
    data: dict[str, Any] = {}
    match backend:
        case UnixSocket() | TcpSocket():
            if isinstance(backend, UnixSocket):
                address: dict[str, Any] = {"path": backend.path}
                if backend.abstract:
                    address |= {"abstract": True, "tight": backend.tight}
                data["addr"] = {"type": "unix", "data": address}
            else:
                data["addr"] = _inet(backend.host, backend.port, backend)
                if backend.to is not None:
                    data["addr"]["data"]["to"] = backend.to
                data |= {"nodelay": True} if backend.nodelay else {}
                data |= {"tls-creds": backend.tls_creds} if backend.tls_creds else {}
                data |= {"tls-authz": backend.tls_authz} if backend.tls_authz else {}
            # A waiting server would stop QMP itself, so a live one never waits.
            data["server"] = backend.server
            data |= {"wait": False} if backend.server else {}
            data |= {"telnet": True} if backend.telnet else {}
            data |= {"websocket": True} if backend.websocket else {}
            if backend.reconnect_ms:
                if version >= (9, 2, 0):
                    data["reconnect-ms"] = backend.reconnect_ms
                else:
                    data["reconnect"] = -(-backend.reconnect_ms // 1000)
            return "socket", data
        case Pty():
            _command_line(backend, version)
            return "pty", {"path": backend.path} if backend.path else {}
        case HostTty():
            return "serial", {"device": backend.path}
        case File():
            data["out"] = backend.path
            data |= {"append": True} if backend.append else {}
            data |= {"in": backend.input_path} if backend.input_path else {}
            return "file", data
        case Pipe():
            return "pipe", {"device": backend.path}
        case Udp():
            data["remote"] = _inet(backend.host or "localhost", backend.port, backend)
            if backend.localaddr or backend.localport is not None:
                data["local"] = _inet(backend.localaddr, backend.localport or 0, backend)
            return "udp", data
        case Null():
            return "null", data
        case Ringbuf():
            return "ringbuf", {"size": backend.size}
        case Vc():
            sizes = {"width": backend.width, "height": backend.height,
                     "cols": backend.cols, "rows": backend.rows}  # fmt: skip
            return "vc", {key: value for key, value in sizes.items() if value is not None}
        case Stdio():
            raise UsageError(
                "stdio cannot be added to a running VM", hint="choose a socket or a pty"
            )
