"""What a tty echoed before it was raw has the name of whose bytes came to it."""

from __future__ import annotations

import pytest

from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, FaultKind
from vmserial.verify.wire.echoes import echo_named
from vmserial.verify.wire.frames import SMOKE, Stream, analyse

MINE = Stream(7, 2, GUEST_TO_HOST, sizes=SMOKE)
INTO = Stream(7, 2, HOST_TO_GUEST, sizes=SMOKE)
OTHERS = Stream(7, 1, HOST_TO_GUEST, sizes=SMOKE)
KNOWN = (MINE, INTO, OTHERS)

CROSSED = analyse(INTO, OTHERS.data[200:], KNOWN)
LOST = analyse(INTO, INTO.data[:300], KNOWN)

ECHO = b"^X\x08 \x08^O\xc9&^R\n^N\xda"
"""Too short between its control characters for any of it to be found in another's stream."""


@pytest.mark.parametrize("echo", [ECHO, ECHO[:2]])
def test_an_echo_too_changed_to_be_known_is_named_by_what_came_in(echo: bytes) -> None:
    sent = analyse(MINE, echo + MINE.data, KNOWN)
    assert sent.kinds == {FaultKind.EXTRA}
    named = echo_named(sent, CROSSED, "serial2")
    assert [(fault.kind, fault.other) for fault in named.faults] == [
        (FaultKind.CROSSWIRE, "serial1"), (FaultKind.EXTRA, "")
    ]  # fmt: skip
    assert "came out of serial2 as a tty echoes them: bytes of serial1" in named.detail
    assert not named.ok


def test_extra_bytes_of_a_port_that_no_others_came_to_keep_their_name() -> None:
    sent = analyse(MINE, ECHO + MINE.data, KNOWN)
    assert echo_named(sent, LOST, "serial2") is sent


def test_a_direction_without_extra_bytes_is_not_blamed() -> None:
    for received in (MINE.data, MINE.data[:-16], MINE.data[:100] + MINE.data[116:]):
        sent = analyse(MINE, received, KNOWN)
        assert echo_named(sent, CROSSED, "serial2") is sent


def test_a_name_that_is_known_already_is_not_said_again() -> None:
    sent = analyse(MINE, ECHO + OTHERS.data[:64] + MINE.data, KNOWN)
    assert FaultKind.CROSSWIRE in sent.kinds
    assert echo_named(sent, CROSSED, "serial2") is sent
