"""Data through every port, both ways: each port alone, then all at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from vmserial.verify import readback, unattended
from vmserial.verify.abreast import ahead
from vmserial.verify.cases import Case
from vmserial.verify.results import UNATTENDED, Check, Verdict
from vmserial.verify.session import Session
from vmserial.verify.subject import BOTH, Subject
from vmserial.verify.wire.form import OVERHEAD, SMOKE
from vmserial.verify.wire.transfer import Line, Outcome, Transfer

_AHEAD = 2
"""Ports that the guest opens while the one before them carries its data."""

VERY_MANY = 64
"""Ports from which on those of another kind than most are brief.

QEMU takes what comes for a pl011 byte by byte, each in a turn of its main loop, and each turn
looks at every port: 64 KiB take 1 s of a processor beside 3 ports, 16 s beside 300, and 70 s
beside 1,000 (measured)."""


class DataCase(Case):
    """Each plugged port: its node, and its bytes both ways, alone and together.

    A port is tested as soon as its node is there, while the guest still
    enumerates the others.

    Args:
        name: ``input``, ``default``, ``large`` or ``maximum``.
        alone: payload sizes for each port by itself.
        together: payload sizes for all ports at once.
        brief: ports of another kind than the one that the VM is about (the console) take
            :data:`SMOKE` alone and the sizes of ``alone`` together (docs/adr/027).  A pl011
            under TCG needs more than a second for 64 KiB, and slows all others down; so it is
            in any case among very many.
        unattended: no client is at a port until the guest has its node.
        in_turn: each gets its client as soon as its own node is there, and is tested while the
            guest enumerates the others; else all get theirs before any carries data, and what
            went to a wrong port is found in each mode, not only with all at once.
    """

    def __init__(
        self, name: str, alone: tuple[int, ...], together: tuple[int, ...], *,
        brief: bool = False, unattended: bool = False, in_turn: bool = False,
    ) -> None:  # fmt: skip
        self.name = name  # type: ignore[misc]  # several cases share this class
        self.sizes = {"alone": alone, "together": together}
        self.brief = brief
        self.unattended = unattended
        self.in_turn = in_turn
        self._known: dict[str, list[Transfer]] = {}

    def lines(self, session: Subject) -> list[Line]:
        """Return the ports under test."""
        return [line for line in session.lines.values() if line.assignment.port.state == "plugged"]

    def bound(self, session: Session) -> float:
        """Return how long the whole case may take, in seconds."""
        lines = len(self.lines(session))
        size = sum(sum(sizes) + OVERHEAD * len(sizes) for sizes in self.sizes.values())
        each = session.limits.command * 4 + session.limits.bytes(2 * size * max(lines, 1)) * 2
        return session.limits.nodes(lines) + lines * each

    def expect(self, session: Session) -> None:
        """Announce all checks."""
        for line in self.lines(session):
            if line.name in session.made.late:
                session.registry.expect(session.check(self.name, line, UNATTENDED))
        for mode in ("alone", "together"):
            for line in self.lines(session):
                for way in BOTH:
                    session.registry.expect(session.check(self.name, line, mode, way))

    def known(self, subject: Subject) -> list[Transfer]:
        """Return those of all ports, alone and together."""
        lines = self.lines(subject)
        self._known = {mode: self._transfers(subject, lines, mode) for mode in self.sizes}
        return [one for made in self._known.values() for one in made]

    def _transfers(self, session: Subject, lines: list[Line], mode: str) -> list[Transfer]:
        """Return the transfers of one mode, in the order of ``lines``."""
        kind = session.kind if self.brief else ""
        if len(lines) > VERY_MANY:
            kind = Counter(line.assignment.kind for line in lines).most_common(1)[0][0]

        def sizes(line: Line) -> tuple[int, ...]:
            if kind and line.assignment.kind != kind:
                return SMOKE if mode == "alone" else self.sizes["alone"]
            return self.sizes[mode]

        return session.transfers(lines, sizes)

    async def run(self, session: Session) -> None:
        """Make the checks; a LostVMError if the VM was lost."""
        lines = self.lines(session)
        if session.in_band in lines:
            lines.remove(session.in_band)
            self._in_band(session, session.in_band)
        session.reporter.step(f"{self.name}: {len(lines)} ports, each alone")
        alone, together = (
            [t for t in self._known[mode] if t.line is not session.in_band]
            for mode in ("alone", "together")
        )
        exchange = session.exchange
        await exchange.upload(alone)
        # Meanwhile the guest still enumerates; no port carries anything of this.
        uploading = asyncio.create_task(exchange.upload(together))
        reading = asyncio.create_task(readback.told_by_qemu(session, lines))
        beside: list[asyncio.Task[Any]] = [uploading, reading]
        try:
            tested = await self._alone(session, lines, {t.line.name: t for t in alone})
            await uploading
            told = await reading
            # While the ports have to be silent the guest can say where they are.
            comparing = asyncio.create_task(
                readback.compare(session, self._place_of(session), lines, told)
            )
            beside.append(comparing)
            await self._judge(session, tested, "alone")
            await comparing
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        ready = [t for t in together if not t.line.trouble]
        session.reporter.step(f"{self.name}: {len(ready)} ports, all at once")
        if ready:
            await exchange.carry(ready)
            await self._judge(session, ready, "together")
        judged = [t.line for t in tested]
        for line in lines:
            if line.trouble:
                for mode in ("together",) if line in judged else ("alone", "together"):
                    for way in BOTH:
                        session.untestable(session.check(self.name, line, mode, way), line)
        await exchange.forget([*alone, *together])

    def _place_of(self, session: Session) -> Callable[[Line], Check]:
        return lambda line: session.check(self.name, line, readback.MODE)

    def _in_band(self, session: Session, line: Line) -> None:
        """Decide the checks of the port that carries the shell."""
        for outcome in session.in_band_outcomes:
            alone = session.check(self.name, line, "alone", outcome.direction)
            session.decide(alone, outcome, "in band, by the shell on it")
            session.registry.decide(
                session.check(self.name, line, "together", outcome.direction),
                verdict=Verdict.SKIPPED,
                detail=f"{line.name} carries the guest's shell: the guest has no virtio_console",
            )

    async def _alone(
        self, session: Session, lines: list[Line], transfers: dict[str, Transfer]
    ) -> list[Transfer]:
        tested: list[Transfer] = []
        for group, bound in self.patience(session, lines):
            async with contextlib.aclosing(self._there(session, group, bound)) as there:
                async for line in there:
                    transfer = transfers[line.name]
                    if session.ends.is_console(line):
                        session.ends.take_console()
                    await session.exchange.carry([transfer])
                    tested.append(transfer)
                    session.reporter.advance(len(tested), len(lines), line.name)
        return tested

    async def _there(
        self, session: Session, lines: list[Line], bound: float
    ) -> AsyncGenerator[Line, None]:
        """Yield lines as :meth:`Session.found`; those without a client last, each with one then."""
        late = [line for line in lines if not session.ends.attended(line)]
        attended = [line for line in lines if session.ends.attended(line)]
        async with contextlib.aclosing(ahead(session.found(attended, bound), _AHEAD)) as found:
            async for line in found:
                yield line
        if late and self.in_turn and session.request.endpoint != "pty":
            one_by_one = ahead(self._each_its_client(session, late, bound), _AHEAD)
            async with contextlib.aclosing(one_by_one) as found:
                async for line in found:
                    yield line
            # With their clients they may come after all.
            late = [line for line in late if line.node is None and not line.trouble]
        elif late:
            await unattended.first(session, late, bound, self._unattended(session))
        if late:
            async for line in session.found(late, bound):
                yield line

    def _unattended(self, session: Session) -> Callable[[Line], Check]:
        return lambda line: session.check(self.name, line, UNATTENDED)

    async def _each_its_client(
        self, session: Session, late: list[Line], bound: float
    ) -> AsyncIterator[Line]:
        """Yield ports without a client as their nodes come, each with its client then."""
        places = await session.ends.places(session.vm)
        of = self._unattended(session)
        async for line, node in unattended.shown(session, late, bound, of):
            await session.ends.connect(line, places)
            if node is not None and await session.opens(line, node):
                yield line

    def patience(self, session: Session, lines: list[Line]) -> list[tuple[list[Line], float]]:
        """Return the lines in groups, and for how many seconds each group's nodes are awaited."""
        return [(lines, session.limits.nodes(len(lines)))]

    async def _judge(self, session: Session, transfers: list[Transfer], mode: str) -> None:
        for outcome in await session.exchange.judge(transfers):
            check = session.check(self.name, outcome.line, mode, outcome.direction)
            session.decide(check, outcome)
            self.decided(outcome)

    def decided(self, outcome: Outcome) -> None:
        """Hear of each outcome; for cases that build on this one."""
