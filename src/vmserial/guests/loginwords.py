"""What a guest's words mean while somebody logs in: a question, a refusal, a shell's prompt; pure.

Only what stands at the end counts at once: a message of the day may hold anything, also
``Web login:`` or ``permission denied``.  What the kernel and systemd write in between, in the
middle of a line as well, is taken out before.
"""

from __future__ import annotations

import re
from enum import Enum

_ESCAPES = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, bash's and zsh's ?2004h, systemd's 6n
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, fish's and vte's marks
    rb"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS and its like: what fish 4 asks the terminal
    rb"|\x1b[()*+][A-Z0-9]|\x1b[=>78cDEMNO]|[\0\x01\x02\x07]"
)
_MESSAGE = re.compile(
    # The kernel's with their time, and systemd's, which also follow a question at once.
    r"(?:\[ *[0-9]+\.[0-9]{1,6}\]|\[ {0,2}(?:OK|FAILED|DEPEND|WARN|INFO|SKIP) *\]"
    r"|(?m:^) {9}(?:Starting|Stopping|Mounting) )[^\n]*\n"
)
_NAME = r"(?i:(?!last )\S*[ \t]?(?:login|登录)[ \t]?[:\uff1a])"
_PASSWORD = (
    r"(?i:[^\n]{0,40}(?:password|密码|passwort|mot de passe|contraseña|пароль)"
    r"[^\n:\uff1a]{0,40}[:\uff1a])"
)
_NAME_LAST = re.compile(_NAME + r"[ \t]*\Z")
_PASSWORD_LAST = re.compile(_PASSWORD + r"[ \t]*\Z")
_NAME_ANYWHERE = re.compile("(?m)^" + _NAME)
_PASSWORD_ANYWHERE = re.compile("(?m)^" + _PASSWORD)
_AUTOMATIC = re.compile(r"login: (\S+) \(automatic login\)")
_NEW = re.compile(
    r"(?i)new[^\n]{0,20}password|(?:change|changing)[^\n]{0,20}password|password (?:has )?expired"
    r"|neues passwort|passwort[^\n]{0,20}änder|nouveau mot de passe|nueva contraseña|новый пароль"
    r"|新[^\n]{0,4}密码|更改[^\n]{0,8}密码"
)
_REFUSED = re.compile(
    r"(?im)^.*(?:incorrect|authentication failure|permission denied|not available|account[^\n]*"
    r"expired|account[^\n]*locked|logins? (?:is|are) (?:not|disabled)|system is booting up|错误).*$"
)
_PROMPT_LAST = re.compile(r"[#$%>\u276f\u279c\u03bb\xbb][ \t]*\Z")
_QUESTION_LAST = re.compile(r"[:?\uff1a\uff1f][ \t]*\Z")


class Standing(Enum):
    """What the guest waits for."""

    NAME = "a user's name"
    PASSWORD = "a password"
    SHELL = "a command"
    QUESTION = "an answer to something else"


def plain(data: bytes) -> str:
    """Return what came without escapes and messages, in lines."""
    text = re.sub(r"\r+\n", "\n", _ESCAPES.sub(b"", data).decode("utf-8", "replace"))
    # A line that is written anew; fish goes back to its start and then right, by an escape.
    lines = ("\n".join(filter(str.strip, line.split("\r"))) for line in text.split("\n"))
    return _MESSAGE.sub("", "\n".join(lines))


def standing(text: str) -> Standing | None:
    """Return what the last line is; None if it is none of these, or has ended."""
    last = text.rpartition("\n")[2]
    for pattern, what in (
        (_NAME_LAST, Standing.NAME), (_PASSWORD_LAST, Standing.PASSWORD),
        (_PROMPT_LAST, Standing.SHELL),
    ):  # fmt: skip
        if (pattern.search if what is Standing.SHELL else pattern.match)(last):
            return what
    return None


def after_silence(text: str, sought: Standing) -> Standing | None:
    """Return what is likely where nothing came for long.

    What is sought may stand above other words, which nobody took out; and a prompt may be an
    unusual one.  None where the last line has ended: that is the echo of what was typed, of a
    guest that thinks for long.

    Args:
        text: what came.
        sought: what is to come next.
    """
    if sought is Standing.NAME:
        return sought if _NAME_ANYWHERE.search(text) else None
    if (found := standing(text)) is not None:
        return found
    if sought is Standing.PASSWORD and _PASSWORD_ANYWHERE.search(text):
        return Standing.PASSWORD
    if _NAME_ANYWHERE.search(text) and turned_away(text):
        return Standing.NAME
    last = text.rpartition("\n")[2]
    if not last.strip():
        return None
    return Standing.QUESTION if _QUESTION_LAST.search(last) else Standing.SHELL


def asks(heard: bytes) -> bool:
    """Tell whether a question for a user's name is in what came from a port."""
    text = plain(heard)
    return bool(_NAME_ANYWHERE.search(text) or _AUTOMATIC.search(text))


def automatic(text: str) -> str:
    """Return who the guest logs in by itself; empty if it does not say so."""
    match = _AUTOMATIC.search(text)
    return match[1] if match else ""


def wants_new_password(text: str) -> bool:
    """Tell whether a question for a password is for a new one, or for the old one on the way."""
    return _NEW.search(text) is not None


def turned_away(text: str) -> str:
    """Return the guest's own words of a refusal; empty if there are none."""
    # PAM's reason comes first, and login's own "Authentication failure" last.
    found = dict.fromkeys(match[0].strip() for match in _REFUSED.finditer(text))
    return " ".join([*found][-2:])
