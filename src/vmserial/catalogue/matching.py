"""Find the entries of the catalogue that a text is about."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmserial.catalogue.base import Entry

_LEAST = 6
"""Fewer characters stand in too many texts to mean one."""

_NAMED = re.compile(r"\[([a-z0-9]+(?:-[a-z0-9]+)+)\]")
"""An id as ``doctor`` prints it."""

_LEFT_OUT = re.compile(r"\s*(?:…|\.\.\.)\s*")


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that a text is about.

    Attributes:
        entry: which.
        line: the first line with its words, without its end.
        number: the number of that line, from 1.
        more: how many further lines say the same.
    """

    entry: Entry
    line: str
    number: int
    more: int = 0


class Matcher:
    """Knows the words of all entries.

    Args:
        entries: of two that fit one line, the first is meant.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def matches(self, text: str) -> list[Match]:
        """Return what is known of a text, each entry once, in the order of their lines."""
        # Each pattern goes over the whole text: it begins with plain words, which is quick.
        starts = [0, *(found.end() for found in re.finditer("\n", text))]
        lines: dict[int, int] = {}
        ranks = {entry.id: rank for rank, entry in enumerate(self._entries)}
        for named in _NAMED.finditer(text):
            if named[1] in ranks:
                lines.setdefault(bisect_right(starts, named.start()), ranks[named[1]])
        for rank, entry in enumerate(self._entries):
            for each in entry.texts:
                for found in re.finditer(each.pattern, text):
                    lines.setdefault(bisect_right(starts, found.start()), rank)
        result: dict[int, Match] = {}
        for number, rank in sorted(lines.items()):
            if rank in result:
                result[rank] = replace(result[rank], more=result[rank].more + 1)
            else:
                line = text[starts[number - 1] :].partition("\n")[0].rstrip()
                result[rank] = Match(self._entries[rank], line, number)
        return list(result.values())

    def fragment(self, words: str) -> list[Entry]:
        """Return the entries in whose texts these words stand."""
        parts = [re.escape(part) for part in _LEFT_OUT.split(words.strip())]
        if sum(map(len, parts)) < _LEAST:
            return []
        # Each part at its first place is enough, and quick whatever was left out.
        pattern = re.compile(
            parts[0] + "".join(f"(?>.*?{part})" for part in parts[1:]), re.IGNORECASE
        )
        return [e for e in self._entries if any(pattern.search(t.example) for t in e.texts)]

    def nearest(self, words: str, most: int) -> list[Entry]:
        """Return the entries that are the most like these words."""
        import difflib  # only where nothing is known

        close = difflib.get_close_matches(words.strip(), [e.id for e in self._entries], most)
        if close:
            return [e for near in close for e in self._entries if e.id == near]
        asked = _words(words)
        rated = []
        for rank, entry in enumerate(self._entries):
            said = [_words(t.example) for t in entry.texts] + [_words(f"{entry.id} {entry.title}")]
            score = max(len(asked & each) / (2 + len(each)) for each in said)
            if score > 0:
                rated.append((-score, rank))
        return [self._entries[rank] for _, rank in sorted(rated)[:most]]


_COMMON = frozenset("the and for not with that this are was has device error qemu port".split())


def _words(text: str) -> frozenset[str]:
    found = re.findall(r"[a-z][a-z0-9-]{2,}", text[:2000].lower())
    return frozenset(word for word in found if word not in _COMMON)
