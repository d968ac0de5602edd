"""QEMU's option grammar, written and read: the only place where options are quoted.

An option of QEMU is ``-flag`` and mostly one value of the form
``head,key=value,key=value`` (QemuOpts, util/keyval.c and util/qemu-option.c).
A comma inside a value is doubled; nothing else is special.  A key ends at the
first ``=``, so a key must not hold ``=`` or ``,``.  All options of a plan are
built from :class:`Option`, so no value of a configuration can become another
option or another key.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Iterable, Sequence

from vmserial.errors import UsageError
from vmserial.records import record

Scalar = str | int | bool
"""A property's value; a bool is ``on``/``off`` on the command line and a bool in QMP."""

_KEY = re.compile(r"[A-Za-z0-9_.\-\[\]]+\Z")
# qapi id_wellformed(): a letter, then letters, digits, "-", "." and "_".
_ID = re.compile(r"[A-Za-z][A-Za-z0-9\-._]*\Z")


@functools.lru_cache(maxsize=256)
def _is_key(key: str) -> bool:
    return _KEY.match(key) is not None


def scalar_text(value: Scalar) -> str:
    """Return ``value`` as the command line writes it, before comma doubling."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def check_id(value: str) -> str:
    """Return ``value`` if QEMU takes it as an id.

    Raises:
        UsageError: it is not a letter followed by letters, digits, ``-._``
            (QEMU's ``id_wellformed()``).
    """
    if not _ID.match(value):
        raise UsageError(
            f"{value!r} is not an id that QEMU accepts",
            hint="an id starts with a letter and goes on with letters, digits, '-', '.' or '_'",
        )
    return value


@record(frozen=True, slots=True)
class Option:
    """One option of a command line.

    Attributes:
        flag: with its dash, such as ``-device``.
        head: the value's part without a key (a driver, a backend); may be empty.
        params: keys and values in order.
        raw: the value exactly as given; then ``head`` and ``params`` are empty.
            Only for flags whose value is not in the key=value grammar
            (``-kernel``, ``-append``, ``-serial``) and for a user's own ``args``.
        role: why it is here: ``machine``, ``firmware``, ``boot``, ``display``,
            ``input``, ``agent``, ``disk``, ``net``, ``controller``, ``chardev``,
            ``serial``, ``control``, ``monitor``, ``args`` or ``other``.
    """

    flag: str
    head: str = ""
    params: tuple[tuple[str, Scalar], ...] = ()
    raw: str | None = None
    role: str = "other"

    def value(self) -> str | None:
        """Return the value as one argument, or None for a flag that stands alone.

        Raises:
            UsageError: a NUL byte, or a key that the grammar cannot carry.
        """
        if self.raw is not None:
            text = self.raw
        elif self.alone:
            return None
        else:
            parts = [self.head.replace(",", ",,")] if self.head else []
            for key, value in self.params:
                if not _is_key(key):
                    raise UsageError(
                        f"{key!r} cannot be the name of a property", hint="check its spelling"
                    )
                written = value if isinstance(value, str) else scalar_text(value)
                parts.append(f"{key}={written.replace(',', ',,')}")
            text = ",".join(parts)
        if "\0" in text:
            raise UsageError(
                f"the value of {self.flag} holds a NUL byte",
                hint="no argument of a program can hold one; remove it",
            )
        return text

    @property
    def alone(self) -> bool:
        """It is a flag without a value."""
        return self.raw is None and not self.head and not self.params

    def said(self, implied: str) -> dict[str, str] | None:
        """Return its value by key, as QEMU reads it; None where only its text tells.

        Args:
            implied: the key of its head.

        Raises:
            UsageError: as :meth:`value`.
        """
        head = self.head
        if self.raw is not None or (head and (not implied or "=" in head or "{" in head)):
            return None
        found = {implied: head} if head else {}
        for key, value in self.params:
            text = value if isinstance(value, str) else scalar_text(value)
            if not _is_key(key) or "\0" in text:
                self.value()
            found[key] = text
        if "\0" in head:
            self.value()
        return found

    def argv(self) -> tuple[str, ...]:
        """Return the one or two words of this option."""
        value = self.value()
        return (self.flag,) if value is None else (self.flag, value)


@functools.cache
def _json() -> Callable[[object], str]:
    # Imported here: who reads a command line writes no JSON.
    import json

    return json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class JsonOption(Option):
    """An option whose value is a JSON object, as libvirt writes it; text when it is wanted.

    Args:
        flag: with its dash.
        members: of the object, in order.
    """

    head = ""
    params = ()
    role = "other"
    alone = False
    members: dict[str, Scalar]

    def __init__(self, flag: str, members: dict[str, Scalar]) -> None:
        object.__setattr__(self, "flag", flag)
        self.__dict__["members"] = members

    @property
    def raw(self) -> str:
        """The object."""
        return _json()(self.members)

    def said(self, implied: str) -> dict[str, str]:
        """Return the members as QEMU reads them."""
        del implied
        return {
            key: value if isinstance(value, str) else scalar_text(value)
            for key, value in self.members.items()
        }


def render(options: Iterable[Option]) -> list[str]:
    """Return the argument list of ``options``, without the binary's name."""
    return [word for option in options for word in option.argv()]


def split_params(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Read one value in QEMU's key=value grammar: ``(head, pairs)``.

    Only the first part may stand without ``=`` and is then the head; a later
    part without ``=`` is QEMU's old short form of a bool (``server`` is
    ``server=on``, ``nowait`` is ``wait=off``) and is returned so.
    """
    parts: list[str] = []
    rest = text
    while True:
        # A lone comma ends a part; a doubled one is a comma of the value.
        match = re.match(r"(?:[^,]|,,)*", rest, re.DOTALL)
        assert match is not None
        parts.append(match.group().replace(",,", ","))
        rest = rest[match.end() :]
        if not rest:
            break
        rest = rest[1:]
    head = ""
    pairs: list[tuple[str, str]] = []
    for index, part in enumerate(parts):
        key, equals, value = part.partition("=")
        if equals:
            pairs.append((key, value))
        elif index == 0:
            head = part
        elif part.startswith("no") and len(part) > 2:
            pairs.append((part[2:], "off"))
        elif part:
            pairs.append((part, "on"))
    return head, tuple(pairs)


def parts_of(option: Option) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return an option's head and keys as :func:`split_params` reads its value."""
    if option.raw is not None:
        return split_params(option.raw)
    return option.head, tuple([(key, scalar_text(value)) for key, value in option.params])


def pretty(words: Sequence[str]) -> str:
    r"""Return ``words`` as shell text, one option a line, safe to paste.

    The form follows ``qm showcmd --pretty``: the binary on the first line, each
    option on its own, joined by `` \`` and a newline.  Unlike there, a dash
    inside a quoted value never breaks the line.
    """
    lines: list[str] = []
    for index, word in enumerate(words):
        # shlex leaves "a=b" bare as the shell does; nothing more is needed.
        quoted = shlex.quote(word)
        starts = index > 0 and word.startswith("-") and not _is_value(words, index)
        if index == 0 or starts:
            lines.append(quoted)
        else:
            lines[-1] += f" {quoted}"
    return " \\\n  ".join(lines)


def _is_value(words: Sequence[str], index: int) -> bool:
    """Tell whether ``words[index]`` is the value of the flag before it."""
    before = words[index - 1]
    return index > 1 and before in VALUE_MAY_START_WITH_DASH


VALUE_MAY_START_WITH_DASH = frozenset({"-append", "-name", "-kernel", "-initrd", "-bios"})
"""Flags whose value may itself begin with a dash and must stay on the flag's line."""
