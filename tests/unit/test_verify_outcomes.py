"""What a transfer's outcome is: its bytes, and what went wrong besides them."""

from __future__ import annotations

import pytest
from plans import planned

from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.wire.form import SMOKE, Stream
from vmserial.verify.wire.frames import Analysis
from vmserial.verify.wire.transfer import Line, Transfer, _outcome

WHOLE = Analysis(True, (), "900 bytes", 900, 900)


def transfer() -> Transfer:
    (assignment,) = planned(ports=1).assignments
    out, into = (Stream(1, 0, way, 1, SMOKE) for way in (GUEST_TO_HOST, HOST_TO_GUEST))
    return Transfer(Line(assignment), out, into)


@pytest.mark.parametrize("way", [GUEST_TO_HOST, HOST_TO_GUEST])
def test_whole_bytes_with_a_fault_beside_them_are_no_pass(way: Direction) -> None:
    made = transfer()
    made.faults[way].append(Fault(FaultKind.DISCONNECTED, "the host's end: closed"))
    found = _outcome(made, way, WHOLE)
    assert found.verdict is Verdict.FAIL
    assert [fault.kind for fault in found.faults] == [FaultKind.DISCONNECTED]
    assert found.detail == "the host's end: closed"
    other = HOST_TO_GUEST if way == GUEST_TO_HOST else GUEST_TO_HOST
    assert _outcome(made, other, WHOLE).verdict is Verdict.PASS


def test_what_passed_deepens_its_direction_alone() -> None:
    made = transfer()
    for number in (1, 2):
        found = _outcome(made, GUEST_TO_HOST, WHOLE)
        assert found.deepen() == number * len(made.out.data)
    torn = _outcome(made, GUEST_TO_HOST, Analysis(False, (), "torn", 1, 1))
    assert torn.deepen() == 2 * len(made.out.data)
    assert made.line.depth[HOST_TO_GUEST] == 0
