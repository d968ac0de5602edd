"""What did not come in time, and may yet come: late is told from lost.

A port that holds bytes back looks like one that loses them, until they come.  So what a check
missed is remembered; where it turns up in a later check it has its name, and at the end of a VM
it is waited for once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmserial.guests.farend import FarEnd
from vmserial.verify.request import Limits
from vmserial.verify.results import GUEST_TO_HOST, Direction, FaultKind
from vmserial.verify.wire import floods
from vmserial.verify.wire.form import Stream
from vmserial.verify.wire.frames import Analysis, analyse

if TYPE_CHECKING:
    from vmserial.verify.wire.transfer import Line

_MOST = 64
"""Streams that are remembered: of a run with more losses, the last ones."""

_PAUSE = 0.25
"""Seconds between two looks."""

_MISSED = {FaultKind.LOSS, FaultKind.TRUNCATED}


@dataclass(frozen=True)
class Missed:
    """A stream of which bytes did not come.

    Attributes:
        line: its port.
        stream: it.
        missing: how many of its bytes.
        since: when that was seen, by the event loop's clock.
    """

    line: Line
    stream: Stream
    missing: int
    since: float


@dataclass(frozen=True)
class Straggler:
    """What came after all at one port in one direction, ``seconds`` after it was missed."""

    line: Line
    direction: Direction
    found: Analysis
    seconds: float


class Stragglers:
    """Remembers what is missing.

    Args:
        agent: the guest.
        limits: how long anything may take.
    """

    def __init__(self, agent: FarEnd, limits: Limits) -> None:
        self._agent = agent
        self._limits = limits
        self._missed: list[Missed] = []

    @property
    def streams(self) -> list[Stream]:
        """Return the streams of which something is missing."""
        return [one.stream for one in self._missed]

    def note(self, line: Line, stream: Stream, found: Analysis) -> None:
        """Remember a stream of which bytes did not come."""
        missing = sum(fault.length for fault in found.faults if fault.kind in _MISSED)
        if missing:
            now = asyncio.get_running_loop().time()
            self._missed = [*self._missed[1 - _MOST :], Missed(line, stream, missing, now)]

    async def awaited(self) -> list[Straggler]:
        """Wait for what is missing, and return what came of it.

        Ends when all of it may have come, at the latest ``limits.late`` seconds after the last
        of it was missed.

        Raises:
            LostVMError: the guest does not answer.
        """
        loop = asyncio.get_running_loop()
        wanted: dict[tuple[str, Direction], list[Missed]] = {}
        for one in self._missed:
            if one.line.node is not None and not one.line.trouble:
                wanted.setdefault((one.line.name, one.stream.direction), []).append(one)
        if not wanted:
            return []
        end = max(one.since for one in self._missed) + self._limits.late
        seen: dict[tuple[str, Direction], tuple[int, float]] = {}
        while True:
            for key, group in wanted.items():
                count = await self._came(group[0])
                if count != seen.get(key, (0, 0.0))[0]:
                    seen[key] = count, loop.time()
            whole = all(
                seen.get(key, (0, 0.0))[0] >= sum(one.missing for one in group)
                for key, group in wanted.items()
            )
            if whole or loop.time() >= end:
                break
            await asyncio.sleep(_PAUSE)
        return [
            await self._straggler(wanted[key], at)
            for key, (count, at) in seen.items() if count
        ]  # fmt: skip

    async def _came(self, missed: Missed) -> int:
        line = missed.line
        if missed.stream.direction == GUEST_TO_HOST:
            return line.endpoint.count
        return await self._agent.count(line.path) - line.came

    async def _straggler(self, group: list[Missed], at: float) -> Straggler:
        """Name what came."""
        line, first = group[0].line, group[0].stream
        size = sum(one.missing for one in group)
        if first.direction == GUEST_TO_HOST:
            came = floods.looked_at(line.endpoint.clear(), size)
        else:
            most = line.came + size + floods.PAST
            bound = self._limits.bytes(most)
            came = (await self._agent.fetch(line.path, bound, most=most))[line.came :]
        silent = Stream(0, first.port, first.direction, path=first.path, sizes=())
        streams = [one.stream for one in group]
        found = analyse(silent, first.path.joined(came), streams)
        return Straggler(line, first.direction, found, at - group[0].since)
