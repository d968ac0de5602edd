"""How what arrived lines up with what was sent: long common runs, in linear time.

The sent stream is looked up by short keys at every eighth byte; the received
one is walked once, and wherever a key of it is known, the common run around it
is taken.  Any run of at least ``2 * KEY - 1`` bytes that arrived whole is found
this way, wherever it arrived.  The heaviest chain of runs that is in order on
both sides is what arrived properly; the other runs are at a wrong place or
there once too often.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

KEY = 8
"""Bytes of a key: random data of 1 MiB repeats one by chance once in 10^7 streams."""


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes that both sides have: ``sent[source:source+length] == got[at:at+length]``."""

    source: int
    at: int
    length: int

    @property
    def source_end(self) -> int:
        """The first byte of the sent stream after it."""
        return self.source + self.length

    @property
    def end(self) -> int:
        """The first byte of the received stream after it."""
        return self.at + self.length


def common_prefix(one: bytes, i: int, other: bytes, j: int) -> int:
    """Return how many bytes of ``one[i:]`` and ``other[j:]`` agree from their start."""
    left = min(len(one) - i, len(other) - j)
    done, step = 0, 32
    while done < left:
        size = min(step, left - done)
        if one[i + done : i + done + size] != other[j + done : j + done + size]:
            # The first difference is within ``size`` bytes: halve.
            while size > 1:
                half = size // 2
                if one[i + done : i + done + half] == other[j + done : j + done + half]:
                    done += half
                    size -= half
                else:
                    size = half
            return done
        done += size
        step = min(step * 2, 1 << 16)
    return left


def _index(sent: bytes, usable: Callable[[int], bool]) -> dict[bytes, int]:
    """Return where each key of ``sent`` stands; -1 for one that stands at several places."""
    index: dict[bytes, int] = {}
    for position in range(0, len(sent) - KEY + 1, KEY):
        if usable(position):
            key = sent[position : position + KEY]
            index[key] = -1 if key in index else position
    return index


def find_runs(sent: bytes, got: bytes, usable: Callable[[int], bool] = lambda _: True) -> list[Run]:
    """Return the runs of ``got`` that come from ``sent``, in the order of ``got``.

    Runs do not overlap in ``got``.  One that begins with bytes that earlier
    runs already brought is cut there, so that the repeated part is a run of its
    own.

    Args:
        sent: what was sent.
        got: what arrived.
        usable: tells whether the key at an offset of ``sent`` says where it is
            from; it does not where the same bytes stand in other streams too.
    """
    index = _index(sent, usable)
    runs: list[Run] = []
    frontier = 0
    source = at = 0
    while True:
        length = common_prefix(sent, source, got, at)
        if length:
            if source < frontier < source + length:
                head = frontier - source
                runs.append(Run(source, at, head))
                runs.append(Run(frontier, at + head, length - head))
            else:
                runs.append(Run(source, at, length))
            frontier = max(frontier, source + length)
            at += length
        start = at
        source = -1
        while at + KEY <= len(got):
            source = index.get(got[at : at + KEY], -1)
            if source >= 0:
                break
            at += 1
        if source < 0:
            return runs
        while at > start and source > 0 and got[at - 1] == sent[source - 1]:
            at -= 1
            source -= 1


def without(runs: Sequence[Run], holes: Sequence[tuple[int, int]]) -> list[Run]:
    """Return ``runs`` less the intervals ``holes`` of the received side (both in order)."""
    kept: list[Run] = []
    first = 0
    for run in runs:
        at = run.at
        while first < len(holes) and holes[first][1] <= run.at:
            first += 1
        number = first
        while number < len(holes) and holes[number][0] < run.end:
            start, end = holes[number]
            if start > at:
                kept.append(Run(run.source + at - run.at, at, start - at))
            at = max(at, end)
            number += 1
        if at < run.end:
            kept.append(Run(run.source + at - run.at, at, run.end - at))
    return kept


def chain(runs: Sequence[Run]) -> list[Run]:
    """Return the heaviest selection of ``runs`` that is in order on both sides.

    A Fenwick tree over the ends on the sent side holds the best chain that ends
    there; O(n log n).
    """
    ends = sorted({run.source_end for run in runs})
    best = [(0, -1)] * (len(ends) + 1)
    before = [-1] * len(runs)
    top = (0, -1)
    for number, run in enumerate(runs):
        weight, last = 0, -1
        slot = bisect_right(ends, run.source)
        while slot > 0:
            if best[slot][0] > weight:
                weight, last = best[slot]
            slot &= slot - 1
        before[number] = last
        entry = (weight + run.length, number)
        if entry[0] > top[0]:
            top = entry
        slot = bisect_right(ends, run.source_end)
        while slot <= len(ends):
            if entry[0] > best[slot][0]:
                best[slot] = entry
            slot += slot & -slot
    chosen: list[Run] = []
    number = top[1]
    while number >= 0:
        chosen.append(runs[number])
        number = before[number]
    return chosen[::-1]


def gaps(taken: Sequence[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Return what the ordered intervals ``taken`` leave of ``[start, end)``."""
    left: list[tuple[int, int]] = []
    for first, last in taken:
        if first > start:
            left.append((start, min(first, end)))
        start = max(start, last)
        if start >= end:
            return left
    if start < end:
        left.append((start, end))
    return left


def merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ordered intervals without overlaps."""
    joined: list[tuple[int, int]] = []
    for start, end in intervals:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def is_within(short: bytes, long: bytes) -> bool:
    """Tell whether ``long`` with some bytes left out is ``short``."""
    rest = iter(long)
    return all(byte in rest for byte in short)


def without_chance(runs: list[Run], chosen: set[Run]) -> list[Run]:
    """Leave out very short repeats that touch unknown bytes: they are equal by chance."""
    kept: list[Run] = []
    for number, run in enumerate(runs):
        if run.length < KEY // 2 and run not in chosen:
            before = runs[number - 1].end if number else 0
            after = runs[number + 1].at if number + 1 < len(runs) else -1
            if before != run.at or after != run.end:
                continue
        kept.append(run)
    return kept
