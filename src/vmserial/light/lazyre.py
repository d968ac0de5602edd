"""A stand-in for :mod:`re` whose patterns are compiled when they are first looked for.

Modules compile their patterns when they are imported, some hundreds; a call uses a few dozen
of them, and compiling is a third of what such a call takes.
"""

from __future__ import annotations

import re as _re
from typing import Any


class _Pattern:
    """A pattern that becomes the real one when something of it is asked for."""

    def __init__(self, pattern: Any, flags: Any = 0) -> None:
        self._text, self._flags = pattern, flags

    def __getattr__(self, name: str) -> Any:
        if name == "pattern":  # other patterns are made of it
            return self._text
        made = _re.compile(self._text, self._flags)
        self.__dict__ |= {
            each: getattr(made, each)
            for each in ("match", "search", "fullmatch", "sub", "finditer", "findall", "split")
        }
        return getattr(made, name)


def compile(pattern: Any, flags: Any = 0) -> Any:
    """Return a pattern that is compiled later."""
    return _Pattern(pattern, flags)


def __getattr__(name: str) -> Any:
    return getattr(_re, name)
