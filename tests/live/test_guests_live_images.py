"""Test guests of three Debian releases and two architectures, booted."""

from __future__ import annotations

import asyncio
import time

import pytest
from guest_vm import GuestVM

from vmserial.errors import LostVMError
from vmserial.guests import bzimage, images
from vmserial.guests.images import ensure

GUESTS = [(arch, suite) for suite in images.SUITES for arch in ("aarch64", "x86_64")]


@pytest.mark.parametrize(("arch", "suite"), GUESTS)
def test_a_guest_boots_quietly_and_has_its_drivers(arch: str, suite: str) -> None:
    async def scenario() -> None:
        guest = ensure(arch, suite)
        async with GuestVM(guest, [("usb", "usb-serial,always-plugged=on")], ["qemu-xhci"]) as vm:
            shell = await vm.shell()
            assert not shell.tty
            assert (await shell.run("uname -r")).strip() == guest.release
            assert (await shell.run("cat /proc/sys/kernel/printk")).split()[0] == "1"
            # xhci, the quirks for quick enumeration, ftdi_sio
            await shell.run(
                "n=0; until [ -e /dev/ttyUSB0 ] || [ $n -gt 100 ]; do n=$((n+1)); sleep 0.1; done;"
                " [ -e /dev/ttyUSB0 ]"
            )
            quirks = await shell.run("cat /sys/bus/usb/devices/usb*/*/usb*-port*/quirks")
            assert {int(value, 16) for value in quirks.split()} == {3}
            assert "debugfs" in await shell.run("cat /proc/mounts")
            # Nothing of all this may come out of a port under test.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(vm.stream("serial0")[0].read(1), 0.2)
            await shell.close()

    asyncio.run(scenario())


def test_a_guest_that_is_told_to_powers_off() -> None:
    async def scenario() -> None:
        async with GuestVM(ensure("aarch64")) as vm:
            shell = await vm.shell()
            await shell.post("poweroff -f")
            assert await asyncio.wait_for(vm.vm.wait_closed(), 10) == 0
            await shell.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("death", ["echo c >/proc/sysrq-trigger", "exit"])
def test_a_dead_guest_is_lost_at_once_and_says_why(death: str) -> None:
    async def scenario() -> None:
        async with GuestVM(ensure("aarch64")) as vm:
            shell = await vm.shell()
            begin = time.monotonic()
            with pytest.raises(LostVMError):
                await vm.vm.guarded(shell.run(f"{death}; sleep 30", 30), 30, "a dead guest")
            assert time.monotonic() - begin < 15
            console = await asyncio.wait_for(vm.stream("serial0")[0].read(), 5)
            assert b"Kernel panic" in console
            await shell.close()

    asyncio.run(scenario())


def test_a_firmware_of_a_pc_starts_the_packed_kernel_too() -> None:
    guest = ensure("x86_64", "trixie")
    assert guest.packed != guest.kernel
    assert guest.packed.stat().st_size < guest.kernel.stat().st_size
    assert bzimage.release(guest.packed.read_bytes()) == guest.release


def test_the_second_time_is_quick_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure("aarch64")
    monkeypatch.setenv("VMSERIAL_DEBIAN_MIRROR", "http://mirror.invalid/debian")
    begin = time.process_time()
    assert ensure("aarch64") == first
    assert time.process_time() - begin < 0.05
