"""What came of a stream until its device was taken out: all, with gaps, or something else."""

from __future__ import annotations

import random

import pytest

from vmserial.verify.cases.load import before_unplug, missing
from vmserial.verify.results import FaultKind

SENT = random.Random(1).randbytes(65536)
STREAM = SENT * 3


@pytest.mark.parametrize("length", [0, 1, 7, 65535, 65536, 65537, 131072, len(STREAM)])
def test_all_of_it_came(length: int) -> None:
    assert missing(STREAM[:length], SENT) == 0


@pytest.mark.parametrize("first", [0, 1, 5000, 65530, 65536, 70000, 131072])
@pytest.mark.parametrize("gap", [1, 16, 4096, 65000])
@pytest.mark.parametrize("rest", [3, 8, 16, 50000])
def test_a_gap_is_measured(first: int, gap: int, rest: int) -> None:
    carried = STREAM[:first] + STREAM[first + gap : first + gap + rest]
    assert missing(carried, SENT) == gap


def test_many_small_gaps() -> None:
    """As QEMU drops sixteen bytes that do not fit, and takes the next ones."""
    pieces = [STREAM[n : n + 16] for n in range(0, 4096, 32)]
    assert missing(b"".join(pieces), SENT) == 16 * (len(pieces) - 1)


@pytest.mark.parametrize("at", [0, 100, 65536, 99990])
def test_a_changed_byte_is_no_gap(at: int) -> None:
    carried = bytearray(STREAM[:100_000])
    carried[at] ^= 1
    assert missing(bytes(carried), SENT) is None


def test_bytes_of_another_stream_are_no_gap() -> None:
    other = random.Random(2).randbytes(20)
    assert missing(STREAM[:1000] + other, SENT) is None
    assert missing(other, SENT) is None


def test_only_a_virtconsole_may_leave_bytes_out() -> None:
    gap = STREAM[:5000] + STREAM[6000:9000]
    assert before_unplug(gap, SENT, "virtconsole")[0] is None
    assert "QEMU dropped 1000 before" in before_unplug(gap, SENT, "virtconsole")[1]
    assert before_unplug(gap, SENT, "virtio") == (
        FaultKind.LOSS, "; 1000 of those before are missing"
    )  # fmt: skip
    for kind in ("virtconsole", "usb"):
        assert before_unplug(b"x" * 50 + gap, SENT, kind)[0] is FaultKind.CORRUPT
        assert before_unplug(STREAM[:5000], SENT, kind) == (None, "")
