"""Monitor and process against a fake that speaks QMP: starts, ends, losses, bounds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from vmserial.errors import BinaryError, LostVMError, MonitorError, QemuStartError, UsageError
from vmserial.qemu.child import BoundedText, start_process, status_text
from vmserial.qemu.hints import hint_for
from vmserial.qemu.process import VirtualMachine

FAKE = str(Path(__file__).with_name("fake_qmp.py"))


def machine(mode: str = "good", **options: object) -> VirtualMachine:
    return VirtualMachine([sys.executable, "-I", FAKE, mode], **options)  # type: ignore[arg-type]


def run(body: Callable[[VirtualMachine], Awaitable[None]], mode: str = "good") -> VirtualMachine:
    """Run ``body`` in a fake VM, and return the VM as it was left."""

    async def main() -> VirtualMachine:
        async with asyncio.timeout(20):
            async with machine(mode) as vm:
                await body(vm)
            return vm

    return asyncio.run(main())


def gone(pid: int) -> bool:
    """Tell whether a process has ended; init may take seconds to reap an orphan."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# ------------------------------------------------------------------ the monitor


def test_a_command_is_answered() -> None:
    async def body(vm: VirtualMachine) -> None:
        assert vm.monitor.version == (9, 1, 2)
        assert await vm.monitor.execute("echo", {"frontend-open": 1}, b="x") == {
            "frontend-open": 1,
            "b": "x",
        }

    run(body)


def test_a_refused_command_names_itself() -> None:
    async def body(vm: VirtualMachine) -> None:
        with pytest.raises(MonitorError) as caught:
            await vm.monitor.execute("refuse")
        assert caught.value.command == "refuse"
        assert caught.value.error_class == "GenericError"
        assert "no such thing" in str(caught.value)
        assert caught.value.hint

    run(body)


def test_a_command_without_an_answer_is_bounded() -> None:
    async def body(vm: VirtualMachine) -> None:
        with pytest.raises(LostVMError, match=r"did not answer mute within 0\.1 s"):
            await vm.monitor.execute("mute", within=0.1)
        # The session is still good for the next one.
        assert await vm.monitor.execute("echo", a=1) == {"a": 1}

    run(body)


def test_an_event_that_comes_before_the_wait_is_not_missed() -> None:
    async def body(vm: VirtualMachine) -> None:
        with vm.monitor.expect("DEVICE_DELETED", lambda data: data.get("device") == "d") as one:
            await vm.monitor.execute("device_del", device="d")
            await vm.monitor.execute("echo")
            assert await one.wait(1) == {"device": "d"}

    run(body)


def test_an_event_for_another_device_does_not_count() -> None:
    async def body(vm: VirtualMachine) -> None:
        with vm.monitor.expect("DEVICE_DELETED", lambda data: data.get("device") == "mine") as one:
            await vm.monitor.execute("device_del", device="d")
            with pytest.raises(MonitorError, match=r"no DEVICE_DELETED within 0\.05 s"):
                await one.wait(0.05)

    run(body)


def test_events_that_nobody_asked_for_are_not_kept() -> None:
    async def body(vm: VirtualMachine) -> None:
        for _ in range(50):
            await vm.monitor.execute("event", name="VSERPORT_CHANGE", data={})
        client = vm.monitor._client
        assert client is not None
        assert client.events.empty()
        assert client.events.history == ()

    run(body)


def test_an_expectation_ends_with_the_vm() -> None:
    async def body(vm: VirtualMachine) -> None:
        with vm.monitor.expect("DEVICE_DELETED") as one:
            os.kill(vm.pid, signal.SIGKILL)
            with pytest.raises(LostVMError):
                await one.wait(10)
        with vm.monitor.expect("DEVICE_DELETED") as one, pytest.raises(LostVMError):
            await one.wait(10)
        with pytest.raises(LostVMError):
            await vm.monitor.execute("echo")

    run(body)


def test_subscribers_hear_everything_until_they_leave() -> None:
    async def body(vm: VirtualMachine) -> None:
        heard: list[str] = []
        leave = vm.monitor.subscribe(lambda event: heard.append(event["event"]))
        await vm.monitor.execute("event", name="A", data={})
        leave()
        leave()
        await vm.monitor.execute("event", name="B", data={})
        assert heard == ["A"]

    run(body)


# ------------------------------------------------------------------ how it is lost


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}, "shut down.*guest-shutdown"),
        ("RESET", {"guest": True, "reason": "guest-reset"}, "reset.*guest-reset"),
        ("GUEST_PANICKED", {"action": "pause"}, "panicked"),
    ],
)
def test_an_event_that_ends_the_guest_is_a_loss(
    name: str, data: dict[str, object], words: str
) -> None:
    async def body(vm: VirtualMachine) -> None:
        assert not vm.lost.done()
        await vm.monitor.execute("event", name=name, data=data)
        with pytest.raises(LostVMError, match=words):
            await vm.guarded(asyncio.sleep(10), 5, "a nap")

    run(body)


def test_a_reset_is_no_loss_where_it_is_allowed() -> None:
    async def main() -> None:
        async with machine(reset_is_loss=False) as vm:
            await vm.monitor.execute("event", name="RESET", data={"reason": "guest-reset"})
            assert not vm.lost.done()

    asyncio.run(main())


def test_a_crash_is_a_loss_with_its_own_words() -> None:
    async def body(vm: VirtualMachine) -> None:
        with pytest.raises(LostVMError, match=r"ended by SIGABRT: fake: it crashed"):
            await vm.guarded(vm.monitor.execute("crash"), 10, "the crash")

    assert run(body).returncode == -signal.SIGABRT


def test_an_event_that_is_seen_with_the_end_is_why_it_ended() -> None:
    async def body(vm: VirtualMachine) -> None:
        asked = asyncio.ensure_future(vm.monitor.execute("power-off"))
        end = time.monotonic() + 20
        # Meanwhile the loop does not look: it will see the event and the end at once.
        while not gone(vm.pid) and time.monotonic() < end:
            await asyncio.sleep(0)
            time.sleep(0.2)
        with pytest.raises(LostVMError, match=r"shut down \(guest-shutdown\)"):
            await vm.guarded(asked, 10, "the end")

    run(body)


def test_guarded_returns_raises_and_is_bounded() -> None:
    async def body(vm: VirtualMachine) -> None:
        async def answer() -> int:
            return 42

        async def fail() -> int:
            raise MonitorError("its own error")

        assert await vm.guarded(answer(), 1, "the answer") == 42
        with pytest.raises(MonitorError, match="its own"):
            await vm.guarded(fail(), 1, "the failure")
        with pytest.raises(LostVMError, match=r"the nap: not within 0\.05 s"):
            await vm.guarded(asyncio.sleep(10), 0.05, "the nap")
        assert not vm.lost.done()

    run(body)


def test_the_end_of_a_stream_is_told_as_the_end_of_the_vm() -> None:
    async def body(vm: VirtualMachine) -> None:
        async def stream() -> None:
            os.kill(vm.pid, signal.SIGKILL)
            raise ConnectionResetError

        with pytest.raises(LostVMError, match="ended by SIGKILL"):
            await vm.guarded(stream(), 5, "the stream")

    run(body)


# ------------------------------------------------------------------ start


def test_a_start_that_fails_holds_qemus_words_and_a_hint() -> None:
    with pytest.raises(QemuStartError, match=r"Max\. supported number") as caught:
        asyncio.run(machine("die").__aenter__())
    assert caught.value.returncode == 1
    assert caught.value.stderr == "fake: Max. supported number of ISA serial ports is 4\n"
    assert "four ISA serial ports" in caught.value.hint


def test_a_program_that_never_greets_is_ended() -> None:
    vm = machine("hang", start_bound=0.3)
    with pytest.raises(QemuStartError, match=r"did not answer on its monitor within 0\.3 s"):
        asyncio.run(vm.__aenter__())


def test_a_program_that_does_not_speak_qmp_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmserial.qemu.process._QUIT_BOUND", 0.2)
    with pytest.raises(QemuStartError, match="does not speak QMP"):
        asyncio.run(machine("rubbish").__aenter__())


@pytest.mark.parametrize("name", ["/nonexistent/qemu", "/etc/passwd"])
def test_a_program_that_cannot_be_started(name: str) -> None:
    with pytest.raises(BinaryError) as caught:
        asyncio.run(VirtualMachine([name]).__aenter__())
    assert caught.value.hint


def test_daemonize_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be supervised"):
        asyncio.run(VirtualMachine(["qemu", "--daemonize"]).__aenter__())


# ------------------------------------------------------------------ end


@pytest.mark.parametrize(
    ("mode", "status"), [("good", 0), ("hang-on-quit", -signal.SIGTERM), ("stubborn", -9)]
)
def test_quit_then_term_then_kill(mode: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmserial.qemu.process._QUIT_BOUND", 0.2)
    monkeypatch.setattr("vmserial.qemu.process._TERM_BOUND", 0.2)
    pids: list[int] = []

    async def body(vm: VirtualMachine) -> None:
        pids.append(vm.pid)

    assert run(body, mode).returncode == status
    assert gone(pids[0])


def test_a_cancelled_task_still_ends_it() -> None:
    pids: list[int] = []

    async def main() -> None:
        async def use() -> None:
            async with machine() as vm:
                pids.append(vm.pid)
                await asyncio.sleep(60)

        task = asyncio.create_task(use())
        while not pids:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert gone(pids[0])


def test_no_file_descriptor_is_left() -> None:
    async def body(_vm: VirtualMachine) -> None:
        return

    run(body)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        run(body)
    with pytest.raises(QemuStartError):
        asyncio.run(machine("die").__aenter__())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


PARENT = """
import asyncio, sys
from vmserial.paths import RunDirectory
from vmserial.qemu.loop import run_interruptible
from vmserial.qemu.process import VirtualMachine

async def main():
    with RunDirectory() as run:
        async with VirtualMachine(sys.argv[1:], rundir=run) as vm:
            print(vm.pid, run.path, flush=True)
            await asyncio.sleep(60)

run_interruptible(main())
"""


@pytest.mark.parametrize(
    ("number", "status", "clean"),
    [
        (signal.SIGINT, -signal.SIGINT, True),
        (signal.SIGTERM, 143, True),
        (signal.SIGHUP, 129, True),
        (signal.SIGKILL, -signal.SIGKILL, False),
    ],
)
def test_a_signal_to_us_ends_the_vm(
    own_runtime: Path, number: int, status: int, clean: bool
) -> None:
    # In a place of its own: whoever makes a run directory beside a dead one's removes that.
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, sys.executable, "-I", FAKE, "good"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": ":".join(sys.path),
            "XDG_RUNTIME_DIR": str(own_runtime),
        },
    )
    assert process.stdout is not None
    pid, path = process.stdout.readline().split()
    assert Path(path).is_relative_to(own_runtime)
    process.send_signal(number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while not gone(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(int(pid))
    assert process.returncode == status
    assert Path(path).exists() is not clean


# ------------------------------------------------------------------ the parts


def test_bounded_text_keeps_both_ends() -> None:
    text = BoundedText(half=10)
    text.add(b"0123456")
    assert text.text() == "0123456"
    text.add(b"789abcdefgh\xff")
    assert text.text() == "0123456789abcdefgh\\xff"
    text.add(b"." * 100)
    assert text.text() == "0123456789\n[… 99 bytes left out …]\n.........."


def test_status_text() -> None:
    assert status_text(None) == ""
    assert status_text(1) == " (exit status 1)"
    assert status_text(-9) == " by SIGKILL"
    assert status_text(-99) == " by signal 99"


def test_a_nul_byte_in_an_argument_is_refused() -> None:
    with pytest.raises(UsageError, match="NUL"):
        start_process(["/bin/true", "a\0b"])


STARTED = """
import os, signal, sys
from pathlib import Path
from vmserial.qemu.child import start_process

def end(number, frame):
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, end)
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
try:
    start_process(["/bin/sleep", "30"])
finally:
    print(Path("/proc/self/task/%d/children" % os.getpid()).read_text().split())
"""


def test_a_signal_while_a_child_is_started_is_not_dropped() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STARTED],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGTERM, "[]\n", "")


def test_a_child_takes_the_signals_that_its_parent_takes() -> None:
    process = start_process(["/bin/sleep", "30"])
    try:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


def test_a_child_has_its_own_process_group() -> None:
    process = start_process(["/bin/sleep", "30"])
    try:
        assert os.getpgid(process.pid) == process.pid
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("'isa-serial' is not a valid device model name", "doctor"),
        ("Failed to bind socket to x: Address already in use", "another process"),
        ("Could not access KVM kernel module: Permission denied", "accelerator tcg"),
        ("speed mismatch trying to attach usb device", "xhci"),
        ("nobody ever saw this", "showcmd"),
    ],
)
def test_hints(words: str, hint: str) -> None:
    assert hint in hint_for(words)
