"""Logging in to a full system on a port that gives a login prompt.

What such a system asks of the terminal (systemd sends ``ESC[6n`` on each login tty) is
neither data nor answered: an answer that comes late is taken for a login name.  Nothing is
sent before there is a prompt, because a key pressed early stops a boot loader.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vmserial.errors import LostVMError, UsageError
from vmserial.guests import loginwords as words
from vmserial.guests.loginwords import Standing

USER_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*\$?"
"""What a user may be called (useradd's own rule)."""

_PAUSE = 0.3
"""Seconds of silence after a prompt before it is answered: messages may follow it."""
_UNUSUAL = 10.0
"""Seconds of silence after which what came after the password counts as an unusual prompt."""
_BLOCK = 1 << 16
_WORDS = 300


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in.

    Attributes:
        user: the name.
        password: in no message, report or command line.
        seeded: cloud-init gives it to the user, who has none before.
    """

    user: str
    password: str = field(repr=False)
    seeded: bool = False


class LoginRefusedError(LostVMError):
    """The guest says no to the user's name or password; it asks again."""


def parse(text: str) -> Login:
    """Read ``USER:FILE``; the file's first line is the password, and may be empty.

    Raises:
        UsageError: it is not of that form, or the file cannot be read.
    """
    user, colon, name = text.partition(":")
    if not colon or not name or not re.fullmatch(USER_NAME, user):
        raise UsageError(
            f"{user!r} names no user and file" if colon else "the login names no file",
            hint="write --login root:FILE, where FILE holds the password; or, of a cloud image "
            "that has none, --login root --cloud-init",
            where="--login",
        )
    try:
        lines = Path(name).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"the file of {user}'s password, {name}, cannot be read: {why}",
            hint="write the password into a file: its first line counts",
            where="--login",
        ) from None
    password = lines[0] if lines else ""
    if not password.isprintable():
        raise UsageError(
            f"the first line of {name} holds a control character", hint="no terminal can type it",
            where="--login",
        )  # fmt: skip
    return Login(user, password)


class Dialogue:
    """One login over a stream.

    Args:
        reader, writer: the host side of the port.
        name: of the port, for errors.

    Attributes:
        heard: all that came, for a report; a system never echoes a password.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, name: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._name = name
        self._from = 0
        self._sought = Standing.NAME
        self.heard = bytearray()

    async def log_in(
        self, login: Login, timeout: float, asked: Callable[[], None] = lambda: None
    ) -> None:
        """Wait for the prompt, log in, and return when the user's shell is there.

        Args:
            login: who.
            timeout: seconds for all of it; a wrong password costs the guest about 4 s.
            asked: called when the guest asks for a name.

        Raises:
            LostVMError: no prompt came, the login was refused, or the port ended.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._come_in(login, asked)
                # Whatever shell is the user's: fish and csh know no POSIX.
                self._type("exec sh")
        except TimeoutError:
            waited = {Standing.NAME: "login prompt", Standing.PASSWORD: "answer to the user's name"}
            raise LostVMError(
                f"{self._name} gave no {waited.get(self._sought, 'answer to the password')} within "
                f"{timeout:g} s{self._last()}",
                hint="see its console; a getty runs on it if the guest's kernel has it as "
                "console=, and a slow guest needs a longer --timeout",
            ) from None

    async def _come_in(self, login: Login, asked: Callable[[], None]) -> None:
        """Answer the guest's questions until the user's shell has its prompt."""
        # After a refusal it asks anew.
        self._sought = Standing.NAME
        found = await self._until()
        asked()
        if found is Standing.NAME:
            self._type(login.user)
            self._sought = Standing.PASSWORD
            found = await self._until()
        else:
            if (user := words.automatic(self._text())) != login.user:
                raise LostVMError(
                    f"the guest logs {user} in by itself on {self._name}, and not {login.user}",
                    hint=f"name that user: --login {user}:FILE",
                )
            self._sought = Standing.SHELL
            found = await self._until()
        if found is Standing.PASSWORD:
            if words.wants_new_password(self._text()):
                self._expired(login)
            self._type(login.password)
            self._sought = Standing.SHELL
            found = await self._until()
        if found is Standing.PASSWORD and words.wants_new_password(self._text()):
            self._expired(login)
        if found is Standing.QUESTION:
            raise LostVMError(
                f"{self._name} asks {login.user} for something else than the password"
                f"{self._last()}",
                hint="vmserial answers with a name and a password only: log in as another user, "
                "or let this one in without that question",
            )
        if found is not Standing.SHELL:
            self._refuse(login)

    def _expired(self, login: Login) -> None:
        raise LostVMError(
            f"{login.user}'s password on {self._name} has expired: the guest wants a new one",
            hint=f"set it in the image: log in once, or passwd {login.user} as root (chage -l "
            f"{login.user} says why); vmserial sets none, and its overlay would forget it",
        )

    def _refuse(self, login: Login) -> None:
        told = words.turned_away(self._text())
        raise LoginRefusedError(
            f"the guest refused the login of {login.user} on {self._name}"
            + (f": {told}" if told else self._last()),
            hint="check the user's name and the password's file; a guest may also forbid root "
            "on this tty (/etc/securetty), and an account can be locked or expired (chage -l)",
        )

    def _text(self) -> str:
        """Return what came since the last that was typed, without escapes and messages."""
        return words.plain(bytes(self.heard[self._from :]))

    def _last(self) -> str:
        said = " ".join(words.plain(bytes(self.heard)).split())
        return f"; its last words: {said[-_WORDS:]}" if said else "; it said nothing"

    def _type(self, text: str) -> None:
        self._from = len(self.heard)
        self._writer.write(f"{text}\n".encode())

    async def _until(self) -> Standing:
        """Wait until what is sought comes, or something else that the guest waits with.

        A pause must come after it: messages may follow.
        """
        while True:
            text = self._text()
            found = self._heeded(words.standing(text))
            if self._sought is Standing.NAME and words.automatic(text):
                found = Standing.SHELL
            likely = self._heeded(words.after_silence(text, self._sought))
            pause = _PAUSE if found is not None else _UNUSUAL if likely is not None else None
            if not await self._more(pause):
                assert found is not None or likely is not None
                return found or likely or Standing.SHELL

    def _heeded(self, found: Standing | None) -> Standing | None:
        """Drop what is none before there was a question for a name: a boot loader's prompt."""
        return None if self._sought is Standing.NAME and found is not Standing.NAME else found

    async def _more(self, seconds: float | None) -> bool:
        """Read on; tell whether anything came within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(_BLOCK)
        except TimeoutError:
            return False
        if not data:
            raise LostVMError(
                f"{self._name} ended while its login was waited for{self._last()}",
                hint="see QEMU's own words",
            )
        self.heard += data
        return True
