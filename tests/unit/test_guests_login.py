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
from vmserial.guests.loginwords import asks
from vmserial.guests.shell import Shell
from vmserial.verify.holders import Keeper, pids, service

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
    assert pids(LISTED, "/dev/ttyS12") == [], "the first process"
    assert pids(LISTED, "/dev/ttyS0") == [], "the login that the tests run in"


def test_a_holder_is_named_silenced_on_request_and_put_back() -> None:
    told: list[str] = []

    async def main() -> None:
        master, slave = pty.openpty()
        path = os.ttyname(slave)
        holder = await asyncio.create_subprocess_exec("sleep", "600", stdin=slave)
        os.close(slave)
        async with on_pty(["sh"]) as stream, contextlib.AsyncExitStack() as stack:
            shell = Shell(*stream)
            await shell.ready(20)
            # This machine's own services have no part in this.
            await shell.run("systemctl() { return 1; }")
            # On this machine a pty stands for the port.
            keeper = Keeper(shell, 20, stack, told.append, nodes="pts/")
            who = f"sleep (pid {holder.pid})"
            assert await keeper.held(path, take=False) == (
                f"{path} is held by {who}; --take-ports stops it while the ports are tested"
            )
            assert await keeper.held(path, take=True) == ""
            assert _state(holder.pid) == "T"
            await stack.aclose()
            assert told == [f"{who} had a port that was tested, was stopped, and runs again"]
            assert _state(holder.pid) in "RS"
            holder.kill()
            await holder.wait()
            await shell.close()
        os.close(master)

    asyncio.run(main())


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Guest:
    """A guest's shell that answers what was written down; what is not there is empty."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def run(self, command: str, _: float = 30.0) -> str:
        self.asked.append(command)
        for key, answers in self.answers.items():
            if key in command:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return ""


def held(guest: Guest, told: list[str] | None = None) -> str:
    async def main() -> str:
        async with contextlib.AsyncExitStack() as stack:
            say = (told if told is not None else []).append
            keeper = Keeper(guest, 20, stack, say)  # type: ignore[arg-type]
            return await keeper.held("/dev/hvc0", take=True)

    return asyncio.run(main())


CGROUP = "0::/system.slice/system-serial\\x2dgetty.slice/serial-getty@hvc0.service\n"


def test_a_service_is_stopped_by_its_own_name_and_proven_to_be_back() -> None:
    told: list[str] = []
    guest = Guest(own=[LISTED, "own 400"], comm=["agetty"], cgroup=[CGROUP],
                  stop=["stopped"], start=["active"])  # fmt: skip
    assert held(guest, told) == ""
    assert told == [
        "serial-getty@hvc0.service had a port that was tested, was stopped, and runs again"
    ]
    assert not any("kill" in command for command in guest.asked)


def test_a_service_that_is_not_back_is_told() -> None:
    told: list[str] = []
    guest = Guest(own=[LISTED, "own 400"], comm=["agetty"], cgroup=[CGROUP],
                  stop=["stopped"], start=["Job failed\nfailed"])  # fmt: skip
    held(guest, told)
    assert told == [
        "serial-getty@hvc0.service was stopped for the tests and does not run again: "
        "Job failed failed"
    ]


def test_one_that_cannot_be_stopped_still_holds_the_port() -> None:
    guest = Guest(own=[LISTED], comm=["agetty"], cgroup=[CGROUP])
    assert held(guest) == "/dev/hvc0 is held by agetty (pid 231)"


def test_a_program_of_a_users_session_is_of_no_service() -> None:
    assert service(CGROUP) == "serial-getty@hvc0.service"
    assert service("0::/user.slice/user-0.slice/user@0.service/app.slice/x.service") == ""
    assert service("0::/init.scope\n") == ""


USB = "node /dev/bus/usb/001/002\ninterface 1-1:1.0 usbfs\n"
FREE = USB.replace("usbfs", "ftdi_sio")
BRLTTY = "own 400\n/proc/77/fd:\nlrwx------ 1 root root 64 Nov 28 09:00 5 -> /dev/bus/usb/001/002\n"


def grabbed(guest: Guest, *, take: bool) -> str:
    async def main() -> str:
        async with contextlib.AsyncExitStack() as stack:
            keeper = Keeper(guest, 20, stack)  # type: ignore[arg-type]
            return await keeper.grabbed("serial1", take=take)

    return asyncio.run(main())


def test_who_took_a_usb_serial_by_libusb_is_named() -> None:
    guest = Guest(serial1=[USB], own=[BRLTTY], comm=["brltty"])
    assert grabbed(guest, take=False) == (
        "ttyUSB was taken by brltty (pid 77) (libusb, /dev/bus/usb/001/002); --take-ports ends it"
    )
    assert not any("kill" in command for command in guest.asked)


def test_a_usb_serial_is_given_back_to_its_driver_on_request() -> None:
    guest = Guest(serial1=[USB, FREE], own=[BRLTTY], comm=["brltty"])
    assert grabbed(guest, take=True) == ""
    assert any("kill 77" in command for command in guest.asked)
    assert any("echo 1-1:1.0 >/sys/bus/usb/drivers_probe" in one for one in guest.asked)
    assert "brltty" in grabbed(Guest(serial1=[USB], own=[BRLTTY], comm=["brltty"]), take=True)


def test_a_usb_serial_that_nobody_took_has_no_such_excuse() -> None:
    for shown in (FREE, "node /dev/bus/usb/001/002\ninterface 1-1:1.0 \n", ""):
        assert grabbed(Guest(serial1=[shown]), take=False) == ""


def test_a_port_that_asks_for_a_name_is_known_by_its_words() -> None:
    assert asks(b"\r\nDebian GNU/Linux 13 vm hvc0\r\n\r\nvm login: ")
    assert not asks(b"[ OK ] Started getty.\r\nLast login: Sat Nov 28 on hvc0\r\n")
