"""What a host has at the places that a command names; gathered by :mod:`vmserial.host`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PathKind = Literal[
    "missing", "file", "directory", "fifo", "socket", "character", "block", "unknown"
]
"""What stands at a path; ``unknown``: it may not be looked at."""

Family = Literal[4, 6]
"""IPv4 or IPv6."""


@dataclass(frozen=True)
class TcpListener:
    """A TCP port that a process of this host listens on.

    Attributes:
        family: of its address.
        address: as text; ``0.0.0.0`` or ``::`` for all addresses.
        port: its number.
    """

    family: Family
    address: str
    port: int

    @property
    def anywhere(self) -> bool:
        """It listens on all addresses of its family."""
        return self.address in {"0.0.0.0", "::"}


@dataclass(frozen=True)
class HostFacts:
    """What was seen; what is in none of the fields was not looked at.

    Attributes:
        paths: what stands at each path, its links followed.
        listening: UNIX socket paths (``@name`` of abstract ones) with a listener.
        tcp: TCP listeners.
        tcp_seen: the listeners could be read at all.
    """

    paths: Mapping[str, PathKind] = field(default_factory=dict)
    listening: frozenset[str] = frozenset()
    tcp: tuple[TcpListener, ...] = ()
    tcp_seen: bool = False
