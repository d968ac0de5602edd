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

_ESCAPES = re.compile(
    rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b[=>78]|\0"
)
_NAME = re.compile(r"(?m)^(?!Last )\S*[ \t]?(?:login|登录)[:\uff1a][ \t]?")
# What the kernel says may come right after a prompt, so that it is not the end.
_PASSWORD = re.compile(
    r"(?im)^[^\n]{0,40}(?:password|密码|passwort|mot de passe|contraseña|пароль)[^\n:\uff1a]{0,40}"
    r"[:\uff1a]"
)
_EXPIRED = re.compile(
    r"(?i)(?:new password[:\uff1a][ \t]*\Z|password (?:has )?expired|change your pass)"
)
_REFUSED = re.compile(r"(?im)^.*(?:incorrect|authentication failure|permission denied|错误).*$")
_PROMPT = re.compile(r"[#$%>][ \t]*\Z")

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
    """

    user: str
    password: str = field(repr=False)


def parse(text: str) -> Login:
    """Read ``USER:FILE``; the file's first line is the password, and may be empty.

    Raises:
        UsageError: it is not of that form, or the file cannot be read.
    """
    user, colon, name = text.partition(":")
    if not colon or not name or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", user):
        raise UsageError(
            f"{user!r} names no user and file" if colon else "the login names no file",
            hint="write --login root:FILE, where FILE holds the password",
            where="--login",
        )
    try:
        lines = Path(name).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"the file of {user}'s password, {name}, cannot be read: {words}",
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


def asks(heard: bytes) -> bool:
    """Tell whether what came from a port ends in a question for a user's name; pure."""
    return _NAME.search(_plain(heard[-_BLOCK:])) is not None


def _plain(data: bytes) -> str:
    """Return what came without escapes, in lines."""
    return _ESCAPES.sub(b"", data).replace(b"\r", b"\n").decode("utf-8", "replace")


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
        waited = "a login prompt"
        try:
            async with asyncio.timeout(timeout):
                await self._until(_NAME)
                asked()
                self._type(login.user)
                waited = "an answer to the user's name"
                if await self._until(_PASSWORD, _PROMPT, _NAME) is _PASSWORD:
                    self._type(login.password)
                    waited = "an answer to the password"
                    if await self._until(_EXPIRED, _REFUSED, _NAME, _PROMPT) is not _PROMPT:
                        self._refuse(login)
                elif _NAME.search(self._text()):
                    self._refuse(login)
        except TimeoutError:
            raise LostVMError(
                f"{self._name} gave no {waited.removeprefix('a ').removeprefix('an ')} within "
                f"{timeout:g} s{self._last()}",
                hint="see its console; a getty runs on it if the guest's kernel has it as "
                "console=, and a slow guest needs a longer --timeout",
            ) from None

    def _refuse(self, login: Login) -> None:
        text = self._text()
        if _EXPIRED.search(text):
            raise LostVMError(
                f"{login.user}'s password on {self._name} has expired: the guest wants a new one",
                hint="set it in the guest first",
            )
        words = _REFUSED.search(text)
        raise LostVMError(
            f"the guest refused the login of {login.user} on {self._name}"
            + (f": {words[0].strip()}" if words else self._last()),
            hint="check the user's name and the password's file; a guest may also forbid root "
            "on this tty (/etc/securetty)",
        )

    def _text(self) -> str:
        """Return what came since the last that was typed, without escapes."""
        return _plain(bytes(self.heard[self._from :]))

    def _last(self) -> str:
        words = " ".join(_ESCAPES.sub(b"", bytes(self.heard)).decode("utf-8", "replace").split())
        return f"; its last words: {words[-_WORDS:]}" if words else "; it said nothing"

    def _type(self, text: str) -> None:
        self._from = len(self.heard)
        self._writer.write(f"{text}\n".encode())

    async def _until(self, *wanted: re.Pattern[str]) -> re.Pattern[str]:
        """Wait until one of these is there and a pause came after it; the first wins."""
        while True:
            found = next((one for one in wanted if one.search(self._text())), None)
            # A line that has ended is no prompt: the echo of a name, on a host so busy that
            # the guest takes half a minute to ask for the password.
            last = self._text().rpartition("\n")[2]
            if found is None and _PROMPT in wanted and last.strip():
                if not await self._more(_UNUSUAL):
                    return _PROMPT
            elif not await self._more(_PAUSE if found is not None else None) and found is not None:
                return found

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
