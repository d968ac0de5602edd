"""What guests say around a login, recorded, against a dialogue that must not be fooled by it."""

from __future__ import annotations

import asyncio

import pytest

from vmserial.errors import LostVMError
from vmserial.guests import loginwords
from vmserial.guests.login import Dialogue, Login
from vmserial.guests.loginwords import Standing

ISSUE = "\r\nDebian GNU/Linux 13 debian ttyS0\r\n\r\ndebian login: "
QUERY = "\x1b[!p\x1b]104\x07\x1b[?7h\x1b[6n\x1b[32766;32766H\x1b[6n"
"""What systemd 257 sends when a getty starts anew."""
ECHO = "mona\r\nPassword: "
PROMPT = "mona@debian:~$ "
REFUSED = "\r\n\r\nLogin incorrect\r\ndebian login: "

ZSH = (
    "\x1b[1m\x1b[7m%\x1b[27m\x1b[1m\x1b[0m" + "\0" * 8 + " " * 79 + "\r \r"
    "\r\x1b[0m\0\0\0\0\x1b[27m\x1b[24m\x1b[Jdebian% \x1b[K\x1b[?2004h"
)
FISH = (
    "Welcome to fish, the friendly interactive shell\r\nType \x1b[m\x1b(Bhelp\x1b[m\x1b(B for "
    "instructions on how to use fish\r\n\x1b[?2004h\x1b]0;/w/full\x07\x1b[m\x1b(B\r\x1b[m\x1b(Bmona"
    "\x1b[m\x1b(B@\x1b[m\x1b(Bvm\x1b[m\x1b(B \x1b[m\x1b(B/w/full\x1b[m\x1b(B\x1b[m\x1b(B> "
    "\x1b[K\r\x1b[17C"
)
FISH_4 = (
    "\x1b]7;file://vm/\x07\x1b]0;/\x07\x1b[m\x1b(B\r\x1b]133;A;special_key=1\x07\x1b[m\x1b(B"
    "mona\x1b[m\x1b(B@\x1b[m\x1b(Bvm\x1b[m\x1b(B \x1b[m\x1b(B/\x1b[m\x1b(B\x1b[m\x1b(B> \x1b[K"
    "\r\x1b[11C\x1b[?2004h\x1b[>4;1m\x1b[=5u\x1b="
)
TCSH = "\x1b[4mvm\x1b[24m:\x1b[1m/\x1b[0m\x1b(B# "
ASH = "# \x1b[6n"
"""busybox asks the terminal where its cursor is."""
COLOURS = (
    "\x1b]0;mona@debian: ~\x07\x1b]7;file://debian/home/mona\x1b\\\x1b[?2004h"
    "\x1b[01;32mmona@debian\x1b[00m:\x1b[01;34m~\x1b[00m$ "
)
"""What Debian's bash with colours, a title and vte's mark sends."""


class Recorded:
    """A guest that says its next words whenever something is typed."""

    def __init__(self, *said: str) -> None:
        self.reader = asyncio.StreamReader()
        self.typed: list[str] = []
        self._said = list(said)
        self._next()

    def write(self, data: bytes) -> None:
        self.typed.append(data.decode())
        self._next()

    def _next(self) -> None:
        if self._said:
            self.reader.feed_data(self._said.pop(0).encode())


def typed(*said: str, password: str = "right", timeout: float = 5.0) -> list[str]:
    """Log mona in to a guest of these words; return what was typed."""

    async def main() -> list[str]:
        guest = Recorded(*said)
        dialogue = Dialogue(guest.reader, guest, name="serial0")  # type: ignore[arg-type]
        await dialogue.log_in(Login("mona", password), timeout)
        return guest.typed

    return asyncio.run(main())


def refused(*said: str, timeout: float = 5.0) -> LostVMError:
    with pytest.raises(LostVMError) as caught:
        typed(*said, timeout=timeout)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert "right" not in f"{caught.value} {caught.value.hint}"
    return caught.value


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmserial.guests.login._PAUSE", 0.01)
    monkeypatch.setattr("vmserial.guests.login._UNUSUAL", 0.05)


WHOLE = ["mona\n", "right\n", "exec sh\n"]

MESSAGES_OF_THE_DAY = {
    "last login": "Last login: Sat Nov 28 09:00:00 UTC 2026 on ttyS0\r\n",
    "last failed login": (
        "Last failed login: Sat Nov 28 09:00:00 UTC 2026 on ttyS0\r\nThere were 2 failed login "
        "attempts since the last successful login.\r\n"
    ),
    "a prompt's look": "Ask on #help, or see the price list in $\r\nWeb login:\r\nPassword:\r\n",
    "a web login": "Web login: https://192.0.2.7:9090/ password: your own\r\n",
    "words of a refusal": "-bash: /etc/profile.d/x.sh: Permission denied\r\nincorrect use\r\n",
    "an age": "Warning: your password will expire in 3 days.\r\n",
    "a rule": "################################\r\n",
}


@pytest.mark.parametrize("words", MESSAGES_OF_THE_DAY.values(), ids=MESSAGES_OF_THE_DAY)
@pytest.mark.parametrize(
    "prompt",
    [
        PROMPT,
        ZSH,
        FISH,
        FISH_4,
        TCSH,
        ASH,
        COLOURS,
        "\x1b[36m~\x1b[0m \x1b[32m\u276f\x1b[0m ",
        "debian (main) | ",
    ],
    ids=["bash", "zsh", "fish", "fish 4", "tcsh", "ash", "colours", "starship", "unusual"],
)
def test_no_message_of_the_day_is_taken_for_a_question(words: str, prompt: str) -> None:
    assert typed(ISSUE, ECHO, f"\r\nLinux debian 6.12.48\r\n{words}{prompt}", "# ") == WHOLE


def test_a_shell_that_knows_no_posix_is_left_at_once() -> None:
    assert typed(ISSUE, ECHO, FISH)[-1] == "exec sh\n"


@pytest.mark.parametrize(
    "said",
    [
        "You are required to change your password immediately (administrator enforced).\r\n"
        "Changing password for mona.\r\nCurrent password: ",
        "You are required to change your password immediately (administrator enforced).\r\n"
        "New password: ",
        "您必须立即更改您的密码 (管理员强制)。\r\n为 mona 更改密码。\r\n当前的密码\uff1a",
        "Sie müssen Ihr Passwort sofort ändern (von root erzwungen).\r\nNeues Passwort: ",
    ],
    ids=["current", "new", "kylin", "german"],
)
def test_a_password_that_must_be_changed_is_named_and_none_is_typed(said: str) -> None:
    error = refused(ISSUE, ECHO, f"\r\n{said}")
    assert "mona's password on serial0 has expired: the guest wants a new one" in str(error)
    assert "passwd mona" in str(error.hint)


def test_the_same_is_named_where_there_was_no_password_before() -> None:
    said = "mona\r\nYou are required to change your password immediately.\r\nNew password: "
    assert "has expired" in str(refused(ISSUE, said))


@pytest.mark.parametrize(
    "said",
    [
        "Your account has expired; please contact your administrator. Authentication failure",
        "This account is currently not available.",
        "Login incorrect",
        "Authentication failure",
        "System is booting up. Unprivileged users are not permitted to log in yet.",
    ],
)
def test_a_refusal_is_told_in_the_systems_own_words(said: str) -> None:
    lines = said.replace(". Auth", ".\r\n\r\nAuth")
    error = refused(ISSUE, ECHO, f"\r\n{lines}\r\n{QUERY}\r\n{ISSUE}")
    assert f"the guest refused the login of mona on serial0: {said}" in str(error)


def test_a_password_that_is_asked_for_again_was_refused() -> None:
    assert "refused the login of mona" in str(refused(ISSUE, ECHO, "\r\nPassword: "))


def test_a_refusal_is_seen_where_messages_hide_the_next_prompt() -> None:
    hidden = f"{REFUSED}ci-info: no authorized keys\r\n"
    assert "refused the login of mona on serial0: Login incorrect" in str(
        refused(ISSUE, ECHO, hidden)
    )


def test_a_second_factor_is_named_and_not_answered() -> None:
    error = refused(ISSUE, ECHO, "\r\nVerification code: ")
    assert "asks mona for something else than the password" in str(error)
    assert "Verification code:" in str(error)


def test_a_user_without_a_password_types_none() -> None:
    assert typed(ISSUE, f"mona\r\nLinux debian 6.12.48\r\n{PROMPT}") == ["mona\n", "exec sh\n"]


def test_a_guest_that_logs_in_by_itself_is_asked_for_nothing() -> None:
    assert typed(f"{ISSUE}mona (automatic login)\r\n\r\n{PROMPT}") == ["exec sh\n"]
    # Its shell is waited for.
    refused(f"{ISSUE}mona (automatic login)\r\n\r\n", timeout=0.3)
    error = refused(f"{ISSUE}root (automatic login)\r\n\r\nroot@debian:~# ")
    assert "logs root in by itself on serial0, and not mona" in str(error)


KERNEL = "[   31.104417] usb 1-1: new full-speed USB device number 2 using xhci_hcd\r\n"


@pytest.mark.parametrize(
    "words",
    [
        f"debian login: {KERNEL}",
        f"debian lo{KERNEL}gin: ",
        f"debian login: {KERNEL}{KERNEL}",
        "debian login: [  OK  ] Reached target graphical.target.\r\n         Starting x...\r\n",
        "debian login: ci-info: no authorized SSH keys fingerprints found for user debian.\r\n",
    ],
    ids=["behind", "in the middle", "two", "systemd", "cloud-init"],
)
def test_messages_in_between_hide_no_question(words: str) -> None:
    assert typed(words, f"mona\r\nPass{KERNEL}word: ", f"\r\n{PROMPT}") == WHOLE


def test_nothing_is_typed_before_there_is_a_question_for_a_name() -> None:
    boot = "GRUB version 2.12\r\ngrub> \r\nPress any key to continue...\r\n=> "
    assert "no login prompt within" in str(refused(boot, timeout=0.3))


def test_an_issue_that_speaks_of_a_login_waits_for_the_prompt() -> None:
    text = loginwords.plain(b"Before you login: read /etc/rules\r\nHints for login: none\r\n")
    assert loginwords.standing(text) is None
    assert loginwords.standing(f"{text}debian login: ") is Standing.NAME


def test_the_echo_of_what_was_typed_is_no_prompt() -> None:
    for sought in Standing:
        assert loginwords.after_silence("mona\n", sought) is None
        assert loginwords.after_silence("\n", sought) is None
