"""The shell on a console: echo, prompt and line editing of a real tty; and the upgrade."""

from __future__ import annotations

import asyncio
import os

import pytest
from guest_vm import GuestVM

from vmserial.errors import ShellError
from vmserial.guests.images import ensure


@pytest.mark.parametrize(("arch", "suite"), [("aarch64", "bullseye"), ("x86_64", "bookworm")])
def test_a_console_becomes_a_quiet_shell_and_can_be_freed(arch: str, suite: str) -> None:
    async def scenario() -> None:
        async with GuestVM(ensure(arch, suite, shell="console")) as vm:
            shell = await vm.shell("serial0")
            assert shell.tty
            assert await shell.run("echo one; echo two") == "one\ntwo\n"
            with pytest.raises(ShellError, match=r"status 3.*nearly"):
                await shell.run("echo nearly; (exit 3)")
            with pytest.raises(ShellError):
                await shell.run("if then fi (")
            data = bytes(range(256)) + os.urandom(20000)
            await shell.put("/tmp/a name", data)
            assert await shell.get("/tmp/a name") == data
            control = await shell.upgrade(*vm.stream("control"), 10)
            assert not control.tty
            # The console is free: nobody reads it, and what comes in is the test's alone.
            await control.run("stty raw -echo </dev/console")
            await control.run("cat </dev/console >/tmp/in & sleep 0.2")
            await vm.send("serial0", bytes(range(256)))
            await control.run(
                "n=0; until [ $(wc -c </tmp/in) = 256 ] || [ $n -gt 99 ]; do n=$((n+1)); sleep 0.1;"
                " done"
            )
            assert await control.get("/tmp/in") == bytes(range(256))
            await control.close()
            await shell.close()

    asyncio.run(scenario())


def test_a_guest_without_the_port_keeps_its_console() -> None:
    async def scenario() -> None:
        async with GuestVM(ensure("aarch64", shell="console")) as vm:
            shell = await vm.shell("serial0")
            await shell.run(
                "for d in /sys/bus/virtio/drivers/virtio_console/virtio*; do"
                ' echo "${d##*/}" >"${d%/*}/unbind"; done'
            )
            with pytest.raises(ShellError, match="no port"):
                await shell.upgrade(*vm.stream("control"), 10)
            assert await shell.run("echo still here") == "still here\n"
            await shell.close()

    asyncio.run(scenario())
