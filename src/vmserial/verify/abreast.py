"""VMs side by side: so many at a time, and what they find told in the order of the VMs.

An emulated VM keeps one processor busy, so a host with two proves two in the time of one.  They
share nothing but the host; each has its own run directory, its own data and its own bounds, which
give a guest that has to wait for a processor its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from vmserial.progress import Reporter

if TYPE_CHECKING:
    from vmserial.verify.request import TestEnvironment
    from vmserial.verify.results import Check
    from vmserial.verify.runner import Runner
    from vmserial.verify.topologies import Topology


T = TypeVar("T")


class Beside:
    """The reporter of one of several VMs: each step says whose it is.

    Args:
        reporter: of all of them.
        title: of the VM.
    """

    def __init__(self, reporter: Reporter, title: str) -> None:
        self._reporter = reporter
        self._title = title

    def step(self, text: str) -> None:
        """Begin a step, unless its text names the VM by itself."""
        self._reporter.step(text if self._title in text else f"{self._title}: {text}")

    def advance(self, done: int, total: int, text: str = "") -> None:
        """Do nothing: the step that is shown may be another VM's."""

    def note(self, text: str) -> None:
        """Say something that stays."""
        self._reporter.note(text)

    def close(self) -> None:
        """Do nothing: the others go on."""


class _Lane:
    """What one VM has found and was not told yet."""

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self.told = 0
        self.done = False


async def abreast(work: Iterable[Callable[[], Awaitable[None]]], count: int) -> None:
    """Do all of it, so many at a time; the first error ends the others and is raised."""
    left = iter(work)

    async def worker() -> None:
        for one in left:
            await one()

    tasks = [asyncio.create_task(worker()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ahead(source: AsyncIterator[T], count: int) -> AsyncGenerator[T, None]:
    """Yield what ``source`` yields, and have it make up to ``count`` more meanwhile.

    To be closed (:func:`contextlib.aclosing`) by whoever leaves it early.
    """
    made: asyncio.Queue[T | None] = asyncio.Queue(count)

    async def make() -> None:
        try:
            async for one in source:
                await made.put(one)
        except asyncio.CancelledError:
            raise
        except BaseException:
            # It is raised once all that was made before was taken.
            await made.put(None)
            raise
        await made.put(None)

    making = asyncio.create_task(make())
    try:
        while (one := await made.get()) is not None:
            yield one
        await making
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


class SideBySide:
    """Boots VMs side by side for a runner.

    Args:
        runner: hears of each check as if the VMs had run one after the other.
        count: how many at a time.
    """

    def __init__(self, runner: Runner, count: int) -> None:
        self._runner = runner
        self._count = count
        self._lanes: list[_Lane] = []

    async def boot(self, left: list[tuple[TestEnvironment, Topology]]) -> None:
        """Boot what is left, each taken from the list when it begins."""
        self._lanes = [_Lane() for _ in left]
        lanes = iter(list(self._lanes))

        async def one() -> None:
            environment, topology = left.pop(0)
            lane = next(lanes)
            reporter = Beside(self._runner.reporter, topology.title)
            lane.runner = self._runner.beside(reporter, self._heard)
            await lane.runner.boot(environment, topology)
            lane.done = True
            self._tell(everything=False)

        try:
            await abreast([one] * len(left), min(self._count, len(left)))
        finally:
            self._tell(everything=True)

    def _heard(self, check: Check) -> None:
        del check
        self._tell(everything=False)

    def _tell(self, *, everything: bool) -> None:
        """Tell what was found, up to the first VM that is not done."""
        for lane in list(self._lanes):
            if lane.runner is not None:
                fresh = lane.runner.checks[lane.told :]
                lane.told += len(fresh)
                for check in fresh:
                    self._runner.sink(check)
            if not (lane.done or everything):
                return
            if lane.runner is not None:
                self._runner.booted += lane.runner.booted
            self._lanes.remove(lane)
