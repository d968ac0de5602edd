"""Where each key of a TOML text stands; :mod:`tomllib` itself does not tell.

A scan by lines that knows headers, keys and strings over several lines.  Keys of
inline tables and arrays are found at the line that their own key begins on.
"""

from __future__ import annotations

import re
from collections import Counter

Path = tuple[str | int, ...]

_BARE = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_BARE}(?:[ \t]*\.[ \t]*{_BARE})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_KEY = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_PART = re.compile(_BARE)


class Lines:
    """The line of each key, by its path: ``("port", 2, "backend")``."""

    def __init__(self, text: str) -> None:
        self._found: dict[Path, int] = {}
        counts: Counter[Path] = Counter()
        table: Path = ()
        quote = ""
        for number, line in enumerate(text.split("\n"), 1):
            if quote:
                if line.count(quote) % 2:
                    quote = ""
                continue
            header = _HEADER.match(line)
            if header is not None:
                table = self._names(header.group(2))
                if header.group(1) == "[[":
                    self._found.setdefault(table, number)
                    counts[table] += 1
                    table = (*table, counts[table] - 1)
                self._found.setdefault(table, number)
                continue
            key = _KEY.match(line)
            if key is not None:
                path = table
                for name in self._names(key.group(1)):
                    path = (*path, name)
                    self._found.setdefault(path, number)
            # A string over several lines hides whatever looks like a key in it.
            for mark in ('"""', "'''"):
                if line.count(mark) % 2:
                    quote = mark

    @staticmethod
    def _names(dotted: str) -> tuple[str, ...]:
        return tuple(part.strip("\"'") for part in _PART.findall(dotted))

    def of(self, path: Path) -> int:
        """Return the line of a key, else that of the table that holds it; 0 if unknown."""
        while path:
            if path in self._found:
                return self._found[path]
            path = path[:-1]
        return 0
