"""An event loop that ends cleanly on SIGINT, SIGTERM and SIGHUP."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_interruptible(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as :func:`asyncio.run`, and let SIGTERM and SIGHUP end it cleanly.

    A first SIGINT, SIGTERM or SIGHUP cancels it, so that every ``async with``
    ends what it started.

    Raises:
        KeyboardInterrupt: after SIGINT.
        SystemExit: after SIGTERM (143) or SIGHUP (129).
    """
    got: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    async def guarded() -> T:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def end(number: int) -> None:
            # Only the first: what it sets off is bounded and must not be cut short.
            if not got:
                got.append(number)
                task.cancel()

        for number, handler in before.items():
            if handler != signal.SIG_IGN:  # nohup(1)
                loop.add_signal_handler(number, end, number)
        return await main

    try:
        with asyncio.Runner() as runner:
            return runner.run(guarded())
    except asyncio.CancelledError:
        if got:
            raise SystemExit(128 + got[0]) from None
        raise
    finally:
        # The loop leaves the default, whatever was there.
        for number, handler in before.items():
            signal.signal(number, handler)
