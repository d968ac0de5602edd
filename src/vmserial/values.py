"""How QEMU reads a value: booleans, integers, sizes; one place for all of its options.

Run with 7.2: ``-device``, ``-chardev`` and ``-machine`` take the same words, in small letters
alone (``On``, ``1`` and an empty value are refused).  The short form (``server``, ``nowait``)
is one of the key=value grammar and not of ``-machine``; :mod:`vmserial.sources.command.params`
reads it.
"""

from __future__ import annotations

import re

ON = frozenset({"on", "yes", "true", "y"})
"""What QEMU reads as yes (qapi_bool_parse in qapi/qapi-util.c)."""

OFF = frozenset({"off", "no", "false", "n"})
"""What QEMU reads as no."""

_INTEGER = re.compile(r"\s*\+?(?:(0[xX])([0-9A-Fa-f]{1,16})|(0)([0-7]{1,22})|([0-9]{1,19}))\Z")
_SIZE = re.compile(r"([0-9]{1,12})([bBkKmMgG]?)\Z")


def is_on(text: str | None, default: bool = False) -> bool:
    """Read a boolean; ``default`` where there is none, or none that QEMU takes."""
    return text in ON if text in ON or text in OFF else default


def integer(text: str, default: int | None = None) -> int | None:
    """Read an integer: decimal, ``0x…`` or octal; ``default`` if it is none.

    As strtoull(3) with base 0: blanks and a plus may stand before it.
    """
    match = _INTEGER.match(text)
    if match is None:
        return default
    _, sixteen, _, eight, ten = match.groups()
    if sixteen:
        return int(sixteen, 16)
    return int(eight, 8) if eight else int(ten)


def size(text: str) -> int | None:
    """Read a size in bytes such as ``64K``; None if it is none."""
    match = _SIZE.match(text)
    if match is None:
        return None
    shift = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30}[match.group(2).lower()]
    return int(match.group(1)) << shift
