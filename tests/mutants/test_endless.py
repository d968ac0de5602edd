"""A port that never becomes silent is named and shut; the others are judged, each by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.environment import named, prove, verdicts

from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, FaultKind, Verdict

pytestmark = pytest.mark.usefixtures("quick_end")


@pytest.mark.parametrize("kind", ["usb", "virtio"])
def test_a_guest_that_reads_for_ever_at_one_port(tmp_path: Path, kind: str) -> None:
    report = prove(tmp_path, Fault("flood", "serial2", at=3000), kinds=(kind,))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial2"}
    first = next(c for c in failed if c.direction == HOST_TO_GUEST)
    assert FaultKind.EXTRA in named(first)
    assert FaultKind.CROSSWIRE not in named(first)
    assert "came at serial2 where 70664 were sent" in first.detail
    # What it sent arrived; then it was shut, and is tested no more.
    assert {(c.direction, c.mode) for c in failed} == {
        (HOST_TO_GUEST, "alone"), (HOST_TO_GUEST, "together"), (GUEST_TO_HOST, "together"),
    }  # fmt: skip
    assert all("shut in the guest" in c.detail for c in failed if c.mode == "together")
    assert {c.verdict for c in report.checks if c.port != "serial2"} == {Verdict.PASS}


def test_a_guest_that_sends_for_ever_at_one_port(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("spout", "serial2", at=3000))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {(c.port, c.direction) for c in failed} == {("serial2", GUEST_TO_HOST)}
    assert all(FaultKind.EXTRA in named(c) for c in failed)
    assert "came from serial2 where 70664 were sent" in failed[0].detail
    assert {c.verdict for c in report.checks if c.port != "serial2"} == {Verdict.PASS}


@pytest.mark.parametrize("fault", ["flood", "spout"])
def test_what_comes_and_goes_is_judged_beside_it(tmp_path: Path, fault: str) -> None:
    report = prove(tmp_path, Fault(fault, "serial2", at=9000), cases=("hot-plug",))
    assert report.exit_code == 1
    assert not verdicts(report.checks, Verdict.LOST)
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial2"}
    assert all(FaultKind.EXTRA in named(c) for c in failed)


@pytest.mark.parametrize("end", ["panic", "reset"])
def test_the_last_words_of_a_guest_that_is_lost_are_told(tmp_path: Path, end: str) -> None:
    report = prove(tmp_path, Fault(end, "serial2", at=900))
    assert report.exit_code == 3
    lost = verdicts(report.checks, Verdict.LOST)
    assert all("last words: Kernel panic - not syncing: fake" in c.detail for c in lost)
    assert "Kernel panic" in report.booted[0].console


def test_what_a_console_says_in_a_check_is_in_its_log(tmp_path: Path) -> None:
    # Between the bytes of a check, where it is a fault of the port.
    report = prove(tmp_path, Fault("mutter", "serial0", at=2000, text="\r\nwatchdog: BUG\r\n"))
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial0"}
    assert all(named(c) == {FaultKind.EXTRA} for c in failed)
    assert "watchdog: BUG" in report.booted[0].console
