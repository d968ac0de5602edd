"""Runs against earlier ones: nothing that got worse, flaky or lost is hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmserial.report import Run
from vmserial.report.compare import STORIES, Change, Comparison, compare
from vmserial.verify.results import GUEST_TO_HOST, NOT_RUN, Check, RunFacts, Verdict

PASS = Check("default", "aarch64", "virt", "7.2.22", "debian-12-arm64", "usb", "serial1",
             GUEST_TO_HOST, vm="a VM")  # fmt: skip
FAIL = replace(PASS, verdict=Verdict.FAIL, detail="1 byte lost")
LOST = replace(PASS, verdict=Verdict.LOST, detail="panic")
SKIPPED = replace(PASS, verdict=Verdict.SKIPPED, detail="no driver")
ENDED = RunFacts(1, ("verify",), "0.1", "2026-11-28T10:00:00", "2026-11-28T10:01:00")


def run(*checks: Check, facts: RunFacts = ENDED, name: str = "now") -> Run:
    return Run(checks, facts=facts, name=name)


def code(made: Comparison, *runs: Run) -> int:
    return made.exit_code([check for one in runs for check in one.checks])


@pytest.mark.parametrize(
    ("before", "after", "change", "status"),
    [
        ([PASS], [PASS], Change.SAME, 0),
        ([PASS], [FAIL], Change.REGRESSED, 1),
        ([PASS], [LOST], Change.LOST, 3),
        ([FAIL], [LOST], Change.LOST, 3),
        ([PASS], [SKIPPED], Change.UNPROVEN, 1),
        ([FAIL], [SKIPPED], Change.UNPROVEN, 1),
        ([PASS], [], Change.GONE, 1),
        ([FAIL], [FAIL], Change.FAILING, 1),
        ([SKIPPED], [FAIL], Change.FAILING, 1),
        ([LOST], [FAIL], Change.FAILING, 1),
        ([], [FAIL], Change.FAILING, 1),
        ([FAIL], [PASS], Change.FIXED, 0),
        ([LOST], [PASS], Change.FIXED, 0),
        ([SKIPPED], [PASS], Change.NEW, 0),
        ([], [PASS], Change.NEW, 0),
        ([SKIPPED], [SKIPPED], Change.SAME, 1),
        ([PASS], [PASS, FAIL], Change.FLAKY, 1),
        ([PASS], [PASS, LOST], Change.FLAKY, 3),
        ([], [FAIL, PASS], Change.FLAKY, 1),
        # What fails now and then is not fixed by passing once.
        ([PASS, FAIL], [PASS], Change.FLAKY, 0),
        ([PASS, FAIL], [FAIL], Change.FLAKY, 1),
        # One of several runs that did not try it says nothing.
        ([PASS], [PASS, SKIPPED], Change.SAME, 0),
        ([PASS], [FAIL, SKIPPED], Change.REGRESSED, 1),
    ],
)
def test_what_became_of_a_check(
    before: list[Check], after: list[Check], change: Change, status: int
) -> None:
    other = replace(PASS, port="serial9")
    earlier = [run(one) for one in before] or [run(other)]
    now = [run(one) for one in after] or [run()]
    made = compare(now, earlier)
    (one,) = [one for one in made.changes if one.check.port == "serial1"]
    assert one.change is change
    assert code(made, *now) == status
    assert one.after == tuple(check.verdict for check in after)
    assert one.check.verdict in {check.verdict for check in after or before}


def test_every_change_is_told() -> None:
    assert set(STORIES) == set(Change)


def test_runs_alone_show_only_what_is_flaky_failing_or_lost() -> None:
    two = replace(FAIL, port="serial2")
    made = compare([run(PASS, two), run(FAIL, two)])
    assert [(one.change, one.check.port) for one in made.changes] == [
        (Change.FLAKY, "serial1"), (Change.FAILING, "serial2"),
    ]  # fmt: skip
    assert made.changes[0].story == "pass, fail"
    assert not made.earlier
    assert compare([run(PASS)]).counts == {Change.SAME: 1}


def test_the_worst_change_is_told_first() -> None:
    checks = {name: replace(PASS, port=name) for name in ("serial1", "serial2", "serial3")}
    now = run(checks["serial1"], replace(FAIL, port="serial2"), checks["serial3"])
    before = run(replace(FAIL, port="serial1"), checks["serial2"])
    made = compare([now], [before])
    assert [one.change for one in made.changes] == [Change.REGRESSED, Change.FIXED, Change.NEW]
    assert made.changes[0].story == "pass → fail"
    assert made.to_json()["changes"][0]["before"] == ["pass"]


def test_checks_of_one_run_that_are_alike_are_one_that_says_the_worst() -> None:
    made = compare([run(PASS, FAIL, PASS)], [run(PASS)])
    assert [one.change for one in made.changes] == [Change.REGRESSED]


@pytest.mark.parametrize(
    "field", ["case", "arch", "machine", "guest", "kind", "vm", "port", "mode", "unplugged"]
)
def test_what_tells_checks_apart(field: str) -> None:
    made = compare([run(replace(PASS, **{field: "other"}))], [run(FAIL)])  # type: ignore[arg-type]
    assert {one.change for one in made.changes} == {Change.NEW, Change.GONE}


def test_a_new_qemu_is_compared_with_the_old_one() -> None:
    made = compare([run(replace(FAIL, qemu="10.0.2"))], [run(PASS)])
    assert [one.change for one in made.changes] == [Change.REGRESSED]
    assert made.notes == ("QEMU 7.2.22 before, 10.0.2 now",)


def test_two_qemus_of_one_run_are_told_apart() -> None:
    both = run(PASS, replace(FAIL, qemu="10.0.2"))
    made = compare([both], [both])
    assert sorted(one.change for one in made.changes) == [Change.FAILING, Change.SAME]
    assert made.notes == ()


@pytest.mark.parametrize(
    "facts", [replace(ENDED, interrupted=True), replace(ENDED, ended="")], ids=["int", "killed"]
)
def test_a_run_that_did_not_come_to_its_end_is_not_right(facts: RunFacts) -> None:
    now = run(PASS, facts=facts)
    made = compare([now], [run(PASS)])
    assert made.unfinished == ("now",)
    assert code(made, now) == 1
    # Of an older vmserial nobody knows.
    assert compare([run(PASS, facts=RunFacts())]).unfinished == ()


def test_what_an_interrupted_run_had_not_done_is_no_longer_proven() -> None:
    now = run(replace(SKIPPED, detail=NOT_RUN))
    assert [one.change for one in compare([now], [run(PASS)]).changes] == [Change.UNPROVEN]
