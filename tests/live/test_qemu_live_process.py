"""The supervised process on real QEMU: started, lost in every way, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vmserial import paths
from vmserial.errors import LostVMError, MonitorError, QemuStartError
from vmserial.qemu.accel import GUESTS
from vmserial.qemu.binary import find
from vmserial.qemu.process import VirtualMachine

pytestmark = pytest.mark.live

MACHINES = {"aarch64": "virt", "x86_64": "q35"}
BARE = ("-accel", "tcg", "-nodefaults", "-display", "none", "-m", "64")


def argv(arch: str, *more: str) -> list[str]:
    return [find(arch), "-machine", MACHINES[arch], *BARE, *more]


def gone(pid: int) -> bool:
    """Tell whether a process has ended; init may take seconds to reap an orphan."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("arch", MACHINES)
def test_it_starts_paused_runs_and_ends(arch: str) -> None:
    async def main() -> None:
        async with VirtualMachine(argv(arch), paused=True) as vm:
            assert vm.monitor.version >= (5, 2, 0)
            assert (await vm.monitor.execute("query-status"))["running"] is False
            with vm.monitor.expect("RESUME") as resumed:
                await vm.monitor.execute("cont")
                await resumed.wait(5)
            assert "VM status: running" in await vm.monitor.command_line("info status")
            pid = vm.pid
        assert vm.returncode == 0
        assert gone(pid)

    asyncio.run(main())


def test_the_errors_of_the_field_come_in_qemus_words() -> None:
    async def start(words: list[str]) -> None:
        async with VirtualMachine(words):
            pass

    for words, text, hint in (
        (
            argv("aarch64", "-chardev", "null,id=s", "-device", "isa-serial,chardev=s"),
            "'isa-serial' is not a valid device model name",
            "doctor",
        ),
        (
            argv(
                "x86_64",
                *(
                    word
                    for index in range(5)
                    for word in (
                        *("-chardev", f"null,id=s{index}"),
                        *("-device", f"isa-serial,chardev=s{index}"),
                    )
                ),
            ),
            "Max. supported number of ISA serial ports is 4",
            "four",
        ),
        (argv("x86_64", "-drive", "file=/nonexistent/disk"), "No such file", "path"),
        ([find("x86_64"), "-machine", "nonesuch"], "unsupported machine type", "machine type"),
    ):
        with pytest.raises(QemuStartError) as caught:
            asyncio.run(start(words))
        assert text in caught.value.stderr
        assert text in str(caught.value)
        assert caught.value.returncode == 1
        assert hint in caught.value.hint


def test_a_killed_qemu_is_lost() -> None:
    async def main() -> None:
        async with VirtualMachine(argv("aarch64"), paused=True) as vm:
            os.kill(vm.pid, signal.SIGKILL)
            with pytest.raises(LostVMError, match="ended by SIGKILL"):
                await vm.guarded(asyncio.sleep(30), 30, "a nap")
            with pytest.raises(LostVMError):
                await vm.monitor.execute("query-status")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (0x8, (), r"shut down \(guest-shutdown\)"),
        (0x9, (), r"reset \(guest-reset\)"),
        (0x9, ("-no-reboot",), r"shut down \(guest-reset\)"),
    ],
)
def test_a_guest_that_ends_itself_is_lost(
    function: int, options: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    image = bytearray(GUESTS["aarch64"].image)
    assert image[12:16] == bytes.fromhex("00018052")  # mov w0, #0x8: PSCI SYSTEM_OFF
    image[12:16] = (0x52800000 | function << 5).to_bytes(4, "little")
    (tmp_path / "guest.bin").write_bytes(image)

    async def main() -> None:
        words = argv("aarch64", "-cpu", "max", "-bios", str(tmp_path / "guest.bin"), *options)
        async with VirtualMachine(words, paused=True) as vm:
            assert not vm.lost.done()
            await vm.monitor.execute("cont")
            with pytest.raises(LostVMError, match=reason):
                await vm.guarded(asyncio.sleep(30), 30, "a nap")

    asyncio.run(main())


def test_a_backend_can_be_a_passed_descriptor() -> None:
    ours, theirs = socket.socketpair()

    async def main() -> None:
        words = argv(
            "aarch64", "-chardev", f"socket,id=c,fd={theirs.fileno()}", "-serial", "chardev:c"
        )
        async with VirtualMachine(words, paused=True, pass_fds=[theirs.fileno()]) as vm:
            theirs.close()
            chardevs = await vm.monitor.execute("query-chardev")
            assert {"label": "c", "frontend-open": True}.items() <= next(
                entry for entry in chardevs if entry["label"] == "c"
            ).items()

    with ours:
        asyncio.run(main())
        # QEMU's end is closed with it.
        assert ours.recv(1) == b""


def test_a_device_is_plugged_and_unplugged_by_its_event() -> None:
    async def main() -> None:
        async with VirtualMachine(argv("x86_64", "-device", "qemu-xhci,id=x"), paused=True) as vm:
            await vm.monitor.execute("cont")
            await vm.monitor.execute("chardev-add", id="c", backend={"type": "null", "data": {}})
            for _ in range(3):
                await vm.monitor.execute(
                    "device_add", {"driver": "usb-serial", "id": "s", "chardev": "c"}
                )
                with vm.monitor.expect(
                    "DEVICE_DELETED", lambda data: data.get("device") == "s"
                ) as deleted:
                    await vm.monitor.execute("device_del", id="s")
                    await deleted.wait(10)
            with pytest.raises(MonitorError, match="not found") as caught:
                await vm.monitor.execute("device_del", id="s")
            assert caught.value.error_class == "DeviceNotFound"

    asyncio.run(main())


PARENT = """
import asyncio, sys
from vmserial.paths import RunDirectory
from vmserial.qemu.loop import run_interruptible
from vmserial.qemu.process import VirtualMachine

async def main():
    with RunDirectory() as run:
        chardev = ["-chardev", f"socket,id=c,path={run.socket('serial0')},server=on,wait=off"]
        async with VirtualMachine([*sys.argv[1:], *chardev], rundir=run) as vm:
            print(vm.pid, run.path, flush=True)
            await asyncio.sleep(60)

run_interruptible(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_qemu_and_no_socket_outlives_us(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, *argv("aarch64", "-S")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    pid, text = process.stdout.readline().split()
    rundir = Path(text)
    assert (rundir / "serial0").is_socket()
    process.send_signal(number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while not gone(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(int(pid))
    if number == signal.SIGKILL:
        assert (rundir / "serial0").exists()
        with paths.RunDirectory():
            pass
    assert not rundir.exists()


def test_a_stopped_qemu_is_killed_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that no longer runs its main loop, as one whose UART client does not read."""
    monkeypatch.setattr("vmserial.qemu.process._QUIT_BOUND", 0.3)
    monkeypatch.setattr("vmserial.qemu.process._TERM_BOUND", 0.3)

    async def main() -> VirtualMachine:
        async with VirtualMachine(argv("aarch64"), paused=True) as vm:
            os.kill(vm.pid, signal.SIGSTOP)
            with pytest.raises(LostVMError, match="did not answer query-status"):
                await vm.monitor.execute("query-status", within=0.2)
        return vm

    start = time.monotonic()
    vm = asyncio.run(main())
    assert vm.returncode == -signal.SIGKILL
    assert time.monotonic() - start < 15
