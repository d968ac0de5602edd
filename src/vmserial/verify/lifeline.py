"""What tells that a VM under test is lost, so that nothing waits for it any longer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from vmserial.qemu.process import VirtualMachine

T = TypeVar("T")

_HEARTBEAT = 1.0
"""Seconds between two questions to QEMU whether it still answers."""


class Lifeline:
    """The heartbeat of a running VM, and all that is done as long as it beats.

    Args:
        vm: running.
        hang: seconds after which a QEMU that does not answer counts as lost.
    """

    def __init__(self, vm: VirtualMachine, hang: float) -> None:
        self._vm = vm
        self._hang = hang
        self._heart = asyncio.create_task(self._beat(), name="heartbeat")

    async def _beat(self) -> None:
        """Ask QEMU again and again; a LostVMError ends this task."""
        while True:
            await asyncio.sleep(_HEARTBEAT)
            await self._vm.monitor.execute("query-status", within=self._hang)

    async def stop(self) -> None:
        """Ask no more."""
        self._heart.cancel()
        await asyncio.gather(self._heart, return_exceptions=True)

    async def guarded(self, work: Coroutine[Any, Any, T], timeout: float, what: str) -> T:
        """Do ``work`` as long as the VM lives and answers, and within ``timeout`` seconds.

        Args:
            work: cancelled when it is given up.
            timeout: the bound in seconds.
            what: words for the error: what is being waited for.

        Raises:
            LostVMError: the VM was lost, or the bound was reached.
        """
        return await self._vm.guarded(self._while_it_beats(work), timeout, what)

    async def _while_it_beats(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._heart}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._heart.result()
            return await task
        finally:
            task.cancel()
            # Also of one that has just failed by itself: an error that nobody takes is printed.
            await asyncio.gather(task, return_exceptions=True)
