"""Faults put into the host's end of a port on purpose, to prove that a check can fail.

``vmserial verify`` with a mutant must turn red, with the mutant's name::

    drop@serial3                      16 bytes are lost, both ways
    corrupt@serial2:host->guest       one bit is flipped in what the guest receives
    crosswire@serial3+serial5         the wires of two ports are exchanged

A mutant is deterministic: its place in a transfer follows from its seed.  It
strikes once in each transfer, a transfer being one :meth:`Endpoint.send`, or
what comes in between two calls of :meth:`Endpoint.clear`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vmserial.errors import UsageError
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, Direction, FaultKind
from vmserial.verify.wire.endpoints import Endpoint

if TYPE_CHECKING:
    from random import Random

SIZE = 16
"""Bytes that a mutant is about: a 16550A's FIFO."""

_FIRST, _LAST = 48, 400
"""Where in a transfer a mutant may strike: past the first header, within the shortest stream."""

LATE = 0.02
"""Seconds after the last byte at which ``late-extra`` adds its own."""


class MutantKind(StrEnum):
    """What a mutant does."""

    DROP = "drop"
    SWAP = "swap"
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    CROSSWIRE = "crosswire"
    STALL = "stall"
    LATE_EXTRA = "late-extra"


_EXPECTED = {
    MutantKind.DROP: FaultKind.LOSS,
    MutantKind.SWAP: FaultKind.REORDER,
    MutantKind.DUPLICATE: FaultKind.DUPLICATE,
    MutantKind.CORRUPT: FaultKind.CORRUPT,
    MutantKind.CROSSWIRE: FaultKind.CROSSWIRE,
    MutantKind.STALL: FaultKind.TRUNCATED,
    MutantKind.LATE_EXTRA: FaultKind.EXTRA,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault to be put in.

    Attributes:
        kind: what it does.
        port: ``serialN``.
        direction: whose bytes it changes; empty for both directions.
        other: the second port of ``crosswire``.
        seed: the same one strikes at the same place.
    """

    kind: MutantKind
    port: str
    direction: Direction = ""
    other: str = ""
    seed: int = 0

    def __str__(self) -> str:
        text = f"{self.kind}@{self.port}"
        if self.other:
            text += f"+{self.other}"
        return f"{text}:{self.direction}" if self.direction else text

    @property
    def expected(self) -> FaultKind:
        """The name that :func:`vmserial.verify.wire.frames.analyse` must give to it."""
        return _EXPECTED[self.kind]

    def install(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Put it into the path of its port (and, crossing wires, of the other one).

        Args:
            endpoints: by the ports' names.

        Raises:
            UsageError: there is no such port.
        """
        names = [self.port, self.other] if self.other else [self.port]
        for name in names:
            if name not in endpoints:
                raise UsageError(
                    f"the mutant {self} is for {name}, which is not tested",
                    hint=f"the ports are {', '.join(sorted(endpoints, key=_number))}",
                )
        one = endpoints[self.port]
        inward = self.direction in (GUEST_TO_HOST, "")
        outward = self.direction in (HOST_TO_GUEST, "")
        if self.kind is MutantKind.CROSSWIRE:
            two = endpoints[self.other]
            if inward:
                one.inbox, two.inbox = two.inbox, one.inbox
            if outward:
                one.outlet, two.outlet = two.outlet, one.outlet
            return
        if inward:
            late = self.kind is MutantKind.LATE_EXTRA
            one.tap_in = _Late(self.seed, one) if late else _Strike(self.kind, self.seed)
        if outward:
            one.tap_out = _Strike(self.kind, self.seed)


def _chance(words: str) -> Random:
    """Return a generator that gives the same numbers for the same words."""
    from random import Random  # a run without mutants does not import it

    return Random(words)


class _Strike:
    """A :class:`~vmserial.verify.wire.endpoints.Tap` that strikes once a transfer.

    Bytes that it needs to see whole are held back until they are there, so that
    the result does not depend on how a transfer is cut into reads.
    """

    def __init__(self, kind: MutantKind, seed: int) -> None:
        self.kind = kind
        self.seed = seed
        self.transfer = 0
        self._held = b""
        self._begin()

    def end(self) -> bytes:
        """Let go of what was held, and begin a new transfer."""
        rest = self._held
        if self.kind is MutantKind.LATE_EXTRA:
            rest += self._random.randbytes(SIZE)
        self.transfer += 1
        self._begin()
        return rest

    def _begin(self) -> None:
        self._random = _chance(f"{self.kind} {self.seed} {self.transfer}")
        self._at = self._random.randrange(_FIRST, _LAST)
        self._passed = 0
        self._held = b""
        self._struck = False

    def feed(self, data: bytes) -> bytes:
        """Return what goes on when ``data`` comes."""
        if self.kind is MutantKind.LATE_EXTRA or (
            self._struck and self.kind is not MutantKind.STALL
        ):
            return data
        data = self._held + data
        self._held = b""
        offset = self._at - self._passed
        if self.kind is MutantKind.STALL:
            self._passed += len(data)
            return data[: max(0, offset)]
        needed = 2 * SIZE if self.kind is MutantKind.SWAP else SIZE
        if len(data) < offset + needed:
            ready = data[: max(0, offset)]
            self._held = data[len(ready) :]
            self._passed += len(ready)
            return ready
        self._struck = True
        run = data[offset : offset + needed]
        return data[:offset] + self._change(run) + data[offset + needed :]

    def _change(self, run: bytes) -> bytes:
        if self.kind is MutantKind.DROP:
            return b""
        if self.kind is MutantKind.DUPLICATE:
            return run + run
        if self.kind is MutantKind.SWAP:
            return run[SIZE:] + run[:SIZE]
        return bytes([run[0] ^ (1 << self._random.randrange(8))]) + run[1:]


class _Late:
    """A tap that adds bytes when nothing has come for :data:`LATE` seconds."""

    def __init__(self, seed: int, endpoint: Endpoint) -> None:
        self._random = _chance(f"late-extra {seed}")
        self._endpoint = endpoint
        self._timer: asyncio.TimerHandle | None = None

    def end(self) -> bytes:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return b""

    def feed(self, data: bytes) -> bytes:
        self.end()
        self._timer = asyncio.get_running_loop().call_later(LATE, self._add)
        return data

    def _add(self) -> None:
        self._endpoint.inbox.keep(self._random.randbytes(SIZE))


def _number(name: str) -> tuple[int, str]:
    digits = name.removeprefix("serial")
    return (int(digits) if digits.isdecimal() else -1, name)


_FORM = re.compile(
    r"(?P<kind>[a-z-]+)@(?P<port>serial[0-9]{1,9})(?:\+(?P<other>serial[0-9]{1,9}))?"
    r"(?::(?P<way>guest->host|host->guest))?\Z"
)


def parse(text: str, seed: int = 0) -> Mutant:
    """Read ``kind@serialN``, ``crosswire@serialN+serialM``, each with ``:direction`` or not.

    Raises:
        UsageError: it is none of these.
    """
    match = _FORM.match(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not a mutant",
            hint="write it as drop@serial3, corrupt@serial2:host->guest or "
            "crosswire@serial3+serial5",
        )
    kinds = [kind.value for kind in MutantKind]
    if match["kind"] not in kinds:
        import difflib  # only the way to an error needs it

        near = difflib.get_close_matches(match["kind"], kinds, 1)
        raise UsageError(
            f"{match['kind']!r} is not a kind of mutant",
            hint=f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}",
        )
    kind = MutantKind(match["kind"])
    other = match["other"] or ""
    if (kind is MutantKind.CROSSWIRE) != bool(other) or other == match["port"]:
        raise UsageError(
            f"{text!r}: crosswire is for two different ports, every other mutant for one",
            hint="write it as crosswire@serial3+serial5",
        )
    ways: dict[str | None, Direction] = {
        None: "", GUEST_TO_HOST: GUEST_TO_HOST, HOST_TO_GUEST: HOST_TO_GUEST
    }  # fmt: skip
    return Mutant(kind, match["port"], ways[match["way"]], other, seed)
