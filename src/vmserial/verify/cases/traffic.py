"""A port that carries data while others come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from vmserial.verify.results import Check, Direction, Fault, FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.subject import BOTH
from vmserial.verify.wire.form import SHORT
from vmserial.verify.wire.transfer import Line, Outcome, Transfer

_PAUSE = 0.1
"""Seconds between two transfers: enough for the guest to do something else."""

_FILES = 4
"""Transfers that are carried again and again."""


@dataclass
class Tally:
    """Many outcomes of one direction, as one check."""

    count: int = 0
    bytes: int = 0
    seconds: float = 0.0
    depth: int = 0
    first_bad: tuple[int, Outcome] | None = None

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.count += 1
        self.bytes += outcome.bytes
        self.seconds += outcome.seconds
        self.depth = outcome.deepen()
        if outcome.verdict is Verdict.FAIL and self.first_bad is None:
            self.first_bad = self.count, outcome

    def decide(
        self, session: Session, check: Check, noun: str, note: str = "", trouble: str = ""
    ) -> None:
        """Decide a check about all of them.

        Args:
            session: whose check it is.
            check: without its verdict.
            noun: what was done each time.
            note: for the detail, if all went well.
            trouble: why it ended before its time; empty if it did not.
        """
        faults: tuple[Fault, ...] = ()
        detail = f"{self.count} {noun}s" + (f": {note}" if note else "")
        if self.first_bad is not None:
            number, bad = self.first_bad
            detail, faults = f"{noun} {number}: {bad.detail}", bad.faults
        elif trouble:
            detail, faults = trouble, (Fault(FaultKind.GUEST_ERROR, trouble),)
        elif not self.count:
            detail = f"not one {noun} was made"
        good = self.first_bad is None and not trouble and self.count > 0
        session.registry.decide(
            check, verdict=Verdict.PASS if good else Verdict.FAIL, bytes=self.bytes,
            seconds=round(self.seconds, 4), detail=detail, faults=faults,
            depth=self.depth,
        )  # fmt: skip


def tallies() -> dict[Direction, Tally]:
    """Return an empty tally for each direction."""
    return {way: Tally() for way in BOTH}


@contextlib.asynccontextmanager
async def traffic(
    session: Session, line: Line | None, checks: Sequence[Check]
) -> AsyncIterator[None]:
    """Keep data flowing through a port both ways, and decide its checks at the end."""
    if line is None:
        yield
        return
    if line.node is None:
        for check in checks:
            session.untestable(check, line)
        yield
        return
    found = tallies()
    ready = [session.transfers([line], SHORT)[0] for _ in range(_FILES)]
    await session.exchange.upload(ready)
    enough = asyncio.Event()
    flow = asyncio.create_task(_flow(session, ready, found, enough), name="bystander")
    try:
        yield
        enough.set()
        await flow
    finally:
        flow.cancel()
        await asyncio.gather(flow, return_exceptions=True)
    await session.exchange.forget(ready)
    for check in checks:
        found[check.direction].decide(session, check, "transfer")


async def _flow(
    session: Session, ready: Sequence[Transfer], found: dict[Direction, Tally],
    enough: asyncio.Event,
) -> None:  # fmt: skip
    """Carry the same few transfers again and again until it is enough, and once more."""
    number = 0
    while True:
        last = enough.is_set()
        model = ready[number % len(ready)]
        transfer = Transfer(model.line, model.out, model.into, model.upload)
        number += 1
        await session.exchange.carry([transfer])
        for outcome in await session.exchange.judge([transfer]):
            found[outcome.direction].add(outcome)
        if last or model.line.trouble:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await enough.wait()
