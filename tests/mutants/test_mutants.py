"""Each way to damage bytes turns verify red, by its name, at its port; without it all is green.

The same damage is put in twice: by the fake QEMU, so that nothing of the
product takes part in it, and by verify's own mutants.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.environment import SIZES, named, prove, prove_all, verdicts

from vmserial.verify.mutants import MutantKind, parse
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, FaultKind, Verdict
from vmserial.verify.wire.form import OVERHEAD

WAYS = {"out": GUEST_TO_HOST, "in": HOST_TO_GUEST}

ALL = sum(SIZES) + OVERHEAD * len(SIZES)
"""Bytes of a transfer of ``large``, where no port has more than another."""

FAKE = {
    "drop": FaultKind.LOSS,
    "swap": FaultKind.REORDER,
    "duplicate": FaultKind.DUPLICATE,
    "corrupt": FaultKind.CORRUPT,
    "late": FaultKind.EXTRA,
    "stall": FaultKind.TRUNCATED,
}


def test_green_without_any(tmp_path: Path) -> None:
    report = prove(tmp_path)
    assert report.exit_code == 0
    assert {c.verdict for c in report.checks} == {Verdict.PASS}


@pytest.mark.parametrize("name", FAKE)
def test_the_fakes_damage_when_alone(tmp_path: Path, name: str) -> None:
    places = [ALL] if name == "late" else [0, 300, ALL - 32]
    faults = [Fault(name, "serial2", way, at=at) for way in WAYS for at in places]
    for fault, report in zip(faults, prove_all(tmp_path, faults, cases=("large",)), strict=True):
        assert report.exit_code == 1
        failed = verdicts(report.checks, Verdict.FAIL)
        first, way = failed[0], WAYS[fault.direction]
        assert (first.port, first.direction, first.mode) == ("serial2", way, "alone")
        # Nothing at all came: that is all lost, and not a missing end.
        nothing = name == "stall" and not fault.at
        assert (FaultKind.LOSS if nothing else FAKE[name]) in named(first), first.detail
        assert {(c.port, c.direction) for c in failed} == {("serial2", way)}


@pytest.mark.parametrize("name", FAKE)
def test_the_fakes_damage_when_together(tmp_path: Path, name: str) -> None:
    at = 2 * ALL if name == "late" else ALL + 500
    faults = [Fault(name, "serial3", way, at=at) for way in WAYS]
    for fault, report in zip(faults, prove_all(tmp_path, faults, cases=("large",)), strict=True):
        assert report.exit_code == 1
        failed = verdicts(report.checks, Verdict.FAIL)
        assert [(c.port, c.direction, c.mode) for c in failed] == [
            ("serial3", WAYS[fault.direction], "together")
        ]
        assert FAKE[name] in named(failed[0])


@pytest.mark.parametrize("direction", ["out", "in"])
def test_the_fakes_crossed_wires(tmp_path: Path, direction: str) -> None:
    report = prove(tmp_path, Fault("crosswire", "serial2", direction, other="serial3"))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {(c.port, c.direction) for c in failed} == {
        ("serial2", WAYS[direction]), ("serial3", WAYS[direction])
    }  # fmt: skip
    for check in failed:
        other = {"serial2": "serial3", "serial3": "serial2"}[check.port]
        assert FaultKind.CROSSWIRE in named(check)
        assert {f.other for f in check.faults if f.kind is FaultKind.CROSSWIRE} == {other}


@pytest.mark.parametrize("way", [GUEST_TO_HOST, HOST_TO_GUEST, ""])
@pytest.mark.parametrize("kind", list(MutantKind))
def test_verifys_own_mutants(tmp_path: Path, kind: MutantKind, way: str) -> None:
    text = f"{kind}@serial2" + ("+serial3" if kind is MutantKind.CROSSWIRE else "")
    text += f":{way}" if way else ""
    mutant = parse(text)
    report = prove(tmp_path, mutants=(text,))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    ways = {way} if way else set(WAYS.values())
    hit = {"serial2", "serial3"} if kind is MutantKind.CROSSWIRE else {"serial2"}
    assert {(c.port, c.direction) for c in failed} == {(p, w) for p in hit for w in ways}
    # Each transfer is hit: alone and together.
    assert {c.mode for c in failed} == {"alone", "together"}
    for check in failed:
        assert mutant.expected in named(check), (check.title, check.detail)


def test_hot_plug_with_a_mutant(tmp_path: Path) -> None:
    report = prove(tmp_path, cases=("hot-plug",), mutants=("corrupt@serial1",))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial1"}
    assert {c.mode for c in failed} >= {"before", "plugged", "cycle", "after"}
