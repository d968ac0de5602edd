"""What arrived against what was sent: each fault has its name, and only equality is a pass."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, Direction, FaultKind
from vmserial.verify.wire.alignment import (
    KEY,
    Run,
    chain,
    common_prefix,
    find_runs,
    gaps,
    without,
)
from vmserial.verify.wire.form import FRAME_PREFIX, HEADER, OVERHEAD, WAYS, read_header
from vmserial.verify.wire.frames import (
    FULL,
    LADDERS,
    SHORT,
    SMOKE,
    Stream,
    _Comparison,
    analyse,
    build,
    headers,
)

RUN = 0x1234567890AB
MINE = Stream(RUN, 3, GUEST_TO_HOST, 1, SMOKE)
ECHO = Stream(RUN, 3, HOST_TO_GUEST, 1, SMOKE)
OTHER = Stream(RUN, 5, GUEST_TO_HOST, 1, SMOKE)
THIRD = Stream(RUN, 12, HOST_TO_GUEST, 1, SMOKE)
OLD = Stream(RUN - 1, 3, GUEST_TO_HOST, 1, SMOKE)
KNOWN = (MINE, ECHO, OTHER, THIRD)
DATA = MINE.data
AT = MINE.starts[3] + HEADER + 100


def kinds(received: bytes) -> list[FaultKind]:
    result = analyse(MINE, received, KNOWN)
    assert not result.ok
    assert result.received == len(received)
    assert 0 <= result.good <= len(DATA)
    return [fault.kind for fault in result.faults]


# ------------------------------------------------------------------ the form


def test_form_is_what_the_module_says() -> None:
    data = build(0x0102030405060708, 9, HOST_TO_GUEST, 4, (5, 0))
    assert data[:25] == (
        b"VSF1" + bytes(range(1, 9)) + b"\0\0\0\x09" + b"\x01" + bytes(4) + b"\0\0\0\x05"
    )
    assert data[25:29] == zlib.crc32(data[:25]).to_bytes(4, "big")
    assert data[34:38] == zlib.crc32(data[29:34]).to_bytes(4, "big")
    assert len(data) == 5 + 2 * OVERHEAD
    assert [(at, h.sequence, h.length) for at, h in headers(data)] == [(0, 0, 5), (38, 1, 0)]
    # A change of the form breaks far ends that were given the old one.
    assert Stream(1, 2, GUEST_TO_HOST, 3, (300,)).sha256 == (
        "27ea2abcce8cfa6531ed39ac03532bbad42693f8918138431f28c55c95e44d5d"
    )


@pytest.mark.parametrize("name", LADDERS)
@pytest.mark.parametrize("way", WAYS)
def test_all_byte_values(name: str, way: Direction) -> None:
    stream = Stream(7, 0, way, 0, LADDERS[name])
    payloads = b"".join(
        stream.data[at + HEADER : at + HEADER + size]
        for at, size in zip(stream.starts, stream.sizes, strict=True)
    )
    assert set(payloads) == set(range(256))
    assert len(stream.data) == sum(stream.sizes) + OVERHEAD * len(stream.sizes)


def test_ladders_reach_what_they_must() -> None:
    assert {1, 63, 64, 65, 495, 496, 497, 4096, 65536} <= set(FULL)
    assert sum(SMOKE) < sum(SHORT) < 10_000 < sum(FULL)


def test_no_two_streams_share_a_payload() -> None:
    seen = [Stream(r, p, w, s, (64, 64)).data for r in (1, 2) for p in (1, 2)
            for w in (GUEST_TO_HOST, HOST_TO_GUEST) for s in (1, 2)]  # fmt: skip
    parts = {data[at : at + 16] for data in seen for at in range(HEADER, HEADER + 48)}
    assert len(parts) == len(seen) * 48


def test_same_seed_same_bytes() -> None:
    assert Stream(RUN, 3, GUEST_TO_HOST, 1, SMOKE).data == DATA
    assert Stream(RUN, 3, GUEST_TO_HOST, 2, SMOKE).data != DATA


def test_headers_survive_rubbish() -> None:
    assert read_header(DATA, 0) is not None
    assert read_header(DATA, 1) is None
    assert read_header(DATA[:28], 0) is None
    assert read_header(DATA[:10] + b"x" + DATA[11:], 0) is None
    assert list(headers(b"VSF1" * 100)) == []
    assert [at for at, _ in headers(b"VSVSF1" + DATA)] == [at + 6 for at in MINE.starts]


# ------------------------------------------------------------------ names


def test_equal_is_ok() -> None:
    result = analyse(MINE, DATA, KNOWN)
    assert result.ok
    assert result.faults == ()
    assert result.good == len(DATA)
    silent = analyse(Stream(RUN, 3, GUEST_TO_HOST, 1, ()), b"", KNOWN)
    assert silent.ok


CASES: list[tuple[str, Callable[[], bytes], list[FaultKind], str]] = [
    ("nothing", lambda: b"", [FaultKind.LOSS], f"none of the {len(DATA)} bytes came"),
    ("a byte lost", lambda: DATA[:AT] + DATA[AT + 1 :], [FaultKind.LOSS],
     f"1 byte lost at offset {AT} (frame 3 (511 B), payload byte 100)"),
    ("sixteen lost", lambda: DATA[:AT] + DATA[AT + 16 :], [FaultKind.LOSS],
     f"16 bytes lost at offset {AT} "),
    ("the first byte lost", lambda: DATA[1:], [FaultKind.LOSS], "1 byte lost at offset 0 "),
    ("a frame lost", lambda: DATA[: MINE.starts[1]] + DATA[MINE.starts[2] :], [FaultKind.LOSS],
     "frame 1 whole"),
    ("frames lost", lambda: DATA[: MINE.starts[1]] + DATA[MINE.starts[3] :], [FaultKind.LOSS],
     "frames 1 to 2 whole"),
    ("cut off", lambda: DATA[:AT], [FaultKind.TRUNCATED],
     f"the last {len(DATA) - AT} bytes of {len(DATA)} never came, from offset {AT} on"),
    ("a byte twice", lambda: DATA[: AT + 1] + DATA[AT:], [FaultKind.DUPLICATE],
     "1 byte of offset"),
    ("a chunk twice", lambda: DATA[: AT + 64] + DATA[AT:], [FaultKind.DUPLICATE],
     f"64 bytes of offset {AT} (frame 3 (511 B), payload byte 100) came again"),
    ("all twice", lambda: DATA + DATA, [FaultKind.DUPLICATE], f"{len(DATA)} bytes of offset 0"),
    ("two bytes swapped", lambda: DATA[:AT] + DATA[AT + 1 : AT + 2] + DATA[AT : AT + 1]
     + DATA[AT + 2 :], [FaultKind.REORDER], f"2 bytes of offset {AT} "),
    ("two chunks swapped", lambda: DATA[:AT] + DATA[AT + 64 : AT + 128] + DATA[AT : AT + 64]
     + DATA[AT + 128 :], [FaultKind.REORDER], "64 bytes of offset"),
    ("frames swapped", lambda: DATA[: MINE.starts[1]] + DATA[MINE.starts[2] : MINE.starts[3]]
     + DATA[MINE.starts[1] : MINE.starts[2]] + DATA[MINE.starts[3] :], [FaultKind.REORDER],
     "97 bytes of offset 34 (frame 1 (64 B), header) came out of order"),
    ("a bit flipped", lambda: DATA[:AT] + bytes([DATA[AT] ^ 4]) + DATA[AT + 1 :],
     [FaultKind.CORRUPT], f"1 byte wrong from offset {AT} on (frame 3 (511 B), payload byte 100)"),
    ("a header's bit flipped", lambda: bytes([DATA[0] ^ 4]) + DATA[1:],
     [FaultKind.CORRUPT], "1 byte wrong from offset 0 on (frame 0 (1 B), header)"),
    ("the last bit flipped", lambda: DATA[:-1] + bytes([DATA[-1] ^ 128]),
     [FaultKind.CORRUPT], "frame 3 (511 B), checksum"),
    ("extra behind", lambda: DATA + b"login: ", [FaultKind.EXTRA],
     "7 bytes that nobody sent came after the end: 'login: '"),
    ("extra before", lambda: b"login: " + DATA, [FaultKind.EXTRA],
     "7 bytes that nobody sent came at 0"),
    ("extra inside", lambda: DATA[:AT] + b"[    0.123456] usb 1-1: new" + DATA[AT:],
     [FaultKind.EXTRA], f"27 bytes that nobody sent came at {AT}: '[    0.123456] usb 1-1: new' "
     "(a message of the guest's kernel"),
    ("another port's", lambda: OTHER.data, [FaultKind.CROSSWIRE, FaultKind.LOSS],
     f"nothing but {len(DATA)} bytes of serial5 arrived on serial3"),
    ("another port's, between", lambda: DATA[:AT] + OTHER.data + DATA[AT:],
     [FaultKind.CROSSWIRE], f"{len(DATA)} bytes of serial5 arrived on serial3"),
    ("a part of another's frame", lambda: DATA[:AT] + OTHER.data[AT : AT + 32] + DATA[AT + 32 :],
     [FaultKind.CROSSWIRE, FaultKind.LOSS], "32 bytes of serial5 arrived on serial3"),
    ("of two ports", lambda: OTHER.data + THIRD.data,
     [FaultKind.CROSSWIRE, FaultKind.CROSSWIRE, FaultKind.LOSS],
     "bytes of serial12 arrived on serial3"),
    ("another run's", lambda: OLD.data[200:] + DATA, [FaultKind.FOREIGN_RUN, FaultKind.EXTRA],
     f"bytes of run {RUN - 1:x} arrived on serial3"),
    ("an echo", lambda: ECHO.data, [FaultKind.WRONG_DIRECTION, FaultKind.LOSS],
     "an echo is on"),
    ("an echo mixed in", lambda: DATA[:AT] + ECHO.data[AT : AT + 40] + DATA[AT:],
     [FaultKind.WRONG_DIRECTION], "40 bytes that went the other way"),
    # Seven of ten bytes are wrong: that is still this stream, and not rubbish.
    ("most bytes wrong", lambda: bytes(b if n % 10 < 3 else b ^ 0x55 for n, b in enumerate(DATA)),
     [FaultKind.CORRUPT], "bytes wrong from offset 3 on"),
    ("rubbish", lambda: random.Random(0).randbytes(5000), [FaultKind.GARBAGE],
     "5000 bytes came and they are of no known stream"),
    ("a boot log", lambda: b"[    0.000000] Booting Linux on physical CPU 0x0\r\n" * 30,
     [FaultKind.GARBAGE], "of no known stream: '[    0.000000] Booting Linux on"),
]  # fmt: skip


@pytest.mark.parametrize(("received", "names", "words"), [c[1:] for c in CASES],
                         ids=[c[0] for c in CASES])  # fmt: skip
def test_names(received: Callable[[], bytes], names: list[FaultKind], words: str) -> None:
    assert kinds(received()) == names
    result = analyse(MINE, received(), KNOWN)
    assert words in result.detail
    assert result.detail.isprintable()
    assert len(result.detail) < 1000


def test_other_port_is_named_without_being_known() -> None:
    result = analyse(MINE, OTHER.data)
    assert result.faults[0].kind is FaultKind.CROSSWIRE
    assert result.faults[0].other == "serial5"
    assert result.faults[0].length == len(OTHER.data)


def test_a_key_tells_a_stream_only_where_no_other_header_has_it() -> None:
    # Two headers of one frame are alike up to the first byte of their checksums by chance.
    last = FRAME_PREFIX - KEY
    twins = (Stream(RUN, port, MINE.direction, MINE.seed, MINE.sizes) for port in range(1, 9999))
    twin = next(t for t in twins if t.port != MINE.port
                and t.data[last : last + KEY] == DATA[last : last + KEY])  # fmt: skip
    comparison = _Comparison(MINE, b"", ())
    assert not comparison.telling(last)
    assert comparison.telling(last + 1)
    assert twin.data[last + 1 : last + 1 + KEY] != DATA[last + 1 : last + 1 + KEY]


def test_silent_port() -> None:
    silent = Stream(RUN, 3, GUEST_TO_HOST, 1, ())
    assert analyse(silent, OTHER.data, KNOWN).faults[0].other == "serial5"
    assert analyse(silent, OTHER.data[200:260], KNOWN).faults[0].other == "serial5"
    assert analyse(silent, b"\0", KNOWN).faults[0].kind is FaultKind.EXTRA


TTY_TRANSFORMS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("onlcr", lambda data: data.replace(b"\n", b"\r\n")),
    ("icrnl", lambda data: data.replace(b"\r", b"\n")),
    ("inlcr", lambda data: data.replace(b"\n", b"\r")),
    ("ixon", lambda data: data.translate(None, b"\x11\x13")),
    ("istrip", lambda data: bytes(value & 127 for value in data)),
    ("parmrk", lambda data: data.replace(b"\xff", b"\xff\xff")),
]


@pytest.mark.parametrize(("name", "transform"), TTY_TRANSFORMS, ids=[h[0] for h in TTY_TRANSFORMS])
@pytest.mark.parametrize("ladder", ["smoke", "full"])
def test_habits_of_terminals_are_seen(
    name: str, transform: Callable[[bytes], bytes], ladder: str
) -> None:
    stream = Stream(RUN, 3, GUEST_TO_HOST, 1, LADDERS[ladder])
    result = analyse(stream, transform(stream.data), KNOWN)
    assert not result.ok
    assert name in result.detail
    assert name not in analyse(stream, stream.data[:-1], KNOWN).detail


def test_many_places_are_counted() -> None:
    stream = Stream(RUN, 3, GUEST_TO_HOST, 1, FULL)
    received = bytearray(stream.data)
    for at in range(40, len(received), 1000):
        received[at] ^= 1
    result = analyse(stream, bytes(received), KNOWN)
    (fault,) = result.faults
    places = len(range(40, len(received), 1000))
    assert (fault.kind, fault.count, fault.length) == (FaultKind.CORRUPT, places, places)
    assert f"and at {places - 3} more places" in result.detail


@pytest.mark.parametrize("length", [1, 2, 3, 8, 16, 100])
@pytest.mark.parametrize("kind", ["drop", "duplicate", "corrupt", "swap", "insert", "cross"])
def test_named_wherever_it_strikes(kind: str, length: int) -> None:
    """Over many places, the first fault named is the one that was put in."""
    wrong = 0
    trials = 150
    for seed in range(trials):
        rng = random.Random(f"{kind} {length} {seed}")
        at = rng.randrange(len(DATA) - 250)
        run, after = DATA[at : at + length], DATA[at + length : at + 2 * length]
        rest = DATA[at + length :]
        received, name = {
            "drop": (DATA[:at] + rest, FaultKind.LOSS),
            "duplicate": (DATA[: at + length] + run + rest, FaultKind.DUPLICATE),
            "corrupt": (DATA[:at] + bytes(b ^ rng.randrange(1, 256) for b in run) + rest,
                        FaultKind.CORRUPT),
            "swap": (DATA[:at] + after + run + DATA[at + 2 * length :], FaultKind.REORDER),
            "insert": (DATA[:at] + rng.randbytes(length) + DATA[at:], FaultKind.EXTRA),
            "cross": (DATA[:at] + OTHER.data[300 : 324 + length] + DATA[at:], FaultKind.CROSSWIRE),
        }[kind]  # fmt: skip
        if received != DATA:
            wrong += kinds(received)[0] is not name
    # Inserted bytes may equal their neighbours by chance, swapped ones may overlap.
    assert wrong <= trials * 0.02


# ------------------------------------------------------------------ any bytes at all

pieces = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, len(DATA)), st.integers(0, 300)),
    st.tuples(st.just("repeat"), st.integers(0, len(DATA)), st.integers(1, 300)),
    st.tuples(st.just("flip"), st.integers(0, len(DATA)), st.integers(1, 255)),
    st.tuples(st.just("noise"), st.integers(0, len(DATA)), st.integers(1, 300)),
    st.tuples(st.just("other"), st.integers(0, len(DATA)), st.integers(1, 300)),
    st.tuples(st.just("move"), st.integers(0, len(DATA)), st.integers(1, 300)),
)


def mutated(steps: list[tuple[str, int, int]]) -> bytes:
    data = DATA
    for what, at, size in steps:
        at = min(at, len(data))
        head, run, tail = data[:at], data[at : at + size], data[at + size :]
        data = {
            "cut": head + tail,
            "repeat": head + run + run + tail,
            "flip": head + bytes([b ^ (size & 255 or 1) for b in run[:1]]) + data[at + 1 :],
            "noise": head + random.Random(size).randbytes(size) + data[at:],
            "other": head + OTHER.data[at : at + size] + data[at:],
            "move": head + tail + run,
        }[what]
    return data


@settings(max_examples=400, deadline=500)
@given(st.lists(pieces, min_size=1, max_size=12))
def test_any_mutation_is_not_ok_unless_equal(steps: list[tuple[str, int, int]]) -> None:
    received = mutated(steps)
    result = analyse(MINE, received, KNOWN)
    assert result.ok == (received == DATA)
    assert bool(result.faults) == (not result.ok)
    assert all(fault.detail and fault.length > 0 and fault.count > 0 for fault in result.faults)
    assert 0 <= result.good <= min(len(DATA), len(received))


@settings(max_examples=300, deadline=500)
@given(st.binary(max_size=3000))
def test_any_bytes(received: bytes) -> None:
    for stream in (MINE, Stream(RUN, 3, GUEST_TO_HOST, 1, ())):
        assert analyse(stream, received, KNOWN).ok == (received == stream.data)


@pytest.mark.parametrize(
    "received",
    [
        bytes(1_000_000),
        b"VSF1" * 250_000,
        DATA[:HEADER] * 30_000,
        OTHER.data[:HEADER] * 30_000,
        random.Random(0).randbytes(1_000_000),
        b"".join(DATA[at : at + 9] for at in range(0, 900, 9)) * 1000,
        b"".join(bytes([value]) * 2 for value in DATA) * 500,
        random.Random(1).randbytes(7).join(DATA[at : at + 20] for at in range(900)) * 30,
    ],
    ids=["zeros", "magic", "own-headers", "other-headers", "random", "repeats", "doubled", "mix"],
)
def test_time_is_bounded(received: bytes) -> None:
    """A megabyte of anything takes seconds at worst; quadratic work would take hours."""
    stream = Stream(RUN, 3, GUEST_TO_HOST, 1, FULL)
    for expected in (stream, MINE):
        begun = time.process_time()
        assert not analyse(expected, received, KNOWN).ok
        assert time.process_time() - begun < 10


# ------------------------------------------------------------------ lining up


def test_common_prefix_of_all_lengths() -> None:
    one = bytes(range(256)) * 2
    for length in range(300):
        assert common_prefix(one, 5, one[: 5 + length], 5) == length
    for at in range(200):
        assert common_prefix(bytes(200), 0, bytes(at) + b"x" + bytes(199 - at), 0) == at


def test_find_runs() -> None:
    sent = random.Random(3).randbytes(200)
    assert find_runs(sent, sent) == [Run(0, 0, 200)]
    assert find_runs(sent, b"") == []
    assert find_runs(sent, sent[100:] + sent[:100]) == [Run(100, 0, 100), Run(0, 100, 100)]
    assert find_runs(sent, sent[:120] + sent[80:]) == [
        Run(0, 0, 120), Run(80, 120, 40), Run(120, 160, 80),
    ]  # fmt: skip


def test_without() -> None:
    runs = [Run(10, 0, 10), Run(30, 20, 10)]
    assert without(runs, []) == runs
    assert without(runs, [(2, 4), (8, 22)]) == [Run(10, 0, 2), Run(14, 4, 4), Run(32, 22, 8)]
    assert without(runs, [(0, 30)]) == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=7))
def test_chain_is_the_heaviest(items: list[tuple[int, int]]) -> None:
    runs = []
    at = 0
    for source, length in items:
        runs.append(Run(source, at, length))
        at += length
    found = chain(runs)
    assert all(a.source_end <= b.source and a.end <= b.at for a, b in pairwise(found))
    best = 0
    for mask in range(1 << len(runs)):
        chosen = [run for number, run in enumerate(runs) if mask >> number & 1]
        if all(a.source_end <= b.source for a, b in pairwise(chosen)):
            best = max(best, sum(run.length for run in chosen))
    assert sum(run.length for run in found) == best


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=6),
       st.integers(0, 40), st.integers(0, 40))  # fmt: skip
def test_gaps_are_the_complement(items: list[tuple[int, int]], start: int, end: int) -> None:
    taken = sorted((at, at + size) for at, size in items)
    left = {at for first, last in gaps(taken, start, end) for at in range(first, last)}
    used = {at for first, last in taken for at in range(first, last)}
    assert left == set(range(start, end)) - used
