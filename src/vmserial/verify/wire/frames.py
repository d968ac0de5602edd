"""What arrived against what was sent: equal, or by name what is wrong with it.

Equal is a pass, and nothing else is.  What differs is lined up
(:mod:`vmserial.verify.wire.alignment`) and named: bytes lost, duplicated, reordered,
corrupted, cut off, extra, of another port, of another run, or the port's own
echo.  The streams' form is in :mod:`vmserial.verify.wire.form`.  Pure: no I/O, no
clock; the time is linear in what arrived, whatever that is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vmserial.verify import tty_transforms
from vmserial.verify.results import Fault, FaultKind
from vmserial.verify.wire.alignment import (
    KEY,
    Run,
    chain,
    common_prefix,
    find_runs,
    gaps,
    is_within,
    merged,
    without,
    without_chance,
)
from vmserial.verify.wire.form import (
    FRAME_PREFIX,
    FULL,
    HEADER,
    LADDERS,
    SHORT,
    SMOKE,
    Header,
    Stream,
    build,
    headers,
)
from vmserial.verify.wire.strangers import Strangers
from vmserial.verify.wire.strays import described
from vmserial.verify.wire.tallies import Tallies, in_bytes

__all__ = [
    "FULL",
    "LADDERS",
    "SHORT",
    "SMOKE",
    "Analysis",
    "Header",
    "Stream",
    "analyse",
    "build",
    "headers",
]

_RECOGNISED = 50
"""What arrived is garbage if less than one byte in so many is recognised."""

_WRONG_BY_CHANCE = 0.95
"""Where more than this part of the bytes differs, those that agree do so by chance."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What came of one stream.

    Attributes:
        ok: every byte arrived, in order, and no other.
        faults: what went wrong, the cause before its consequences; empty if ok.
        detail: the faults in one line for people.
        received: bytes that arrived.
        good: bytes of the stream that arrived in their order.
    """

    ok: bool
    faults: tuple[Fault, ...]
    detail: str
    received: int
    good: int

    @property
    def kinds(self) -> frozenset[FaultKind]:
        """The names of what went wrong."""
        return frozenset(fault.kind for fault in self.faults)


def analyse(expected: Stream, received: bytes, others: Sequence[Stream] = ()) -> Analysis:
    """Say whether ``received`` is ``expected``, and if not, by name what is wrong.

    Args:
        expected: what was sent; with no sizes for a port that must stay silent.
        received: what arrived; any bytes at all.
        others: the streams of the other ports and of the port's other direction.
            Whole frames are named even without them; with them, parts are too.
    """
    sent = expected.data
    if received == sent:
        return Analysis(True, (), f"{len(sent)} bytes", len(received), len(sent))
    return _Comparison(expected, received, others).result()


class _Comparison:
    """One comparison of what arrived with what was sent, when they differ."""

    def __init__(self, expected: Stream, got: bytes, others: Sequence[Stream]) -> None:
        self.expected = expected
        self.sent = expected.data
        self.got = got
        self.tallies = Tallies(expected.name, len(got))
        self.note = self.tallies.note
        self.strangers = Strangers(expected, got, others, self.stranger)
        self.known = 0

    def stranger(self, kind: FaultKind, other: str, at: int, length: int) -> None:
        self.known += length
        self.note(kind, other, at, length, "")

    def result(self) -> Analysis:
        strangers = [
            (at, header)
            for at, header in headers(self.got)
            if self.strangers.owner(header) is not None
        ]
        holes = [(at, at + HEADER) for at, _ in strangers]
        runs = without(find_runs(self.sent, self.got, self.telling), merged(holes))
        line = chain(runs)
        good = sum(run.length for run in line)
        missing = gaps([(r.source, r.source_end) for r in line], 0, len(self.sent))
        chosen = set(line)
        runs = without_chance(runs, chosen)
        missing = self.misplaced([run for run in runs if run not in chosen], missing)
        unknown = gaps([(r.at, r.end) for r in runs], 0, len(self.got))
        unknown = self.strangers.claim_frames(unknown, dict(strangers))
        unknown = self.strangers.claim_parts(unknown)
        self.pair_up(line, missing, unknown)
        return self.verdict(good)

    def telling(self, offset: int) -> bool:
        """Tell whether a key at ``offset`` of the stream stands in no other frame."""
        start = self.expected.starts[self.expected.frame_at(offset)]
        return offset - start + KEY > FRAME_PREFIX

    # ---------------------------------------------------- our bytes at a wrong place

    def misplaced(self, runs: list[Run], missing: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Name runs outside the chain; return what is still missing without them."""
        filled: list[tuple[int, int]] = []
        for run in runs:
            number = max(0, bisect_left(missing, (run.source,)) - 1)
            moved = 0
            while number < len(missing) and missing[number][0] < run.source_end:
                start = max(run.source, missing[number][0])
                end = min(run.source_end, missing[number][1])
                if start < end:
                    moved += end - start
                    filled.append((start, end))
                number += 1
            self.wrong_place(run.source, run.length, run.at, moved > 0)
        if not filled:
            return missing
        filled = merged(sorted(filled))
        left: list[tuple[int, int]] = []
        first = 0
        for start, end in missing:
            while first < len(filled) and filled[first][1] <= start:
                first += 1
            last = first
            while last < len(filled) and filled[last][0] < end:
                last += 1
            left += gaps(filled[first:last], start, end)
        return left

    def wrong_place(self, offset: int, length: int, at: int, moved: bool) -> None:
        """Name one run of ours that is at a wrong place or there once too often."""
        offset = self.from_its_frame(offset, length)
        if moved:
            text = f"{self.span(offset, length)} came out of order, at {at}"
            self.note(FaultKind.REORDER, "", offset, length, text)
        else:
            text = f"{self.span(offset, length)} came again"
            self.note(FaultKind.DUPLICATE, "", offset, length, text)

    # ---------------------------------------------------- what is left on both sides

    def pair_up(
        self, line: list[Run], missing: list[tuple[int, int]], unknown: list[tuple[int, int]]
    ) -> None:
        """Name what is missing and what is unknown, gap by gap of the chain."""
        edges = [Run(0, 0, 0), *line, Run(len(self.sent), len(self.got), 0)]
        lost: list[tuple[int, int]] = []
        loose: list[Run] = []
        first = second = 0
        for before, after in pairwise(edges):
            gone: list[tuple[int, int]] = []
            while first < len(missing) and missing[first][0] < after.source:
                gone.append(missing[first])
                first += 1
            strange: list[tuple[int, int]] = []
            while second < len(unknown) and unknown[second][0] < after.at:
                strange.append(unknown[second])
                second += 1
            whole = (
                gone == [(before.source_end, after.source)]
                and strange == [(before.end, after.at)]
            )  # fmt: skip
            if whole and gone[0][0] < gone[0][1] and strange[0][0] < strange[0][1]:
                self.substitution(gone[0], strange[0], lost, loose)
            else:
                lost += gone
                loose += [Run(before.source_end, start, end - start) for start, end in strange]
        self.name_loose(loose, lost)
        self.name_lost(lost)

    def substitution(
        self,
        gone: tuple[int, int],
        strange: tuple[int, int],
        lost: list[tuple[int, int]],
        loose: list[Run],
    ) -> None:
        """Name bytes that stand in the place of others."""
        want, have = self.sent[slice(*gone)], self.got[slice(*strange)]
        tail = common_prefix(want[::-1], 0, have[::-1], 0)
        want, have = want[: len(want) - tail], have[: len(have) - tail]
        self.known += tail
        offset, at = gone[0], strange[0]
        if not want or not have:
            if want:
                lost.append((offset, offset + len(want)))
            if have:
                loose.append(Run(offset, at, len(have)))
        elif len(want) == len(have) > 1 and sorted(want) == sorted(have):
            self.known += len(have)
            text = f"{self.span(offset, len(want))} came in another order"
            self.note(FaultKind.REORDER, "", offset, len(want), text)
        elif len(have) < len(want) and is_within(have, want):
            self.known += len(have)
            self.loss(offset, len(want) - len(have), f"of {len(want)} ")
        elif len(have) > len(want) and is_within(want, have):
            self.known += len(want)
            self.extra(at, len(have) - len(want), offset)
        else:
            size = min(len(want), len(have))
            wrong = sum(a != b for a, b in zip(want, have, strict=False))
            if wrong < size * _WRONG_BY_CHANCE:
                self.known += size - wrong
            text = (
                f"{in_bytes(wrong)} wrong from offset {offset} on ({self.expected.place(offset)})"
            )
            self.note(FaultKind.CORRUPT, "", offset, wrong, text)
            if len(want) > size:
                lost.append((offset + size, offset + len(want)))
            if len(have) > size:
                loose.append(Run(offset + size, at + size, len(have) - size))

    def name_loose(self, loose: list[Run], lost: list[tuple[int, int]]) -> None:
        """Name bytes that stand where nothing was missing; what they were is lost no more."""
        homes = {self.sent[start:end]: (start, end) for start, end in lost}
        found: set[tuple[int, int]] = set()
        for run in loose:
            piece = self.got[run.at : run.end]
            home = homes.pop(piece, None)
            if home is not None:
                found.add(home)
                self.known += run.length
                self.wrong_place(home[0], run.length, run.at, True)
            elif (
                run.source >= run.length
                and piece == (self.sent[run.source - run.length : run.source])
            ):
                # Too short for a run of its own, right behind its original.
                self.known += run.length
                self.wrong_place(run.source - run.length, run.length, run.at, False)
            else:
                self.extra(run.at, run.length, run.source)
        lost[:] = [interval for interval in lost if interval not in found]

    def name_lost(self, lost: list[tuple[int, int]]) -> None:
        """Name what never came."""
        total = len(self.sent)
        for start, end in lost:
            if end == total and start > 0:
                text = (
                    f"the last {in_bytes(end - start)} of {total} never came, "
                    f"from offset {start} on ({self.expected.place(start)})"
                )
                self.note(FaultKind.TRUNCATED, "", start, end - start, text)
            elif start == 0 and end == total:
                text = f"none of the {in_bytes(total)} came"
                self.note(FaultKind.LOSS, "", start, total, text)
            else:
                self.loss(start, end - start)

    def loss(self, offset: int, length: int, among: str = "") -> None:
        offset = self.from_its_frame(offset, length)
        text = f"{in_bytes(length)} {among}lost at offset {offset} ({self.expected.place(offset)})"
        frames = self.whole_frames(offset, length)
        self.note(FaultKind.LOSS, "", offset, length, text + frames)

    def extra(self, at: int, length: int, offset: int) -> None:
        where = "after the end" if offset == len(self.sent) else f"at {at}"
        stray = described(self.got[at : at + length])
        text = f"{in_bytes(length)} that nobody sent came {where}: {stray}"
        self.note(FaultKind.EXTRA, "", offset, length, text)

    # ---------------------------------------------------- words

    def from_its_frame(self, offset: int, length: int) -> int:
        """Return the start of the frame instead, where that is the same change.

        Headers begin alike, so a frame that is missing looks like the end of its
        header, its payload and the beginning of the next header.
        """
        if not self.sent:
            return offset
        start = self.expected.starts[self.expected.frame_at(offset)]
        back = offset - start
        moved = self.sent[offset + length - back : offset + length]
        return start if 0 < back < length and self.sent[start:offset] == moved else offset

    def whole_frames(self, offset: int, length: int) -> str:
        """Return which frames lie wholly within a range, for people."""
        starts = (*self.expected.starts, len(self.sent))
        first = bisect_left(starts, offset)
        last = bisect_left(starts, offset + length + 1) - 2
        if last < first:
            return ""
        return f", frame {first} whole" if first == last else f", frames {first} to {last} whole"

    def span(self, offset: int, length: int) -> str:
        return f"{in_bytes(length)} of offset {offset} ({self.expected.place(offset)})"

    def verdict(self, good: int) -> Analysis:
        faults = self.tallies.faults()
        if self.sent and (good + self.known) * _RECOGNISED < len(self.got):
            text = (
                f"{in_bytes(len(self.got))} came and they are of no known stream: "
                f"{described(self.got)}"
            )
            faults = [Fault(FaultKind.GARBAGE, text, 0, len(self.got))]
        cause = tty_transforms.explain(self.sent, self.got)
        detail = "; ".join([*([cause] if cause else []), *(fault.detail for fault in faults)])
        return Analysis(False, tuple(faults), detail, len(self.got), good)
