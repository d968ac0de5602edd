"""The support matrix: every case has its column, every cell that is not green its reason."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vmserial.report import matrix
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import NOT_RUN, Check, Fault, FaultKind, RunFacts, Verdict
from vmserial.verify.results_file import Recorded, line

ROOT = Path(__file__).parents[2]
HOST = HostFacts(cpu="Some CPU", cores=2)
GOOD = Check("default", "arm", "virt", "7.2.22", "debian-12-armhf", "usb", port="serial1")
ROW = ("arm virt", "7.2.22", "debian-12-armhf", "usb")


def _of(*checks: Check, started: str = "2026-01-01", call: tuple[str, ...] = ()) -> Recorded:
    return Recorded(checks, HOST, RunFacts(started=started, call=call))


def _cells(*runs: Recorded) -> dict[str, matrix.Entry]:
    return dict(matrix.made(runs).rows[ROW])


def _maximum(mode: str, verdict: Verdict, detail: str, count: int = 0) -> Check:
    return replace(
        GOOD, case="maximum", port="", mode=mode, verdict=verdict, detail=detail, maximum=count
    )


def test_all_columns_stand_there_and_what_was_not_tried_is_a_dash() -> None:
    shown = matrix.text(matrix.made([_of(GOOD)]))
    assert "| machine | QEMU | guest | kind | default | large | hot-plug | input |" in shown
    assert f"| {' | '.join(ROW)} | pass (1) | - | - | - | - | - |" in shown
    assert "[^" not in shown
    assert "Measured on: Some CPU, 2 cores." in shown


def test_one_more_than_the_maximum_is_a_column_of_its_own_with_the_rule_that_refuses_it() -> None:
    refused = "9 usb ports are refused: hvc-limit: there are eight"
    cells = _cells(
        _of(
            _maximum("maximum", Verdict.PASS, "8 usb ports work in one VM", 8),
            _maximum("refused", Verdict.PASS, refused),
        )
    )
    assert cells["maximum"] == matrix.Entry("pass (8)")
    assert cells["maximum+1"].text == "refused"
    assert "[hvc-limit](findings.md#hvc-limit): there are eight" in cells["maximum+1"].note


def test_a_limit_that_nobody_sought_is_not_called_refused() -> None:
    cells = _cells(_of(_maximum("refused", Verdict.SKIPPED, "1024 ports can be planned")))
    assert cells["maximum+1"] == matrix.Entry("not tried", "1024 ports can be planned")


def test_a_refusal_without_words_is_red() -> None:
    fault = Fault(FaultKind.NOT_REFUSED, "no words")
    bad = replace(_maximum("refused", Verdict.FAIL, "no words"), faults=(fault,))
    cell = _cells(_of(bad))["maximum+1"]
    assert cell == matrix.Entry("fail", "fail (not-refused): no words")


def test_where_not_one_is_planned_the_first_is_the_one_too_many() -> None:
    cells = _cells(_of(_maximum("alone", Verdict.SKIPPED, "no-bus: vexpress has no PCI; use uart")))
    assert cells["maximum"] == cells["maximum+1"]
    assert cells["maximum"].text == "not possible"
    assert "no PCI" in cells["maximum"].note


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.PASS])
def test_what_is_not_green_has_its_reason(verdict: Verdict) -> None:
    cell = _cells(_of(GOOD, replace(GOOD, verdict=verdict, detail="because of it")))["default"]
    assert "because of it" in cell.note


def test_what_has_no_reason_says_so() -> None:
    assert (
        "no reason was given" in _cells(_of(replace(GOOD, verdict=Verdict.CANNOT)))["default"].note
    )


def test_reasons_that_differ_in_the_port_only_are_one_and_many_are_counted() -> None:
    bad = [
        replace(GOOD, port=f"serial{n}", verdict=Verdict.FAIL, detail=f"serial{n} has no node")
        for n in range(1, 4)
    ]
    assert _cells(_of(*bad))["default"] == matrix.Entry(
        "fail (3)", "fail: serial1 has no node (and 2 more alike)"
    )
    many = [replace(GOOD, verdict=Verdict.SKIPPED, detail=word * 9) for word in "abcde"]
    assert _cells(_of(*many))["default"].note.endswith("; and 2 more")
    long = _cells(_of(replace(GOOD, verdict=Verdict.LOST, detail="x" * 999)))["default"].note
    assert len(long) < 500


def test_of_a_repeated_case_the_later_run_counts_in_whatever_order_they_are_given() -> None:
    red = _of(replace(GOOD, verdict=Verdict.FAIL, detail="old"), started="2026-01-01")
    green = _of(GOOD, started="2026-01-02")
    assert _cells(red, green) == _cells(green, red) == {"default": matrix.Entry("pass (1)")}


def test_a_serial0_beside_the_kind_that_a_vm_is_about_says_nothing_of_its_own_kind() -> None:
    console = replace(GOOD, kind="uart", port="serial0")
    uarts = _of(console, replace(console, port="serial1"))
    usb = _of(console, GOOD, started="2026-01-02")
    rows = matrix.made([uarts, usb]).rows
    assert rows[*ROW[:3], "uart"]["default"].text == "pass (2)"
    assert rows[ROW]["default"].text == "pass (1)"
    alone = matrix.made([_of(console)]).rows
    assert alone[*ROW[:3], "uart"]["default"].text == "pass (1)"


def test_a_maximum_that_was_not_reached_says_how_far_the_planner_goes() -> None:
    check = replace(_maximum("maximum", Verdict.PASS, "30 usb ports work", 30), planned=465)
    assert _cells(_of(check))["maximum"] == matrix.Entry(
        "pass (30)", "30 were tried; the planner goes on to 465"
    )


def test_a_mutant_and_what_was_not_done_say_nothing() -> None:
    red = replace(GOOD, verdict=Verdict.FAIL, detail="damaged")
    late = "2026-01-02"
    for call in (("verify", "--mutant", "drop@serial1"), ("verify", "--mutant=drop@serial1")):
        assert _cells(_of(GOOD), _of(red, call=call, started=late))["default"].text == "pass (1)"
    undone = replace(GOOD, verdict=Verdict.SKIPPED, detail=NOT_RUN)
    assert _cells(_of(GOOD), _of(undone, started=late))["default"].text == "pass (1)"


def test_what_is_written_is_read_back() -> None:
    made = matrix.made([_of(
        GOOD,
        replace(GOOD, case="large", verdict=Verdict.SKIPPED, detail="no room"),
        replace(GOOD, kind="pci", verdict=Verdict.SKIPPED, detail="no room"),
        replace(GOOD, case="odd", kind="pci"),
    )])  # fmt: skip
    shown = matrix.text(made)
    assert shown.count("[^1]: no room") == 1
    assert matrix.read(shown) == made
    assert matrix.text(matrix.read(shown)) == shown


def test_the_matrix_of_the_documents_is_read_and_written_without_a_change() -> None:
    document = (ROOT / "docs/support-matrix.md").read_text()
    assert matrix.text(matrix.read(document)) == document


def test_newer_cells_win_and_the_others_stay() -> None:
    old = matrix.made([_of(replace(GOOD, verdict=Verdict.FAIL, detail="old"),
                           replace(GOOD, case="input"), replace(GOOD, kind="pci"))])  # fmt: skip
    both = matrix.merged(old, matrix.made([_of(GOOD)]))
    assert both.rows[ROW] == {
        "default": matrix.Entry("pass (1)"), "input": matrix.Entry("pass (1)")
    }  # fmt: skip
    assert (*ROW[:3], "pci") in both.rows


@pytest.mark.parametrize(
    "damage", [("| pass (1) |", "| pass (1) | |"), ("pass (1)", "pass (1)[^7]")]
)
def test_a_damaged_matrix_is_not_taken(damage: tuple[str, str]) -> None:
    shown = matrix.text(matrix.made([_of(GOOD)]))
    with pytest.raises(ValueError, match="line"):
        matrix.read(shown.replace(*damage))


def _script(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/make-support-matrix"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_script_merges_into_a_file_and_names_what_is_wrong(tmp_path: Path) -> None:
    results, document = tmp_path / "results.jsonl", tmp_path / "matrix.md"
    results.write_text(line(GOOD, HOST, RunFacts()))
    old = matrix.text(matrix.made([_of(replace(GOOD, kind="pci"))]))
    document.write_text(old)
    assert _script(results).stdout == matrix.text(matrix.made([_of(GOOD)]))
    assert _script("--into", document, results).returncode == 0
    assert {key[3] for key in matrix.read(document.read_text()).rows} == {"usb", "pci"}
    results.write_text("")
    none = _script("--into", document, results)
    assert (none.returncode, "no results" in none.stderr) == (2, True)
    results.write_text(line(GOOD, HOST, RunFacts()))
    document.write_text("| machine | QEMU | guest | kind | default |\n| a | b | c |\n")
    bad = _script("--into", document, results)
    assert (bad.returncode, f"{document}: line 2" in bad.stderr) == (2, True)
    assert document.read_text().endswith("| a | b | c |\n")


def test_one_more_has_its_column_whether_it_was_booted_for_or_not() -> None:
    alone = Check(
        case="refused", arch="arm", machine="virt", qemu="7.2.0", guest="g", kind="usb",
        verdict=Verdict.PASS, mode="",
    )  # fmt: skip
    beside = replace(alone, case="maximum", mode="refused")
    assert {matrix.column(alone), matrix.column(beside)} == {matrix.OVER}
