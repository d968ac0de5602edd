"""The values of a PVE configuration: property strings, numbers, booleans, ``args`` words.

A value that PVE itself would not accept raises :class:`Rejected`; the reader
turns that into a note, because PVE warns, drops the line and goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vmserial.errors import ConfigError

ON = frozenset({"1", "on", "yes", "true"})
OFF = frozenset({"0", "off", "no", "false"})

# Control characters, and what a byte that is not UTF-8 becomes: no argument of a
# program should carry them, and NUL cannot be carried at all.  A tab only
# separates words in args.
ARCH_NOT_SAID = "the architecture is not said"
"""How the note about an assumed architecture begins."""

UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


class Rejected(ConfigError):
    """PVE would not accept this value; it drops the line and goes on."""


def boolean(text: str, name: str) -> bool:
    """Read PVE's boolean: ``1 on yes true`` or ``0 off no false``, in any case.

    Raises:
        Rejected: it is neither.
    """
    lowered = text.lower()
    if lowered in ON:
        return True
    if lowered in OFF:
        return False
    raise Rejected(f"{name} is neither on nor off: {text!r}", hint="write 1 or 0")


def number(text: str, name: str, low: int, high: int) -> int:
    """Read a whole number from ``low`` to ``high``.

    Raises:
        Rejected: it is none.
    """
    if not re.fullmatch("[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise Rejected(
            f"{name} is not a whole number from {low} to {high}: {text!r}",
            hint=f"write a number from {low} to {high}",
        )
    return int(text)


def one_of(text: str, name: str, choices: Iterable[str]) -> str:
    """Return ``text`` if it is one of ``choices``.

    Raises:
        Rejected: it is none of them.
    """
    known = tuple(choices)
    if text not in known:
        raise Rejected(f"{name} is none of {', '.join(known)}: {text!r}", hint="check its spelling")
    return text


class Properties:
    """A property string, ``value,key=value,…``: what is in it, and what was not asked for.

    Args:
        text: the value.
        default_key: the key of a part without ``=``.
        key_is_value: keys that stand for another one, as a network model does in
            ``virtio=MAC``: the key becomes the value of ``default_key`` and the value
            that of the key named here.

    Raises:
        Rejected: a key twice, or a part without a key where none is left to default.
    """

    def __init__(
        self, text: str, default_key: str, key_is_value: tuple[Iterable[str], str] = ((), "")
    ) -> None:
        self.values: dict[str, str] = {}
        models, other = key_is_value
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if not part.strip():
                continue
            if not equals:
                key, value = default_key, part
            elif not key or not value:
                raise Rejected(f"{part!r} is not key=value", hint="check the commas")
            elif key in models:
                self._put(default_key, key)
                key = other
            self._put(key, value)

    def _put(self, key: str, value: str) -> None:
        if key in self.values:
            raise Rejected(f"{key} is given twice in one line", hint="keep one of them")
        self.values[key] = value

    def text(self, key: str, default: str = "") -> str:
        """Take a value."""
        return self.values.pop(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """Take a boolean."""
        return boolean(self.values.pop(key), key) if key in self.values else default

    def number(self, key: str, low: int, high: int, default: int = 0) -> int:
        """Take a number."""
        return number(self.values.pop(key), key, low, high) if key in self.values else default

    def one_of(self, key: str, choices: Iterable[str], default: str = "") -> str:
        """Take one of several words."""
        return one_of(self.values.pop(key), key, choices) if key in self.values else default


def split_args(text: str) -> tuple[str, ...]:
    r"""Split ``args`` into words as PVE does, which is Perl's Text::ParseWords.

    Blanks separate words.  In double quotes and outside of quotes a backslash
    takes the next character as it is; in single quotes it keeps itself and only
    hides a quote from ending the string.  Quotes may stand in the middle of a word.

    Raises:
        ConfigError: a quote is open at the end, or a backslash ends the text.  (There
            Perl gives back no words at all, so PVE would start without any of them.)
    """
    return tuple(word.text for word in spans(text))


@dataclass(frozen=True)
class Word:
    """One word of ``args``: what it says, and where it stands in the line."""

    text: str
    start: int
    end: int


def spans(text: str) -> list[Word]:
    """Split ``args`` as :func:`split_args` and say where each word stands.

    Raises:
        ConfigError: as there.
    """
    words: list[Word] = []
    word: list[str] | None = None
    start = position = 0
    while position < len(text):
        match = _WORD_PART.match(text, position)
        if match is None:
            raise ConfigError(
                "a quote in args is not closed, or a backslash ends them",
                hint="close it; PVE would start the VM without any of these arguments",
            )
        before, position = position, match.end()
        kind, part = match.lastgroup, match.group()
        if kind == "blank":
            if word is not None:
                words.append(Word("".join(word), start, before))
            word = None
            continue
        if kind == "double":
            part = _BACKSLASH.sub(r"\1", part[1:-1])
        elif kind == "single":
            part = part[1:-1]
        else:
            part = _BACKSLASH.sub(r"\1", part)
        if word is None:
            word, start = [], before
        word.append(part)
    if word is not None:
        words.append(Word("".join(word), start, position))
    return words


def quoted(word: str) -> str:
    """Return ``word`` as ``args`` must hold it so that PVE splits it off whole."""
    if word and not re.search(r"""[\s\\"']""", word):
        return word
    return '"' + re.sub(r"""([\\"])""", r"\\\1", word) + '"'


_BACKSLASH = re.compile(r"\\(.)", re.DOTALL)
_WORD_PART = re.compile(
    r"""(?P<blank>\s+)
      | "(?P<double>(?:[^\\"]++|\\.)*+)"
      | '(?P<single>(?:[^\\']++|\\.)*+)'
      | (?P<bare>(?:[^\s\\"']++|\\.)++)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
