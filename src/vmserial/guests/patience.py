"""A bound whose clock stands still while the guest has to wait for a processor of the host.

On a host with other work a guest boots many times slower, and nothing is wrong with it.  Linux
says of each thread how long it was ready to run and did not (``/proc/PID/schedstat``): by that
much the bound of a guest is put off, and a guest that hangs has its bound as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Protocol

_LOOK = 0.5
"""Seconds between two looks."""

_LOOK_PART = 0.125
"""Of the time that is left: a thousand may wait, and most of them for what comes long before."""

_MOST = 4
"""How many times a bound it may be put off to, however long the guest waits."""


def waited(pid: int, proc: Path = Path("/proc")) -> float:
    """Return for how many seconds that thread of a process waited that waited longest.

    0.0 where the kernel does not say it, or the process has ended.
    """
    most = 0
    for path in (proc / str(pid) / "task").glob("*/schedstat"):
        # A thread may end at any time.
        with contextlib.suppress(OSError, ValueError, IndexError):
            most = max(most, int(path.read_text().split()[1]))
    return most / 1e9


class Waited:
    """:func:`waited` of one process, asked seldom however often this is: a thousand may wait.

    Args:
        pid: the process.
        proc: where the kernel says it.
    """

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._ask = partial(waited, pid, proc)
        self._said = 0.0
        self._good_until = -math.inf

    def __call__(self) -> float:
        """Return it, at most so many seconds old as lie between two looks."""
        now = time.monotonic()
        if now >= self._good_until:
            self._said, self._good_until = self._ask(), now + _LOOK
        return self._said


class Bound(Protocol):
    """What of an :class:`asyncio.Timeout` is used."""

    def when(self) -> float | None:
        """Return when it is over, by the event loop's clock."""

    def reschedule(self, when: float | None) -> None:
        """Put it off."""

    def expired(self) -> bool:
        """Tell whether it is over."""


@contextlib.asynccontextmanager
async def patient(timeout: float, starved: Callable[[], float] | None) -> AsyncIterator[None]:
    """As :func:`asyncio.timeout`, put off by what ``starved`` grows by.

    Args:
        timeout: seconds.
        starved: for how many seconds the guest had no processor until now; None: not asked.

    Raises:
        TimeoutError: it is over.
    """
    async with asyncio.timeout(timeout) as bound:
        if starved is None:
            yield
            return
        putting_off: list[asyncio.Task[None]] = []

        def begin() -> None:
            more = timeout * (_MOST - 1)
            putting_off.append(asyncio.create_task(put_off(bound, starved, more)))

        # Most of what is waited for comes long before: there, it costs next to nothing.
        begun = asyncio.get_running_loop().call_later(_LOOK, begin)
        try:
            yield
        finally:
            begun.cancel()
            for task in putting_off:
                task.cancel()
            await asyncio.gather(*putting_off, return_exceptions=True)


async def put_off(bound: Bound, starved: Callable[[], float], most: float) -> None:
    """Put a bound off again and again, by ``most`` seconds in all at most.

    It looks the more seldom the farther the bound is.
    """
    before = starved()
    while most > 0:
        left = (bound.when() or 0.0) - asyncio.get_running_loop().time()
        await asyncio.sleep(max(_LOOK, left * _LOOK_PART))
        now, at = starved(), bound.when()
        if at is None or bound.expired():
            return
        more = min(max(now - before, 0.0), most)
        bound.reschedule(at + more)
        before, most = now, most - more
