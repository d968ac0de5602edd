"""A process that several wait for, that is ended while somebody gives up, and whose group it is."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from test_qemu_process import gone, machine, run

from vmserial.qemu.process import VirtualMachine


def test_who_gives_up_waiting_for_the_end_leaves_it_to_the_others() -> None:
    async def body(vm: VirtualMachine) -> None:
        first = asyncio.ensure_future(vm.wait_closed())
        second = asyncio.ensure_future(vm.wait_closed())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert not second.done()
        os.kill(vm.pid, signal.SIGKILL)
        assert await second == -signal.SIGKILL

    run(body)


def test_a_cancelled_end_still_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # It ends neither when asked nor at SIGTERM, so that the cancelling comes in between.
    monkeypatch.setattr("vmserial.qemu.process._QUIT_BOUND", 0.1)
    monkeypatch.setattr("vmserial.qemu.process._TERM_BOUND", 0.3)

    async def main() -> int:
        vm = machine("stubborn")
        await vm.__aenter__()
        pid = vm.pid
        ending = asyncio.ensure_future(vm.__aexit__(None, None, None))
        await asyncio.sleep(0.05)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert vm.returncode is not None
        return pid

    assert gone(asyncio.run(main()))


@pytest.mark.parametrize("foreground", [False, True])
def test_its_process_group_is_its_own_unless_it_has_the_terminal(foreground: bool) -> None:
    """A Ctrl-C is ours to handle, and a background group may not read the terminal."""

    async def main() -> tuple[int, int]:
        async with machine(foreground=foreground) as vm:
            return vm.pid, os.getpgid(vm.pid)

    pid, group = asyncio.run(main())
    assert group == (os.getpgid(0) if foreground else pid)
