"""The form of the bytes that prove a port: framed, seeded, checksummed.

A stream is what one port sends in one direction in one transfer: frames of
growing sizes, each::

    magic    4   "VSF1"
    run      8   the transfer's number: no two transfers of a harness share one
    port     4   N of serialN
    way      1   0: guest->host, 1: host->guest
    sequence 4   0, 1, 2 ...
    length   4   of the payload
    crc      4   CRC-32 of all of the above
    payload  n   pseudo-random, of this run, port, way and frame alone
    crc      4   CRC-32 of the payload

Integers are big-endian.  The first 256 payload bytes of a stream are all 256
byte values in a shuffled order, so that no stream of that size passes a path
that eats XON, XOFF, ETX, EOF, CR, LF, DEL or 0xff, or that keeps only 7 bits.
The payload is SHAKE-128 of its place, so that any program can make it again.
Pure: no I/O, no clock.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from vmserial.model import Way
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, Direction

_CLEAN = Way()

MAGIC = b"VSF1"
_HEAD = struct.Struct(">4sQIBII")
_CRC = struct.Struct(">I")
HEADER = _HEAD.size + _CRC.size
"""Bytes before a payload."""

OVERHEAD = HEADER + _CRC.size
"""Bytes that a frame adds to its payload."""

STREAM_PREFIX = len(MAGIC) + 8 + 4
"""Bytes at the start of a header that do not tell both directions of a port apart."""

FRAME_PREFIX = _HEAD.size + 1
"""Bytes at the start of a header that do not surely tell frames apart: mostly zeros."""

WAYS: tuple[Direction, ...] = (GUEST_TO_HOST, HOST_TO_GUEST)

FULL = (
    1, 2, 3, 7, 16, 63, 64, 65, 255, 256, 257, 495, 496, 497, 511, 512, 513,
    1023, 1024, 1025, 4095, 4096, 4097, 16384, 65536,
)  # fmt: skip
"""Payload sizes around each buffer on the way: the 16-byte FIFO of a 16550A, USB's
64-byte packets, the 496 bytes of usb-serial, the tty's 512 and 4096, virtio's pages."""

SHORT = (1, 16, 64, 257, 497, 1025, 4097)
"""For VMs with very many ports: under 7 KiB a direction."""

SMOKE = (1, 64, 257, 511)
"""The least that still holds all byte values and more than one USB packet."""

LADDERS = {"full": FULL, "short": SHORT, "smoke": SMOKE}


@dataclass(frozen=True)
class Stream:
    """What one port sends in one direction in one transfer.

    Attributes:
        run: the transfer's number, 64 bits; frames of another run are foreign.
        port: N of ``serialN``.
        direction: whose bytes they are.
        seed: of the whole verification; the same seed gives the same bytes.
        sizes: payload sizes, a frame each; none for a port that must stay silent.
        path: what the device carries in that direction.
    """

    run: int
    port: int
    direction: Direction
    seed: int = 0
    sizes: tuple[int, ...] = FULL
    path: Way = _CLEAN

    @cached_property
    def sent(self) -> bytes:
        """The bytes that are sent, made once."""
        framed = build(self.run, self.port, self.direction, self.seed, self.sizes)
        return self.path.prepared(framed)

    @cached_property
    def data(self) -> bytes:
        """The bytes that arrive: all of them, but for what the device does not carry."""
        return self.path.arriving(self.sent)

    @cached_property
    def sha256(self) -> str:
        """Of :attr:`data`, in hex: what a far end with ``sha256sum`` can compare."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each frame starts."""
        starts, at = [], 0
        for size in self.sizes:
            starts.append(at * self._digits)
            at += size + OVERHEAD
        return tuple(starts)

    @property
    def _digits(self) -> int:
        """Bytes that arrive for each byte of a frame: text has two digits."""
        return 2 if self.path.form == "text" else 1

    @property
    def name(self) -> str:
        """``serialN``."""
        return f"serial{self.port}"

    def frame_at(self, offset: int) -> int:
        """Return the number of the frame that holds the byte at ``offset``."""
        return bisect_right(self.starts, offset) - 1

    def place(self, offset: int) -> str:
        """Return where ``offset`` is, for people: ``frame 3 (497 B), payload byte 12``."""
        if not 0 <= offset < len(self.data):
            return "after the last frame"
        number = self.frame_at(offset)
        inside = (offset - self.starts[number]) // self._digits - HEADER
        size = self.sizes[number]
        if inside < 0:
            part = "header"
        elif inside < size:
            part = f"payload byte {inside}"
        else:
            part = "checksum"
        return f"frame {number} ({size} B), {part}"


@dataclass(frozen=True, slots=True)
class Header:
    """A frame's header, read.  ``length`` is the payload's, in bytes."""

    run: int
    port: int
    direction: Direction
    sequence: int
    length: int


def payload(
    run: int, port: int, direction: Direction, seed: int, sequence: int, size: int
) -> bytes:
    """Return one frame's payload."""
    place = f"vmserial {seed} {run} {port} {WAYS.index(direction)} {sequence}"
    return hashlib.shake_128(place.encode()).digest(size)


def _all_values(run: int, port: int, direction: Direction, seed: int) -> bytes:
    """Return the 256 byte values, shuffled."""
    keys = payload(run, port, direction, seed, -1, 1024)
    chunks = [keys[at : at + 4] for at in range(0, len(keys), 4)]
    return bytes(sorted(range(256), key=chunks.__getitem__))


def build(run: int, port: int, direction: Direction, seed: int, sizes: Iterable[int]) -> bytes:
    """Return the bytes of a stream; see the module's text for their form."""
    values = _all_values(run, port, direction, seed)
    parts: list[bytes] = []
    for sequence, size in enumerate(sizes):
        head = _HEAD.pack(MAGIC, run, port, WAYS.index(direction), sequence, size)
        body = values[:size]
        values = values[size:]
        body += payload(run, port, direction, seed, sequence, size)[len(body) :]
        parts += (head, _CRC.pack(zlib.crc32(head)), body, _CRC.pack(zlib.crc32(body)))
    return b"".join(parts)


def read_header(data: bytes, at: int) -> Header | None:
    """Return the header that starts at ``at``; None if there is none that is whole."""
    if at + HEADER > len(data) or data[at : at + 4] != MAGIC:
        return None
    head = data[at : at + _HEAD.size]
    if _CRC.unpack_from(data, at + _HEAD.size)[0] != zlib.crc32(head):
        return None
    _, run, port, way, sequence, length = _HEAD.unpack(head)
    return Header(run, port, WAYS[way], sequence, length) if way < len(WAYS) else None


def headers(data: bytes) -> Iterator[tuple[int, Header]]:
    """Yield each whole header of ``data`` with its offset."""
    at = data.find(MAGIC)
    while at >= 0:
        header = read_header(data, at)
        if header is not None:
            yield at, header
        at = data.find(MAGIC, at + 1)
