"""The short forms of character devices, as -serial, -monitor, -qmp and others take them.

``tcp:HOST:PORT,server,nowait`` and its like become the backend's name and the
keys that -chardev would have (chardev/char.c, ``qemu_chr_parse_compat()``).
"""

from __future__ import annotations

import re
from dataclasses import field

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
from vmserial.records import record
from vmserial.sources.command.params import Params
from vmserial.values import OFF, ON, integer, size

_ALONE = frozenset({"null", "pty", "msmouse", "wctablet", "braille", "testdev", "stdio"})
_VC = re.compile(r"(?:([0-9]+)C|([0-9]+))x(?:([0-9]+)C|([0-9]+))\Z")
_UDP = re.compile(r"([^:,]*|\[[^\]]*\]):([^:@,]*)(?:@(\[[^\]]*\]|[^:,]*)?:([^:,]*))?\Z")
_SOCKETS = {"tcp": "", "telnet": "telnet", "tn3270": "tn3270", "websocket": "websocket"}


@record(frozen=True)
class HostSide:
    """What an option connects a port to.

    Attributes:
        form: ``none``, ``chardev`` (a -chardev by its id), ``inline`` (a backend of
            its own) or ``unknown`` (QEMU would refuse it).
        chardev_id: of ``chardev``.
        backend: of ``inline``, the backend's name as -chardev has it.
        params: its keys as -chardev has them.
        mux_monitor: ``mon:`` stands before: a monitor shares the backend.
    """

    form: str
    chardev_id: str = ""
    backend: str = ""
    params: dict[str, str] = field(default_factory=dict)
    mux_monitor: bool = False

    @property
    def chardev(self) -> Chardev | None:
        """The backend in the model's terms; None where the model has none for it."""
        return chardev_of(self.backend, self.params) if self.form == "inline" else None


def host_side(text: str, *, listens: bool = False) -> HostSide:
    """Read the value of -serial, -parallel, -monitor, -qmp, -debugcon or -gdb.  Never fails.

    Args:
        text: the value.
        listens: over TCP it is a server, whether it says so or not (-gdb; gdbstub.c).
    """
    mux = text.startswith("mon:")
    if mux:
        text = text.removeprefix("mon:")
    if text == "none":
        return HostSide("none", mux_monitor=mux)
    if text.startswith("chardev:"):
        return HostSide("chardev", text.removeprefix("chardev:"), mux_monitor=mux)
    found = _inline(text)
    if found is None:
        return HostSide("unknown", mux_monitor=mux)
    backend, params = found
    if listens and "port" in params:
        params |= {"server": "on", "wait": "off"}
    return HostSide("inline", "", backend, params, mux)


def _inline(text: str) -> tuple[str, dict[str, str]] | None:
    name, colon, rest = text.partition(":")
    result: tuple[str, dict[str, str]] | None = None
    if text in _ALONE:
        result = text, {}
    elif text == "vc":
        result = "vc", {}
    elif name == "vc" and (match := _VC.match(rest)):
        keys = ("cols", "width", "rows", "height")
        found = {k: v for k, v in zip(keys, match.groups(), strict=True) if v}
        result = "vc", found
    elif text == "con:":
        result = "console", {}
    elif re.fullmatch(r"COM[0-9]+", text):
        result = "serial", {"path": text}
    elif name in {"file", "pipe", "pty"} and colon and rest:
        result = name, {"path": rest}
    elif name in _SOCKETS and colon:
        head, _, options = rest.partition(",")
        host, separator, port = head.rpartition(":")
        if separator and port:
            params = {"host": _bracketless(host), "port": port} if host else {"port": port}
            params |= _keys(options)
            if _SOCKETS[name]:
                params[_SOCKETS[name]] = "on"
            result = "socket", params
    elif name == "unix" and rest:
        parsed = Params.parse(rest, "path").values
        if parsed.get("path"):
            result = "socket", dict(parsed)
    elif name == "udp" and (match := _UDP.match(rest)):
        pairs = zip(("host", "port", "localaddr", "localport"), match.groups(), strict=True)
        result = "udp", {key: _bracketless(value) for key, value in pairs if value}
    elif text.startswith(("/dev/parport", "/dev/ppi")):
        result = "parallel", {"path": text}
    elif text.startswith("/dev/"):
        result = "serial", {"path": text}
    return result


def _keys(options: str) -> dict[str, str]:
    # A leading comma makes each part a later one: none is an implied key.
    return dict(Params.parse("," + options).values) if options else {}


def _bracketless(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


# ------------------------------------------------------------------ into the model


def chardev_of(backend: str, params: dict[str, str]) -> Chardev | None:
    """Return a -chardev in the model's terms, or None where it has no place in the model.

    What QEMU assumes is filled in: a socket is a client unless ``server`` is
    said, and a server waits for its client unless ``wait=off``.
    """
    try:
        found = _backend(backend, params)
    except ValueError:
        return None
    if found is None:
        return None
    return Chardev(found, params.get("logfile", ""), _flag(params, "logappend", False))


def _flag(params: dict[str, str], key: str, default: bool) -> bool:
    value = params.get(key, "")
    if not value:
        return default
    if value in ON | OFF:
        return value in ON
    raise ValueError(key)


def _maybe(params: dict[str, str], key: str) -> bool | None:
    return _flag(params, key, False) if key in params else None


def _number(params: dict[str, str], key: str) -> int | None:
    value = params.get(key, "")
    if not value:
        return None
    found = integer(value)
    if found is None:
        raise ValueError(key)
    return found


def _backend(name: str, params: dict[str, str]) -> Backend | None:
    path = params.get("path", "")
    found: Backend | None = None
    if name == "socket":
        found = _socket(params)
    elif name == "pty":
        found = Pty(path)
    elif name in {"serial", "tty"} and path:
        found = HostTty(path)
    elif name == "file" and path:
        found = File(path, _flag(params, "append", False), params.get("input-path", ""))
    elif name == "pipe" and path:
        found = Pipe(path)
    elif name == "udp":
        port = _number(params, "port")
        if port is not None:
            found = Udp(
                params.get("host", "localhost"), port, params.get("localaddr", ""),
                _number(params, "localport"), _maybe(params, "ipv4"), _maybe(params, "ipv6"),
            )  # fmt: skip
    elif name == "null":
        found = Null()
    elif name in {"ringbuf", "memory"}:
        found = Ringbuf(_size(params.get("size", "65536")))
    elif name == "stdio":
        found = Stdio(_flag(params, "signal", True))
    elif name == "vc":
        found = Vc(*(_number(params, key) for key in ("width", "height", "cols", "rows")))
    return found


def _size(text: str) -> int:
    found = size(text)
    if found is None:
        raise ValueError(text)
    return found


def _socket(params: dict[str, str]) -> Backend | None:
    server = _flag(params, "server", False)
    wait = _flag(params, "wait", server) and server
    telnet, websocket = _flag(params, "telnet", False), _flag(params, "websocket", False)
    seconds, millis = _number(params, "reconnect"), _number(params, "reconnect-ms")
    reconnect = millis if millis is not None else (seconds or 0) * 1000
    if params.get("path"):
        return UnixSocket(
            params["path"], server, wait, _flag(params, "abstract", False),
            _flag(params, "tight", True), telnet, websocket, reconnect,
        )  # fmt: skip
    port = _number(params, "port")
    if port is None:
        return None
    # A bare "nodelay" reads as delay=off, which is the older name of the same key.
    nodelay = _flag(params, "nodelay", not _flag(params, "delay", True))
    return TcpSocket(
        params.get("host", ""), port, server, wait, _number(params, "to"),
        _maybe(params, "ipv4"), _maybe(params, "ipv6"), nodelay,
        telnet, websocket, params.get("tls-creds", ""), params.get("tls-authz", ""), reconnect,
    )  # fmt: skip
