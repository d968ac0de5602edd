"""Bytes of somebody else: another port's, another run's, or the port's own echo."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vmserial.verify.results import FaultKind
from vmserial.verify.wire.alignment import common_prefix
from vmserial.verify.wire.form import OVERHEAD, STREAM_PREFIX, Header, Stream

_PROBES = 64
"""Look-ups of unknown bytes in the other streams, in all; each scans all of them once."""

_PROBE = 8
"""Bytes of such a look-up."""

Claim = Callable[[FaultKind, str, int, int], None]
"""Takes a stranger's kind and name, and the place and length of what is its."""


_TELLING = 6
"""Different bytes that a probe has at least: a header's zeros are nobody's, and random data
almost always has more."""


class Strangers:
    """Gives what arrived and is not ours to its owners.

    Args:
        expected: the stream that should have arrived.
        got: what arrived.
        others: the other streams that may have.
        claim: is told of each piece that has an owner.
    """

    def __init__(
        self, expected: Stream, got: bytes, others: Sequence[Stream], claim: Claim
    ) -> None:
        self.expected, self.sent, self.got = expected, expected.data, got
        own = (expected.run, expected.port, expected.direction)
        self.others = [o for o in others if (o.run, o.port, o.direction) != own]
        self.earlier = {o.run for o in self.others if (o.port, o.direction) == own[1:]}
        self.claim = claim
        self.probes = _PROBES

    def owner(self, header: Header) -> tuple[FaultKind, str] | None:
        """Return whose frame it is; None for one of our own."""
        mine = self.expected
        same = (header.port, header.direction) == (mine.port, mine.direction)
        if same and header.run in self.earlier:
            return FaultKind.LATE, ""
        if header.run != mine.run:
            return FaultKind.FOREIGN_RUN, f"run {header.run:x}"
        if header.port != mine.port:
            return FaultKind.CROSSWIRE, f"serial{header.port}"
        if header.direction != mine.direction:
            return FaultKind.WRONG_DIRECTION, ""
        return None

    def claim_frames(
        self, unknown: list[tuple[int, int]], strangers: dict[int, Header]
    ) -> list[tuple[int, int]]:
        """Give frames with a stranger's header to their owner; return the rest."""
        rest: list[tuple[int, int]] = []
        order = sorted(strangers)
        number = 0
        for start, end in unknown:
            while number < len(order) and order[number] < start:
                number += 1
            while number < len(order) and order[number] < end:
                at = order[number]
                if at > start:
                    rest.append((start, at))
                header = strangers[at]
                number += 1
                following = order[number] if number < len(order) else end
                stop = min(at + header.length + OVERHEAD, following, end)
                owner = self.owner(header)
                assert owner is not None
                self.claim(*owner, at, stop - at)
                start = stop
            if start < end:
                rest.append((start, end))
        return rest

    def claim_parts(self, unknown: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Give parts of the other streams to their owners; return the rest."""
        rest: list[tuple[int, int]] = []
        step = max(_PROBE, sum(end - start for start, end in unknown) // _PROBES)
        for start, end in unknown:
            at = start
            while at + _PROBE <= end and self.probes:
                found = self.search(self.got[at : at + _PROBE])
                if found is None:
                    at += step
                    continue
                stream, offset = found
                back = 0
                while (
                    at - back > start
                    and offset - back > 0
                    and (self.got[at - back - 1] == stream.data[offset - back - 1])
                ):
                    back += 1
                stop = min(end, at + common_prefix(self.got, at, stream.data, offset))
                if at - back > start:
                    rest.append((start, at - back))
                owner = self.owner(Header(stream.run, stream.port, stream.direction, 0, 0))
                assert owner is not None
                self.claim(*owner, at - back, stop - at + back)
                start = at = stop
            if start < end:
                rest.append((start, end))
        return rest

    def search(self, probe: bytes) -> tuple[Stream, int] | None:
        """Find bytes in the other streams."""
        self.probes -= 1
        if probe in self.sent or len(set(probe)) < _TELLING:
            return None
        for stream in self.others:
            offset = stream.data.find(probe)
            if offset < 0:
                continue
            start = stream.starts[stream.frame_at(offset)]
            if offset - start + _PROBE > STREAM_PREFIX:
                return stream, offset
        return None
