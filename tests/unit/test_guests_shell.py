"""The driver of a guest's shell, against real shells of this machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_shell import SHELLS, Stream, Wire, on_pty, over_socket

from vmserial.errors import LostVMError, ShellError
from vmserial.guests import patience
from vmserial.guests.records import Splitter
from vmserial.guests.shell import Shell, quote

Scenario = Callable[[Shell], Awaitable[None]]
each_shell = pytest.mark.parametrize("words", SHELLS, ids=" ".join)


def run(
    words: list[str], scenario: Scenario, *, tty: bool = False, wire: Wire | None = None
) -> None:
    async def main() -> None:
        async with (on_pty if tty else over_socket)(words) as stream:
            if wire is None:
                await one(stream)
            else:
                async with wire.across(stream) as changed:
                    await one(changed)

    async def one(stream: Stream) -> None:
        shell = Shell(*stream)
        try:
            await shell.ready(20)
            assert shell.tty is tty
            await scenario(shell)
        finally:
            await shell.close()

    asyncio.run(main())


# ------------------------------------------------------------------ commands


@each_shell
@pytest.mark.parametrize("tty", [False, True], ids=["raw", "tty"])
def test_commands_their_output_and_their_status(words: list[str], tty: bool) -> None:
    async def scenario(shell: Shell) -> None:
        assert await shell.run("echo one; echo two >&2") == "one\ntwo\n"
        assert await shell.run("printf 'no end of line'") == "no end of line"
        assert await shell.run(":") == ""
        await shell.run("kept='a b'; function_too() { echo \"<$kept>\"; }")
        assert await shell.run("function_too") == "<a b>\n"
        with pytest.raises(ShellError, match=r"status 3 .*: nearly") as caught:
            await shell.run("echo nearly; (exit 3)")
        assert caught.value.hint
        # Nothing that is not a command ends the shell or stays open.
        for bad in ("if", "echo 'open", "fi )", "exec 7</nonexistent", ". /nonexistent"):
            with pytest.raises(ShellError):
                await shell.run(bad)
        assert await shell.run("echo still here") == "still here\n"
        # It does not read the commands that come.
        assert await shell.run("cat") == ""

    run(words, scenario, tty=tty)


@each_shell
def test_an_answer_is_never_taken_from_an_echo(words: list[str]) -> None:
    async def scenario(shell: Shell) -> None:
        await shell.run("stty echo <&1")
        # What is echoed spells the markers as printf does; it comes before the output begins.
        assert await shell.run("printf '%s' 'vs_say E 1 0'") == "vs_say E 1 0"
        assert await shell.run("echo two") == "two\n"
        assert b"vs_say B" in shell.noise, "the terminal does echo"

    run(words, scenario, tty=True)


@pytest.mark.parametrize("tty", [False, True], ids=["raw", "tty"])
def test_events_come_while_a_command_runs_and_are_not_its_output(tty: bool) -> None:
    async def scenario(shell: Shell) -> None:
        heard: list[str] = []
        arrived = asyncio.Event()

        def hear(text: str) -> None:
            heard.append(text)
            if text == "late":
                arrived.set()

        end = shell.subscribe(hear)
        output = await shell.run(
            "echo a; vs_say x 1 'two words'; echo b; (sleep 0.1; vs_say late) &"
        )
        assert output == "a\nb\n"
        await asyncio.wait_for(arrived.wait(), 10)
        assert heard == ["x 1 two words", "late"]
        await shell.post("vs_say posted")
        await shell.run(":")
        assert heard[2:] == ["posted"]
        end()
        end()
        await shell.run("vs_say unheard")
        assert len(heard) == 3

    run(["sh"], scenario, tty=tty)


def test_commands_of_several_tasks_do_not_mix() -> None:
    async def scenario(shell: Shell) -> None:
        answers = await asyncio.gather(
            *(shell.run(f"echo begin {n}; echo end {n}") for n in range(30))
        )
        assert answers == [f"begin {n}\nend {n}\n" for n in range(30)]

    run(["sh"], scenario)


# ------------------------------------------------------------------ the handshake


@pytest.mark.parametrize("tty", [False, True], ids=["raw", "tty"])
@pytest.mark.parametrize("lost", [1, 3, 12, 20, 31, 40, 47, 55, 60])
def test_a_port_that_loses_the_first_bytes_still_gets_its_shell(lost: int, tty: bool) -> None:
    left = lost

    def lose(data: bytes) -> bytes:
        nonlocal left
        rest = data[left:]
        left = max(0, left - len(data))
        return rest

    async def scenario(shell: Shell) -> None:
        assert await shell.run("echo here") == "here\n"

    run(["sh"], scenario, tty=tty, wire=Wire(down=lose))


@pytest.mark.parametrize(("listen", "lives"), [(10.0, True), (0.0, False)])
def test_a_uart_that_goes_deaf_if_spoken_to_too_early(listen: float, lives: bool) -> None:
    heard = False
    deaf = False

    def up(data: bytes) -> bytes:
        nonlocal heard
        heard = True
        return data

    def down(data: bytes) -> bytes:
        nonlocal deaf
        deaf = deaf or not heard
        return b"" if deaf else data

    async def main() -> None:
        # As a guest does: first nothing, then messages, then a shell.
        boot = "sleep 0.3; echo 'Booting'; sleep 0.1; echo 'Done'; exec sh"
        async with (
            on_pty(["sh", "-c", boot]) as stream,
            Wire(down=down, up=up).across(stream) as changed,
        ):
            shell = Shell(*changed)
            if lives:
                await shell.ready(20, listen=listen)
                assert await shell.run("echo here") == "here\n"
            else:
                with pytest.raises(LostVMError):
                    await shell.ready(2, listen=listen)
            await shell.close()

    asyncio.run(main())


def test_listening_to_a_silent_shell_ends() -> None:
    async def main() -> None:
        async with over_socket(["sh"]) as stream:
            shell = Shell(*stream)
            begin = time.monotonic()
            await shell.ready(20, listen=0.3)
            assert 0.3 <= time.monotonic() - begin < 15
            await shell.close()

    asyncio.run(main())


def test_kernel_messages_in_between_do_no_harm() -> None:
    def noise(data: bytes) -> bytes:
        return b"[    1.234567] usb 1-1: new full-speed USB device\r\n" + data

    async def scenario(shell: Shell) -> None:
        assert "here\n" in await shell.run("echo here")
        assert b"full-speed" in shell.noise

    run(["sh"], scenario, tty=True, wire=Wire(up=noise))


class Starved:
    """What a guest waited for a processor: all the time, or none of it."""

    def __init__(self, *, always: bool) -> None:
        self.always = always

    def __call__(self) -> float:
        return time.monotonic() if self.always else 0.0


@pytest.mark.parametrize("always", [True, False])
def test_a_guest_without_a_processor_is_waited_for(
    always: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_LOOK", 0.02)

    async def slow(shell: Shell) -> None:
        await shell.run("sleep 1.2", 0.7)
        assert not shell.lost

    async def main() -> None:
        async with over_socket(["sh", "-c", "sleep 1.2; exec sh"]) as stream:
            shell = Shell(*stream, starved=Starved(always=always))
            # Four times the bound, at most; a busy host takes its part of that.
            await shell.ready(0.7 if always else 20)
            await slow(shell)
            await shell.close()

    if always:
        asyncio.run(main())
    else:
        with pytest.raises(LostVMError, match=r"'sleep 1\.2' did not end within 0\.7 s"):
            asyncio.run(main())


def test_a_silent_guest_is_lost_after_the_bound_and_a_dead_one_at_once() -> None:
    async def silent() -> None:
        async with over_socket(["sleep", "60"]) as stream:
            shell = Shell(*stream, name="guest debian-12-arm64")
            with pytest.raises(LostVMError, match=r"guest debian-12-arm64.*within 0\.3 s"):
                await shell.ready(0.3)
            assert shell.lost
            with pytest.raises(LostVMError):
                await shell.run("echo")
            await shell.close()

    async def dead() -> None:
        async with over_socket(["true"]) as stream:
            shell = Shell(*stream)
            with pytest.raises(LostVMError, match=r"ended|broke"):
                await shell.ready(30)
            await shell.close()

    for scenario in (silent, dead):
        begin = time.monotonic()
        asyncio.run(scenario())
        assert time.monotonic() - begin < 15


@pytest.mark.parametrize(
    ("command", "bound", "words"),
    [("sleep 30", 0.3, r"did not end within 0\.3 s"), ("kill -9 $$", 30, "ended|broke")],
)
def test_a_guest_that_dies_or_hangs_in_a_command(command: str, bound: float, words: str) -> None:
    async def scenario(shell: Shell) -> None:
        waiting = asyncio.get_running_loop().create_future()
        event = asyncio.create_task(shell.wait(waiting, 30))
        await asyncio.sleep(0)
        begin = time.monotonic()
        with pytest.raises(LostVMError, match=words):
            await shell.run(command, bound)
        # Who waits for an event hears of it too.
        with pytest.raises(LostVMError):
            await event
        assert time.monotonic() - begin < 15
        with pytest.raises(LostVMError):
            await shell.post("echo")

    run(["sh"], scenario)


# ------------------------------------------------------------------ files


@each_shell
@pytest.mark.parametrize("tty", [False, True], ids=["raw", "tty"])
def test_files_go_in_and_come_out_whole(words: list[str], tty: bool, tmp_path: Path) -> None:
    async def scenario(shell: Shell) -> None:
        path = str(tmp_path / "it's a name")
        for size in (0, 1, 4095, 4096, 70000):
            data = (bytes(range(256)) + os.urandom(size))[-size:] if size else b""
            await shell.put(path, data)
            assert Path(path).read_bytes() == data
            assert await shell.get(path) == data
            assert await shell.get(path, start=3) == data[3:]
        with pytest.raises(ShellError, match="nonexistent"):
            await shell.put("/nonexistent/file", b"x")
        with pytest.raises(ShellError, match="nonexistent"):
            await shell.get("/nonexistent/file")
        assert await shell.run("echo still here") == "still here\n"

    run(words, scenario, tty=tty)


def test_a_file_that_arrives_wrong_is_noticed(tmp_path: Path) -> None:
    async def scenario(shell: Shell) -> None:
        await shell.put(str(tmp_path / "good"), b"precious data")
        with pytest.raises(ShellError, match="other content"):
            await shell.put(str(tmp_path / "bad"), b"precious data!")

    swap = Wire(down=lambda data: data.replace(b"precious data!", b"precious datA!"))
    run(["sh"], scenario, wire=swap)


@each_shell
def test_a_reader_that_fails_half_way_does_not_turn_data_into_commands(
    words: list[str], tmp_path: Path
) -> None:
    trap = tmp_path / "executed"

    async def scenario(shell: Shell) -> None:
        # A guest whose reader stops early: what is left of the data stands in the stream.
        await shell.run("head() { command head -c 10; return 1; }")
        await shell.run('dd() { [ "$1" = if=/dev/null ] || { command head -c 10; return 1; }; }')
        data = b"\n" * 10 + f"touch {trap}\n".encode() * 20000
        with pytest.raises(ShellError, match="status 1"):
            await shell.put(str(tmp_path / "file"), data, 20)
        with pytest.raises(LostVMError, match="stopped reading"):
            await shell.run(f"ls {tmp_path}")
        await asyncio.sleep(0.3)
        assert not trap.exists()

    run(words, scenario)


@each_shell
@pytest.mark.parametrize("without", [False, True], ids=["dd", "no fullblock"])
def test_a_large_file_is_taken_in_blocks_where_the_guest_can(
    words: list[str], without: bool, tmp_path: Path
) -> None:
    data = os.urandom((1 << 18) + 77)

    async def scenario(shell: Shell) -> None:
        if without:
            await shell.run("dd() { return 1; }")
        else:
            await shell.run("head() { return 1; }")
        # In pieces that fill no block: a reader that counts reads takes too little.
        await shell.put(str(tmp_path / "file"), data, 20)
        assert (tmp_path / "file").read_bytes() == data
        assert await shell.run("echo still there") == "still there\n"

    run(words, scenario, wire=Wire())


def test_a_put_that_is_cancelled_leaves_no_shell_that_lies(tmp_path: Path) -> None:
    async def scenario(shell: Shell) -> None:
        await shell.run("head() { sleep 30; }")
        task = asyncio.create_task(shell.put(str(tmp_path / "file"), bytes(100), 30))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(LostVMError, match="half way"):
            await shell.run("echo")

    run(["sh"], scenario)


# ------------------------------------------------------------------ small parts


PARTS = st.sampled_from(["text", "\x1eB 1\x1f", "\x1eevent x\x1f", "\r\n", "é"])


@given(st.lists(PARTS), st.data())
def test_records_are_found_however_the_stream_is_cut(parts: list[str], data: st.DataObject) -> None:
    stream = "".join(parts).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    splitter = Splitter()
    found: list[bytes | str] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[begin:end])
    records = [part for part in found if isinstance(part, str)]
    text = b"".join(part for part in found if isinstance(part, bytes))
    assert records == [part[1:-1] for part in parts if part.startswith("\x1e")]
    assert text == "".join(part for part in parts if not part.startswith("\x1e")).encode()


def test_a_record_that_is_cut_off_swallows_nothing() -> None:
    splitter = Splitter()
    assert splitter.feed(b"a\x1ecut \x1eE 1 0\x1fb") == [b"a", b"cut ", "E 1 0", b"b"]
    parts = splitter.feed(b"\x1e" + b"x" * 5000 + b"\x1eE 2 0\x1f")
    assert parts[-1] == "E 2 0"
    assert b"x" * 5000 in b"".join(part for part in parts if isinstance(part, bytes))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_splitter(data: bytes) -> None:
    parts = Splitter().feed(data)
    kept = sum(len(part) if isinstance(part, bytes) else len(part.encode()) for part in parts)
    assert kept <= len(data) * 3


def test_a_word_with_a_nul_is_refused() -> None:
    assert quote("it's") == "'it'\"'\"'s'"
    with pytest.raises(ShellError, match="NUL"):
        quote("a\0b")


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ("", r"the guest shows no port vmserial\.control"),
        ("closed /dev/vport1p1\n", r"its user may not open /dev/vport1p1, which is vmserial\.cont"),
    ],
)
def test_a_shell_that_cannot_move_to_the_control_port_says_why(shown: str, why: str) -> None:
    async def scenario(shell: Shell) -> None:
        async def answer(command: str, timeout: float = 30.0) -> str:
            del command, timeout
            return shown

        shell.run = answer  # type: ignore[method-assign]
        with pytest.raises(ShellError, match=why):
            await shell.upgrade(shell._reader, shell._writer, 5)

    run(["sh"], scenario)


def test_this_machine_has_no_control_port_and_its_shell_goes_on() -> None:
    async def scenario(shell: Shell) -> None:
        with pytest.raises(ShellError, match="the guest shows no port"):
            await shell.upgrade(shell._reader, shell._writer, 20)
        assert await shell.run("echo here") == "here\n"

    run(["sh"], scenario)
