"""What is given up with a lost VM: nothing of it is left that nobody takes."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from vmserial.errors import LostVMError
from vmserial.qemu.process import VirtualMachine
from vmserial.verify.lifeline import Lifeline


def untaken(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what asyncio prints of errors, with their tracebacks, that nobody took."""
    gc.collect()
    return [record.message for record in caplog.records if record.name == "asyncio"]


async def fail_as_it_is_given_up(guarded: Any) -> None:
    """Have the work end with an error in the very moment in which somebody cancels its guard."""
    lost = asyncio.Event()

    async def work() -> None:
        await lost.wait()
        raise LostVMError("the stream to its shell ended", hint="")

    guard = asyncio.create_task(guarded(work()))
    await asyncio.sleep(0.01)
    lost.set()
    await asyncio.sleep(0)
    guard.cancel()
    await asyncio.gather(guard, return_exceptions=True)


def test_work_that_fails_as_the_heartbeat_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def execute(*_: object, **__: object) -> None: ...

        vm: Any = SimpleNamespace(monitor=SimpleNamespace(execute=execute))
        life = Lifeline(vm, 10.0)
        await fail_as_it_is_given_up(life._while_it_beats)
        await life.stop()

    asyncio.run(scenario())
    assert untaken(caplog) == []


def test_work_that_fails_as_the_vm_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        vm = VirtualMachine(["qemu"])
        vm.lost = asyncio.get_running_loop().create_future()
        await fail_as_it_is_given_up(lambda work: vm.guarded(work, 10.0, "work"))

    asyncio.run(scenario())
    assert untaken(caplog) == []
