"""What went wrong with one stream, collected by kind and put into one sentence each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from vmserial.verify.results import Fault, FaultKind

_PLACES = 3
"""Places that a sentence names before it only counts."""

_MINOR = 20
"""Misplaced bytes that are fewer than one in so many of all wrong ones are not the cause."""

_ORDER = list(FaultKind)

_STRANGERS = {
    FaultKind.CROSSWIRE: "{size} of {other} arrived on {mine}",
    FaultKind.FOREIGN_RUN: "{size} of {other} arrived on {mine}: something was not drained",
    FaultKind.LATE: "{size} of an earlier check arrived on {mine} only now: late, and not lost",
    FaultKind.WRONG_DIRECTION: "{size} that went the other way came back on {mine}: an echo is on",
}


@dataclass(slots=True)
class _Tally:
    """All places of one fault."""

    places: list[tuple[int, int, str]] = field(default_factory=list)
    length: int = 0

    def add(self, offset: int, length: int, text: str) -> None:
        if len(self.places) < _PLACES:
            self.places.append((offset, length, text))
        self.length += length


class Tallies:
    """All faults of one stream.

    Args:
        name: the stream's port, for sentences.
        received: bytes that arrived.
    """

    def __init__(self, name: str, received: int) -> None:
        self.name = name
        self.received = received
        self.tallies: dict[tuple[FaultKind, str], _Tally] = {}
        self.counts: Counter[tuple[FaultKind, str]] = Counter()

    def note(self, kind: FaultKind, other: str, offset: int, length: int, text: str) -> None:
        """Add one place; ``other`` is the stream that the bytes are of, if they are not ours."""
        self.tallies.setdefault((kind, other), _Tally()).add(offset, length, text)
        self.counts[kind, other] += 1

    def rank(self, key: tuple[FaultKind, str]) -> tuple[bool, int, str]:
        """Return the place of a fault: the order of blame, but by-products last."""
        total = sum(tally.length for tally in self.tallies.values())
        minor = key[0] in (FaultKind.REORDER, FaultKind.DUPLICATE) and (
            self.tallies[key].length * _MINOR < total
        )
        return minor, _ORDER.index(key[0]), key[1]

    def faults(self) -> list[Fault]:
        """Return one fault a kind (and other port), the cause before its consequences."""
        made: list[Fault] = []
        for key in sorted(self.tallies, key=self.rank):
            kind, other = key
            tally, count = self.tallies[key], self.counts[key]
            offset, _, _ = tally.places[0]
            if kind in _STRANGERS:
                sentence = _STRANGERS[kind].format(
                    size=in_bytes(tally.length), other=other, mine=self.name
                )
                whole = "nothing but " if tally.length == self.received else ""
                text = f"{whole}{sentence}"
            else:
                text = ", ".join(place[2] for place in tally.places)
                if count > len(tally.places):
                    text += f" and at {count - len(tally.places)} more places"
                    text += f" ({in_bytes(tally.length)} in all)"
            name = other if kind is FaultKind.CROSSWIRE else ""
            made.append(Fault(kind, text, offset, tally.length, count, name))
        return made


def in_bytes(count: int) -> str:
    """Return a count of bytes in words."""
    return "1 byte" if count == 1 else f"{count} bytes"
