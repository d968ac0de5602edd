"""A port that dies somewhere: each case turns red, or says that it did not look so far."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.environment import named, prove, verdicts

from vmserial.report.table import tables
from vmserial.verify.results import GUEST_TO_HOST, Check, FaultKind, Verdict
from vmserial.verify.subject import BOTH
from vmserial.verify.wire.form import SHORT

pytestmark = pytest.mark.usefixtures("quick_end")

LONG = (*SHORT, 16384)
DIES = 13_000


def deepest(checks: tuple[Check, ...], port: str, way: str) -> int:
    """Return to how many bytes a port is said to be proven in a direction."""
    return max((c.depth for c in checks if c.port == port and c.direction == way), default=0)


@pytest.mark.parametrize("case", ["default", "large", "maximum", "hot-plug"])
@pytest.mark.parametrize("port", ["serial0", "serial2"])
def test_each_case_is_red_or_says_how_deep_it_looked(tmp_path: Path, case: str, port: str) -> None:
    liar = Fault("stall", port, "out", at=DIES)
    report = prove(tmp_path, liar, cases=(case,), alone=SHORT, together=LONG, ceilings={"usb": 3})
    of_port = [c for c in report.checks if c.port == port and c.direction == GUEST_TO_HOST]
    if (case, port) == ("hot-plug", "serial0"):
        # It carries nothing there, and is not named.
        assert not of_port
        return
    depth = deepest(report.checks, port, GUEST_TO_HOST)
    failed = verdicts(report.checks, Verdict.FAIL)
    assert 0 < depth <= DIES or (failed and depth == 0)
    if failed:
        assert {c.port for c in failed} == {port}
        assert {kind for c in failed for kind in named(c)} <= {
            FaultKind.TRUNCATED, FaultKind.LOSS, FaultKind.REORDER, FaultKind.GUEST_ERROR,
        }  # fmt: skip
    else:
        # It is in its verdict's words.
        row = next(r for t in tables(of_port) for r in t.rows)
        assert f"pass: {depth:,} bytes" in {cell.text for cell in row}
    # The case in which all ports are proven alike is red, whichever it is.
    assert failed or case != "default"


def test_depths_add_up_and_are_those_of_what_passed(tmp_path: Path) -> None:
    report = prove(tmp_path, cases=("default", "hot-plug"))
    assert report.exit_code == 0
    for port in ("serial0", "serial1", "serial4", "serial5"):
        for way in BOTH:
            mine = [c for c in report.checks if c.port == port and c.direction == way]
            # Streams that were cut on purpose prove no depth.
            whole = [c for c in mine if c.mode != "unplug under load"]
            depths = [c.depth for c in whole]
            assert depths == sorted(depths), (port, way)
            assert depths[-1] == sum(c.bytes for c in whole), (port, way)
