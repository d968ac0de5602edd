"""Logging in to a full system, against a fake getty whose words are those of real ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
from collections.abc import Sequence
from pathlib import Path

import pytest
from local_shell import Stream, on_pty

from vmserial.errors import LostVMError, UsageError
from vmserial.guests.login import Dialogue, Login, parse
from vmserial.guests.shell import Shell
from vmserial.verify.holders import Keeper, pids

QUERY = r"\033[6n\033[32766;32766H\033[6n"
"""What systemd 257 sends on each login tty."""

GETTY = r"""
stty -echo
sleep {delay}
printf '[  OK  ] Reached target\r\n{query}\r\nDebian GNU/Linux 13 vm ttyS0\r\n\r\nvm login: '
[ -z '{late}' ] || printf '{late}\r\n'
read -r user
printf "$user\r\n"
sleep {thinks}
printf 'Password: '
[ -z '{late}' ] || printf '{late}\r\n'
read -r word
if [ "$user:$word" != root:right ]; then
    sleep 1; printf '\r\nLogin incorrect\r\nvm login: '; read -r user; exit
fi
stty echo
printf '\r\nLast login: Sat Nov 28 on ttyS0\r\n\033[?2004h\033[0mroot@vm:~# '
exec sh
"""


def getty(delay: float = 0, query: str = QUERY, late: str = "", thinks: float = 0) -> list[str]:
    return ["sh", "-c", GETTY.format(delay=delay, query=query, late=late, thinks=thinks)]


def log_in(words: Sequence[str], password: str = "right", timeout: float = 20.0) -> bytes:
    """Log in and run a command; return what was heard."""

    async def main() -> bytes:
        async with on_pty(list(words)) as stream:
            return await one(stream)

    async def one(stream: Stream) -> bytes:
        dialogue = Dialogue(*stream, name="serial0")
        await dialogue.log_in(Login("root", password), timeout)
        shell = Shell(*stream)
        try:
            await shell.ready(20)
            assert await shell.run("echo $((6 * 7))") == "42\n"
        finally:
            await shell.close()
        return bytes(dialogue.heard)

    return asyncio.run(main())


def test_a_login_ends_in_a_shell_and_the_password_is_never_echoed() -> None:
    heard = log_in(getty())
    assert b"Last login" in heard
    assert b"right" not in heard


def test_a_prompt_that_comes_late_is_waited_for_and_nothing_is_sent_before() -> None:
    log_in(getty(delay=2))


def test_the_echo_of_the_name_is_no_prompt_however_long_the_guest_thinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vmserial.guests.login._UNUSUAL", 0.5)
    log_in(getty(thinks=1.5))


def test_messages_after_the_prompts_do_not_hide_them() -> None:
    log_in(getty(late="[   31.1] random: crng init done"))


def test_a_wrong_password_is_told_in_the_systems_own_words() -> None:
    with pytest.raises(LostVMError, match=r"refused the login of root on serial0: Login incorrect"):
        log_in(getty(), password="wrong")


def test_no_prompt_is_told_with_the_last_words() -> None:
    with pytest.raises(LostVMError, match=r"no login prompt within 1 s; its last words: GRUB"):
        log_in(["sh", "-c", "echo GRUB loading; sleep 20"], timeout=1.0)


def test_a_port_that_ends_is_told() -> None:
    with pytest.raises((LostVMError, OSError)):
        log_in(["true"], timeout=5.0)


def test_the_password_is_read_from_a_file_and_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("se:cret\nmore\n")
    login = parse(f"root:{file}")
    assert login == Login("root", "se:cret")
    assert "cret" not in repr(login)
    for bad in ("root", "root:", ":x", "a b:x", f"root:{tmp_path / 'none'}", f"root:{tmp_path}"):
        with pytest.raises(UsageError) as caught:
            parse(bad)
        assert caught.value.hint
    file.write_text("a\tb\n")
    with pytest.raises(UsageError, match="control character"):
        parse(f"root:{file}")


LISTED = """own 400
own 390
/proc/1/fd:
lrwx------ 1 root root 64 Nov 28 09:00 9 -> /dev/ttyS12
/proc/231/fd:
lrwx------ 1 root root 64 Nov 28 09:00 0 -> /dev/hvc0
lrwx------ 1 root root 64 Nov 28 09:00 1 -> /dev/hvc0
/proc/390/fd:
lrwx------ 1 root root 64 Nov 28 09:00 0 -> /dev/ttyS0
"""


def test_who_holds_a_port_is_read_from_its_descriptors() -> None:
    assert pids(LISTED, "/dev/hvc0") == [231]
    assert pids(LISTED, "/dev/ttyS1") == []
    assert pids(LISTED, "/dev/ttyS0") == [], "the login that the tests run in"


def test_a_holder_is_named_and_stopped_on_request() -> None:
    async def main() -> None:
        master, slave = pty.openpty()
        path = os.ttyname(slave)
        holder = await asyncio.create_subprocess_exec("sleep", "60", stdin=slave)
        os.close(slave)
        async with on_pty(["sh"]) as stream, contextlib.AsyncExitStack() as stack:
            shell = Shell(*stream)
            await shell.ready(20)
            # On this machine a pty stands for the port.
            keeper = Keeper(shell, 20, stack, nodes="pts/")
            assert await keeper.held(path, take=False) == (
                f"{path} is held by sleep (pid {holder.pid}); --take-ports stops it while the "
                "ports are tested"
            )
            assert await keeper.held(path, take=True) == ""
            await shell.close()
        assert await holder.wait() < 0
        os.close(master)

    asyncio.run(main())
