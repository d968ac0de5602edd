"""The sockets of a command line: paths and TCP ports that QEMU listens on or connects to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from vmserial.limits import SUN_PATH_MAX, VNC_PORT
from vmserial.records import record
from vmserial.sources.command import CommandOption, CommandView
from vmserial.values import is_on

FAMILIES = frozenset({4, 6})
"""IPv4 and IPv6."""

_INCOMING = re.compile(r"(?:tcp|rdma):(.*):([0-9]+)(?:,|\Z)")
_FORWARD = re.compile(r"(?:tcp)?:(.*?):([0-9]+)-")
_LISTEN = re.compile(r"(.*):([0-9]+)\Z")

_LOOPBACK = {"localhost": "127.0.0.1"}


@record(frozen=True)
class Socket:
    """A unix socket of the host.

    Attributes:
        option: what names it.
        id: of its chardev; empty: the option has its own.
        path: as written.
        server: QEMU listens.
        first: of two servers of one path, the other one's id or option; empty: it has its own.
        new: a path that nothing has, where ``first`` is set.
        waits: QEMU waits for a client; ``said``: because the option says so.
        abstract: it stands in no directory.
    """

    option: CommandOption
    id: str
    path: str
    server: bool
    first: str = ""
    new: str = ""
    waits: Literal["", "said", "unsaid"] = ""
    abstract: bool = False

    @property
    def own(self) -> bool:
        """A chardev names it, so that its keys can be changed."""
        return self.option.name == "chardev"

    @property
    def too_long(self) -> bool:
        """QEMU takes no such path; the longest has no room for its closing NUL (run on 7.2)."""
        most = SUN_PATH_MAX if self.abstract else SUN_PATH_MAX + 1
        return len(self.path.encode("utf-8", "surrogateescape")) > most


@record(frozen=True)
class TcpServer:
    """A TCP port that QEMU listens on.

    Attributes:
        option: what names it.
        id: of its chardev; empty: the option has its own.
        host: its address; empty: all of both families.
        port: its number, or a service's name.
        rival: an earlier one that has the port.
        free: a number that nothing here has, where there is a rival.
        families: 4 and 6, or the one of them that ``ipv4=`` and ``ipv6=`` leave.
        fixed: it is no chardev's: another one's number is changed.
    """

    option: CommandOption
    id: str
    host: str
    port: str
    rival: TcpServer | None = None
    free: str = ""
    families: frozenset[int] = FAMILIES
    fixed: bool = False

    def blocks(self, later: TcpServer) -> bool:
        """Tell whether a later one cannot be listened on.

        Run with QEMU 7.2: one that names no host takes what it can get of both families, and
        fails if that is nothing; ``::`` takes IPv4 as well.
        """
        if self.port != later.port or not self._reach & later._reach:
            return False
        one, two = (each._address for each in (self, later))
        if one == two or not two or ":" in two:
            return one == two
        return one in {"", "::", "0.0.0.0"} or (two == "0.0.0.0" and ":" not in one)

    @property
    def _reach(self) -> frozenset[int]:
        return self.families - {6} if self._address.startswith("127.") else self.families

    @property
    def _address(self) -> str:
        if not self.host and len(self.families) == 1:
            return "0.0.0.0" if 4 in self.families else "::"
        return _LOOPBACK.get(self.host, self.host)


def families(params: Mapping[str, str]) -> frozenset[int]:
    """Return the families that ``ipv4=`` and ``ipv6=`` leave (util/qemu-sockets.c)."""
    said = {4: params.get("ipv4"), 6: params.get("ipv6")}
    wanted = {family for family, text in said.items() if is_on(text)}
    refused = {family for family, text in said.items() if text and not is_on(text)}
    return frozenset(wanted or FAMILIES - refused) or FAMILIES


_LISTENING = frozenset({"s", "vnc", "display", "incoming", "netdev", "nic", "net"})
"""Options beside chardevs and ports that can make QEMU listen."""


def others(view: CommandView) -> Iterator[TcpServer]:
    """Yield the TCP ports that other parts of QEMU listen on: screens, networks, a debugger."""
    for option in view.options:
        if option.name not in _LISTENING:
            continue
        value = option.value or ""
        places: list[tuple[str, str]] = []
        if option.name == "s":
            places.append(("", "1234"))
        elif option.name in {"vnc", "display"}:
            screen = value if option.name == "vnc" else value.removeprefix("vnc=")
            if option.name == "vnc" or screen != value:
                places += _screen(screen)
        elif option.name == "incoming":
            match = _INCOMING.match(value)
            places += [(match[1], match[2])] if match else []
        elif option.name in {"netdev", "nic", "net"}:
            for item in option.params.items:
                pattern = {"hostfwd": _FORWARD, "listen": _LISTEN}.get(item.key)
                match = pattern.match(item.value) if pattern else None
                places += [(match[1], match[2])] if match else []
        for host, port in places:
            yield TcpServer(option, "", _bracketless(host), port, fixed=True)


def _screen(value: str) -> list[tuple[str, str]]:
    """Return the port of a VNC screen; none of a unix socket, or where it looks for a free one."""
    place, *more = value.split(",")
    host, colon, number = place.rpartition(":")
    seeks = any(word.startswith(("to=", "reverse")) for word in more)
    if not colon or not number.isdecimal() or host == "unix" or seeks:
        return []
    return [(host, str(VNC_PORT + int(number)))]


def _bracketless(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")
