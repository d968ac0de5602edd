"""Each way to damage bytes turns verify red, by its name, at its port; without it all is green.

The same damage is put in twice: by the fake QEMU, so that nothing of the
product takes part in it, and by verify's own mutants.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.stand import SIZES, named, prove, verdicts

from vmserial.verify.mutants import MutantKind, parse
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, FaultKind, Verdict
from vmserial.verify.wire import OVERHEAD

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


@pytest.mark.parametrize("direction", ["out", "in"])
@pytest.mark.parametrize("name", FAKE)
@pytest.mark.parametrize("at", [0, 300, ALL - 20])
def test_the_fakes_damage_when_alone(tmp_path: Path, name: str, direction: str, at: int) -> None:
    if name == "late":
        at = ALL
    report = prove(tmp_path, Fault(name, "serial2", direction, at=at), cases=("large",))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    first = failed[0]
    assert (first.port, first.direction, first.mode) == ("serial2", WAYS[direction], "alone")
    expected = FAKE[name]
    if name == "stall" and at == 0:
        expected = FaultKind.LOSS
    if name == "drop" and at == ALL - 20:
        expected = FaultKind.LOSS
    assert expected in named(first)
    assert {c.port for c in failed} == {"serial2"}
    assert {c.direction for c in failed} == {WAYS[direction]}


@pytest.mark.parametrize("direction", ["out", "in"])
@pytest.mark.parametrize("name", FAKE)
def test_the_fakes_damage_when_together(tmp_path: Path, name: str, direction: str) -> None:
    at = 2 * ALL if name == "late" else ALL + 500
    report = prove(tmp_path, Fault(name, "serial3", direction, at=at), cases=("large",))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert [(c.port, c.direction, c.mode) for c in failed] == [
        ("serial3", WAYS[direction], "together")
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
