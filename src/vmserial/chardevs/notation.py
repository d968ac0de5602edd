"""How people write chardev backends.

The text form is ``NAME[=VALUE][,key=value…]``, with a comma inside a value
doubled, as QEMU itself writes it::

    socket | socket=/run/vm.serial1[,server=off,reconnect=5]
    tcp=127.0.0.1:4001[,telnet=on]        tcp=[::1]:4001,server=off
    pty | pty=/run/vm.tty1                /dev/ttyS0
    file=/var/log/vm.log[,append=on]      pipe=/run/vm.fifo
    udp=127.0.0.1:4001[,localport=4002]   null   ringbuf[=65536]   stdio   vc[=80x24]

each with ``logfile=PATH`` and ``logappend=on``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vmserial.errors import ConfigError, UsageError
from vmserial.limits import SUN_PATH_MAX
from vmserial.model import (
    Backend,
    Chardev,
    File,
    HostTty,
    Null,
    Pipe,
    Pty,
    Ringbuf,
    SourceRef,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)
from vmserial.options import Scalar, check_id, scalar_text, split_params

NAMES = ("socket", "tcp", "telnet", "pty", "tty", "file", "pipe", "udp", "null", "ringbuf",
         "stdio", "vc")  # fmt: skip


_QEMUS = {"tcp": "tcp", "telnet": "telnet", "unix": "socket", "udp": "udp", "file": "file",
          "pipe": "pipe", "vc": "vc"}  # fmt: skip
"""QEMU's own -serial forms, ``NAME:VALUE``, and our names for them."""

# ------------------------------------------------------------------ text → model


@dataclass
class _Words:
    """The keys of one text form; every key must be taken, or it is an error."""

    where: str
    values: dict[str, str]
    unknown_hint: list[str] = field(default_factory=list)

    def fail(self, message: str, hint: str) -> ConfigError:
        return ConfigError(message, hint=hint, where=self.where)

    def text(self, key: str, default: str = "") -> str:
        self.unknown_hint.append(key)
        value = self.values.pop(key, default)
        if "\0" in value or "\n" in value:
            raise self.fail(f"{key} holds a NUL or newline byte", "remove it")
        return value

    def flag(self, key: str, default: bool) -> bool:
        chosen = self.maybe_flag(key)
        return default if chosen is None else chosen

    def maybe_flag(self, key: str) -> bool | None:
        value = self.text(key, "")
        if not value:
            return None
        if value in {"on", "yes", "true", "1"}:
            return True
        if value in {"off", "no", "false", "0"}:
            return False
        raise self.fail(f"{key}={value} is neither on nor off", f"write {key}=on or {key}=off")

    def number(self, key: str, low: int, high: int) -> int | None:
        value = self.text(key, "")
        if not value:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise self.fail(
                f"{key}={value} is not a number from {low} to {high}", f"give {key}={low}…{high}"
            )
        return int(value)

    def done(self) -> None:
        if self.values:
            key = next(iter(self.values))
            import difflib

            near = difflib.get_close_matches(key, self.unknown_hint, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self.unknown_hint)}"
            raise self.fail(f"this backend has no option {key!r}", hint)


def parse(text: str, where: SourceRef | None = None, *, socket_path: str = "") -> Chardev:
    """Read the text form of a chardev.

    Args:
        text: see the module's docstring.
        where: for the error's place.
        socket_path: the path that a bare ``socket`` means.

    Raises:
        ConfigError: an unknown backend or option, a value that QEMU would refuse.
    """
    place = str(where) if where else ""
    head, pairs = split_params(text)
    values: dict[str, str] = {}
    for key, value in pairs:
        if key in values:
            raise ConfigError(f"{key!r} is given twice", hint="keep one of them", where=place)
        values[key] = value
    if head.startswith("/"):
        name, main = "tty", head
    elif head:
        name, main = head, ""
    elif values:
        name = next(iter(values))
        main = values.pop(name)
    else:
        raise ConfigError("no backend is named", hint=f"one of: {', '.join(NAMES)}", where=place)
    build = _BUILDERS.get(name)
    if build is None:
        import difflib

        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        qemus, colon, rest = name.partition(":")
        if colon and qemus in _QEMUS:
            # As -serial of QEMU has it.
            hint = f"did you mean {_QEMUS[qemus]}={rest}? "
        raise ConfigError(
            f"there is no backend {name!r}",
            hint=f"{hint}known: {', '.join(NAMES)}, /dev/…",
            where=place,
        )
    words = _Words(place, values)
    if "\0" in main or "\n" in main:
        raise words.fail("the value holds a NUL or newline byte", "remove it")
    logfile = words.text("logfile")
    logappend = words.flag("logappend", False)
    if logappend and not logfile:
        raise words.fail("logappend=on without logfile", "add logfile=PATH")
    backend = build(words, main or (socket_path if name == "socket" else ""))
    words.done()
    return Chardev(backend, logfile, logappend)


def _reconnect(words: _Words, server: bool) -> int:
    seconds = words.number("reconnect", 0, 86400)
    millis = words.number("reconnect-ms", 0, 86_400_000)
    if seconds is not None and millis is not None:
        raise words.fail("reconnect and reconnect-ms are both given", "keep one of them")
    result = millis if millis is not None else (seconds or 0) * 1000
    if result and server:
        raise words.fail("only a client reconnects", "add server=off, or remove reconnect")
    return result


def _unix(words: _Words, path: str) -> UnixSocket:
    if not path:
        raise words.fail("the socket has no path", "write socket=/run/…/NAME")
    abstract = words.flag("abstract", False)
    if len(path.encode()) > SUN_PATH_MAX - abstract:
        raise words.fail(
            f"the socket's path has {len(path.encode())} bytes, the system allows "
            f"{SUN_PATH_MAX - abstract}",
            "choose a shorter directory or name",
        )
    server = words.flag("server", True)
    return UnixSocket(
        path,
        server=server,
        wait=_wait(words, server),
        abstract=abstract,
        tight=words.flag("tight", True),
        telnet=words.flag("telnet", False),
        websocket=_websocket(words, server),
        reconnect_ms=_reconnect(words, server),
    )


def _wait(words: _Words, server: bool) -> bool:
    wait = words.flag("wait", False)
    if wait and not server:
        raise words.fail("only a server waits for its client", "remove wait=on")
    return wait


def _websocket(words: _Words, server: bool) -> bool:
    websocket = words.flag("websocket", False)
    if websocket and not server:
        raise words.fail("QEMU speaks websocket only as server", "remove server=off")
    return websocket


def _host_port(words: _Words, text: str, low: int) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]]*)):([0-9]{1,5})", text)
    if match is None:
        raise words.fail(
            f"{text!r} is not HOST:PORT", "write 127.0.0.1:4001, or [::1]:4001 for IPv6"
        )
    port = int(match.group(3))
    if not low <= port <= 65535:
        raise words.fail(f"port {port} is not within {low}…65535", "choose another port")
    return match.group(1) or match.group(2) or "", port


def _tcp(words: _Words, text: str) -> TcpSocket:
    server = words.flag("server", True)
    host, port = _host_port(words, text, 0 if server else 1)
    if not host and not server:
        raise words.fail("a client needs a host", "write HOST:PORT")
    to = words.number("to", max(port, 1), 65535)
    if to is not None and not server:
        raise words.fail("only a server tries several ports", "remove to=")
    creds, authz = words.text("tls-creds"), words.text("tls-authz")
    for identifier in filter(None, (creds, authz)):
        try:
            check_id(identifier)
        except UsageError as error:
            raise words.fail(error.message, error.hint) from None
    if authz and not creds:
        raise words.fail("tls-authz without tls-creds", "add tls-creds=ID")
    return TcpSocket(
        host,
        port,
        server=server,
        wait=_wait(words, server),
        to=to,
        ipv4=words.maybe_flag("ipv4"),
        ipv6=words.maybe_flag("ipv6"),
        nodelay=words.flag("nodelay", False),
        telnet=words.flag("telnet", False),
        websocket=_websocket(words, server),
        tls_creds=creds,
        tls_authz=authz,
        reconnect_ms=_reconnect(words, server),
    )


def _telnet(words: _Words, text: str) -> TcpSocket:
    words.values.setdefault("telnet", "on")
    return _tcp(words, text)


def _needs_path(words: _Words, path: str, example: str) -> str:
    if not path:
        raise words.fail("the path is missing", f"write {example}")
    return path


def _tty(words: _Words, path: str) -> HostTty:
    if not path.startswith("/dev/") or path.endswith("/"):
        raise words.fail(f"{path!r} is not a device of the host", "write /dev/ttyS0 or the like")
    return HostTty(path)


def _file(words: _Words, path: str) -> File:
    return File(
        _needs_path(words, path, "file=PATH"),
        append=words.flag("append", False),
        input_path=words.text("input-path"),
    )


def _pipe(words: _Words, path: str) -> Pipe:
    return Pipe(_needs_path(words, path, "pipe=PATH"))


def _udp(words: _Words, text: str) -> Udp:
    host, port = _host_port(words, text, 1)
    return Udp(
        host,
        port,
        localaddr=words.text("localaddr"),
        localport=words.number("localport", 0, 65535),
        ipv4=words.maybe_flag("ipv4"),
        ipv6=words.maybe_flag("ipv6"),
    )


def _pty(words: _Words, path: str) -> Pty:
    del words
    return Pty(path)


def _null(words: _Words, text: str) -> Null:
    if text:
        raise words.fail("null takes no value", "write null alone")
    return Null()


def _ringbuf(words: _Words, text: str) -> Ringbuf:
    size = text or "65536"
    if not re.fullmatch(r"[0-9]{1,10}", size) or (number := int(size)) < 1 or number & (number - 1):
        raise words.fail(f"{size!r} is not a power of two", "write ringbuf=65536")
    if number > 1 << 30:
        raise words.fail(f"a ring of {number} bytes is too large", "at most 1073741824 (1 GiB)")
    return Ringbuf(number)


def _stdio(words: _Words, text: str) -> Stdio:
    if text:
        raise words.fail("stdio takes no value", "write stdio alone")
    return Stdio(signal=words.flag("signal", False))


def _vc(words: _Words, text: str) -> Vc:
    if not text:
        return Vc()
    match = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})(px)?", text)
    if match is None:
        raise words.fail(f"{text!r} is not a size", "write vc=80x24 (cells) or vc=640x480px")
    first, second = int(match.group(1)), int(match.group(2))
    if match.group(3):
        return Vc(width=first, height=second)
    return Vc(cols=first, rows=second)


_BUILDERS: Mapping[str, Callable[[_Words, str], Backend]] = {
    "socket": _unix,
    "tcp": _tcp,
    "telnet": _telnet,
    "pty": _pty,
    "tty": _tty,
    "file": _file,
    "pipe": _pipe,
    "udp": _udp,
    "null": _null,
    "ringbuf": _ringbuf,
    "stdio": _stdio,
    "vc": _vc,
}


# ------------------------------------------------------------------ model → text


def text(chardev: Chardev) -> str:
    """Return the text form of ``chardev``; :func:`parse` reads it back."""
    main, params = _text_parts(chardev.backend)
    if chardev.logfile:
        params.append(("logfile", chardev.logfile))
        if chardev.logappend:
            params.append(("logappend", True))
    tail = "".join(f",{key}={scalar_text(value).replace(',', ',,')}" for key, value in params)
    return main + tail


def _text_parts(backend: Backend) -> tuple[str, list[tuple[str, Scalar]]]:
    params: list[tuple[str, Scalar]] = []

    def add(key: str, value: Scalar | None, default: Scalar | None) -> None:
        if value is not None and value != default:
            params.append((key, value))

    def doubled(value: str) -> str:
        return value.replace(",", ",,")

    match backend:
        case UnixSocket():
            main = f"socket={doubled(backend.path)}"
            add("server", backend.server, True)
            add("wait", backend.wait, False)
            add("abstract", backend.abstract, False)
            add("tight", backend.tight, True)
            add("telnet", backend.telnet, False)
            add("websocket", backend.websocket, False)
            add("reconnect-ms", backend.reconnect_ms, 0)
        case TcpSocket():
            main = f"tcp={_joined(backend.host, backend.port)}"
            add("server", backend.server, True)
            add("wait", backend.wait, False)
            add("to", backend.to, None)
            add("ipv4", backend.ipv4, None)
            add("ipv6", backend.ipv6, None)
            add("nodelay", backend.nodelay, False)
            add("telnet", backend.telnet, False)
            add("websocket", backend.websocket, False)
            add("tls-creds", backend.tls_creds, "")
            add("tls-authz", backend.tls_authz, "")
            add("reconnect-ms", backend.reconnect_ms, 0)
        case Pty():
            main = f"pty={doubled(backend.path)}" if backend.path else "pty"
        case HostTty():
            main = doubled(backend.path)
        case File():
            main = f"file={doubled(backend.path)}"
            add("append", backend.append, False)
            add("input-path", backend.input_path, "")
        case Pipe():
            main = f"pipe={doubled(backend.path)}"
        case Udp():
            main = f"udp={_joined(backend.host, backend.port)}"
            add("localaddr", backend.localaddr, "")
            add("localport", backend.localport, None)
            add("ipv4", backend.ipv4, None)
            add("ipv6", backend.ipv6, None)
        case Null():
            main = "null"
        case Ringbuf():
            main = f"ringbuf={backend.size}"
        case Stdio():
            main = "stdio"
            add("signal", backend.signal, False)
        case Vc():
            main = "vc"
            if backend.cols is not None:
                main = f"vc={backend.cols}x{backend.rows}"
            elif backend.width is not None:
                main = f"vc={backend.width}x{backend.height}px"
    return main, params


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
