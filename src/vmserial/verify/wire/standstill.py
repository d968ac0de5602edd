"""When a port that carries no byte stands still, and when it is only late.

A clock alone cannot tell them apart: on a busy host a guest may wait for a
processor longer than any bound that is worth waiting for.  So a standstill is a
time without a byte in which the guest has answered again and again: its
answers come through the same QEMU, and while it gives them its drivers run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from vmserial.errors import LostVMError
from vmserial.verify.agent import STANDSTILL, GuestAgent
from vmserial.verify.request import Limits
from vmserial.verify.wire.endpoints import Endpoint

Ends = tuple[str, Endpoint]
"""Both ends of a port: the guest's node, open, and the host's endpoint."""

QUIET = 0.3
"""Seconds without a byte after which a port that was cut off, or damaged, has no more to come."""

_SETTLED = 2
"""Answers of the guest after which what the host sent last has been taken by its drivers."""

_MOST_LOOKS = 3 * STANDSTILL
"""Looks at ports that do not become silent, however long they take, before they are left."""

_PAUSE = 0.02
"""Seconds between two looks at ports that should be silent."""


class Standstill:
    """Waits for ports until they are done, or stand still.

    Args:
        agent: the guest.
        limits: how long anything may take.
    """

    def __init__(self, agent: GuestAgent, limits: Limits) -> None:
        self._agent = agent
        self._limits = limits
        self._asking: asyncio.Future[int] | None = None

    async def drained(self, ends: Ends, size: int, bound: float) -> None:
        """Wait until the host has ``size`` bytes of a port, or no more come.

        Args:
            ends: of the port; the guest has given all that it sends to its driver.
            size: bytes since the endpoint was cleared.
            bound: seconds that it may take, however it moves.

        Raises:
            LostVMError: the guest does not answer.
        """
        path, endpoint = ends
        loop = asyncio.get_running_loop()
        end = loop.time() + bound
        before, idle = -1, self._limits.idle
        while endpoint.count < size and endpoint.count != before and loop.time() < end:
            before = endpoint.count
            if not await endpoint.wait_bytes(size, idle) and endpoint.count == before:
                await self._answers(path, STANDSTILL)

    async def watch(self, ports: Sequence[Ends], still: asyncio.Event) -> None:
        """Give up what is being sent once no byte moves at any port, and set ``still``.

        All together: on one emulated processor a port may have to wait for the others,
        and a bound for the bytes of many ports is much too long for one that is dead.
        """
        loop, stall = asyncio.get_running_loop(), self._limits.stall
        before, changed, answers = -1, loop.time(), 0
        while loop.time() - changed < stall or answers < STANDSTILL:
            await asyncio.sleep(stall / 20)
            moved = sum(endpoint.moved for _, endpoint in ports)
            if moved != before:
                before, changed, answers = moved, loop.time(), 0
                continue
            try:
                await self._answers(ports[0][0], 1)
            except LostVMError:
                if sum(endpoint.moved for _, endpoint in ports) != before:
                    # It had no time for answers: its ports carry bytes.
                    continue
                # Whoever waits for the guest next is told.
                break
            answers += 1
        still.set()
        for _, endpoint in ports:
            endpoint.give_up()

    async def settled(self, path: str) -> None:
        """Wait for as long as ports must stay silent at the end, and for the guest to run in it.

        Raises:
            LostVMError: the guest does not answer.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.settle
        await self._answers(path, _SETTLED)
        await asyncio.sleep(end - loop.time())

    async def quiet(self, ports: Sequence[Ends]) -> None:
        """Wait until no byte comes at either end of any of the ports.

        One that never ends, such as a kernel's messages, is waited for only as long as one
        that stands still elsewhere.

        Raises:
            LostVMError: the guest does not answer.
        """
        loop = asyncio.get_running_loop()
        changed, answers, looks = loop.time(), 0, 0
        end = changed + self._limits.idle
        before: list[int] = []
        while (answers < STANDSTILL or loop.time() - changed < QUIET) and (
            looks < _MOST_LOOKS or loop.time() < end
        ):
            looks += 1
            counts = [await self._agent.count(path) for path, _ in ports]
            counts += [endpoint.count for _, endpoint in ports]
            if counts == before:
                answers += 1
            else:
                before, changed, answers = counts, loop.time(), 0
            await asyncio.sleep(_PAUSE)

    async def _answers(self, path: str, count: int) -> None:
        """Have the guest answer so many times; who asks while it is asked hears that answer.

        A thousand ports that each ask by themselves keep a guest from what they wait for.
        """
        for _ in range(count):
            if self._asking is None or self._asking.done():
                self._asking = asyncio.ensure_future(self._agent.count(path))
                # Also where nobody waits for it any more, its error is taken.
                self._asking.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.shield(self._asking)
