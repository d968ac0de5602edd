"""The sockets of a command line: paths and TCP ports that QEMU listens on or connects to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vmserial.limits import SUN_PATH_MAX
from vmserial.sources.command import CommandOption

_LOOPBACK = {"localhost": "127.0.0.1"}


@dataclass(frozen=True)
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
        """The system takes no such path."""
        return len(self.path.encode("utf-8", "surrogateescape")) > SUN_PATH_MAX


@dataclass(frozen=True)
class TcpServer:
    """A TCP port that QEMU listens on.

    Attributes:
        option: what names it.
        id: of its chardev; empty: the option has its own.
        host: its address; empty: all of both families.
        port: its number, or a service's name.
        rival: an earlier one that has the port.
        free: a number that nothing here has, where there is a rival.
    """

    option: CommandOption
    id: str
    host: str
    port: str
    rival: TcpServer | None = None
    free: str = ""

    def blocks(self, later: TcpServer) -> bool:
        """Tell whether a later one cannot be listened on.

        Run with QEMU 7.2: one that names no host takes what it can get of both families, and
        fails if that is nothing; ``::`` takes IPv4 as well.
        """
        if self.port != later.port:
            return False
        one, two = (_LOOPBACK.get(each.host, each.host) for each in (self, later))
        if one == two or not two or ":" in two:
            return one == two
        return one in {"", "::", "0.0.0.0"} or (two == "0.0.0.0" and ":" not in one)
