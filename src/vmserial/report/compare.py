"""Runs against earlier ones: what regressed, what was fixed, what cannot be relied on; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from vmserial.verify.results import Check, Verdict, combined, exit_code

if TYPE_CHECKING:
    from vmserial.report import Run

Key = tuple[str, ...]


class Change(StrEnum):
    """What became of a check; in the order in which it is told."""

    REGRESSED = "regressed"
    """It passed, and fails now."""
    FLAKY = "flaky"
    """It passed in one run and failed, or was lost, in another of the same side."""
    LOST = "lost"
    """The VM was lost: nothing was proven this time."""
    UNPROVEN = "no longer proven"
    """It had passed or failed, and was skipped now."""
    FAILING = "failing"
    """It fails, and did not pass before."""
    GONE = "gone"
    """It was not made at all this time."""
    FIXED = "fixed"
    """It failed or was lost, and passes now."""
    NEW = "new"
    """It was not made, or not proven, before."""
    SAME = "same"
    """It says what it said."""


STORIES: Mapping[Change, str] = {
    Change.REGRESSED: "passed before, fail now",
    Change.FLAKY: "passed in one run and not in another",
    Change.LOST: "the VM was lost: nothing was proven",
    Change.UNPROVEN: "had passed or failed before, skipped now",
    Change.FAILING: "fail, and did not pass before",
    Change.GONE: "were made before, and not at all now",
    Change.FIXED: "failed or were lost before, pass now",
    Change.NEW: "were not made or not proven before",
    Change.SAME: "say what they said",
}
"""What the checks of each kind of change have in common."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One check on both sides.

    Attributes:
        change: what became of it.
        check: as it is now; of one that is gone, as it was.  Of several runs the one that
            says the worst.
        before: what it said in each earlier run that has it.
        after: what it says in each run now that has it.
    """

    change: Change
    check: Check
    before: tuple[Verdict, ...]
    after: tuple[Verdict, ...]

    @property
    def story(self) -> str:
        """What it said and says: ``pass → fail``."""
        after = _words(self.after) or "not made"
        return f"{_words(self.before)} → {after}" if self.before else after


def _words(verdicts: Sequence[Verdict]) -> str:
    """Return several runs' verdicts: ``pass``, or ``pass, fail`` where they differ."""
    return ", ".join(verdicts if len(set(verdicts)) > 1 else verdicts[:1])


@dataclass(frozen=True, slots=True)
class Comparison:
    """All checks on both sides.

    Attributes:
        changes: in the order of :class:`Change`, then in that of the checks.
        earlier: there was something to compare with.
        unfinished: names of the runs now that were interrupted or killed.
        notes: what else differs between the sides, such as QEMU's version.
    """

    changes: tuple[Compared, ...]
    earlier: bool
    unfinished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[Change]:
        """How many checks of each change there are."""
        return Counter(one.change for one in self.changes)

    def of(self, change: Change) -> list[Compared]:
        """Return the checks of one change."""
        return [one for one in self.changes if one.change is change]

    def exit_code(self, checks: Sequence[Check]) -> int:
        """Return 1 if anything fails, regressed or is no longer proven, 3 if a VM was lost.

        Args:
            checks: of all runs now.
        """
        # What is flaky fails among the checks; if it did so only earlier, it is no failure now.
        bad = self.counts[Change.REGRESSED] + self.counts[Change.UNPROVEN]
        return 1 if bad or self.unfinished else exit_code(checks)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data for JSON; what is the same is only counted."""
        return {
            "counts": {str(change): self.counts[change] for change in Change},
            "unfinished": list(self.unfinished),
            "notes": list(self.notes),
            "changes": [
                {
                    "change": str(one.change),
                    "before": [str(verdict) for verdict in one.before],
                    "after": [str(verdict) for verdict in one.after],
                    "check": one.check.to_json(),
                }
                for one in self.changes
                if one.change is not Change.SAME
            ],
        }


def compare(runs: Sequence[Run], earlier: Sequence[Run] = ()) -> Comparison:
    """Compare runs with earlier ones, and with each other.

    A check is the same if its case, VM, port, direction and mode are.  QEMU's
    version tells checks apart where one side has several; else a run on a new
    QEMU can be compared with one on the old.

    Args:
        runs: those of now.
        earlier: what to compare them with; none: only what is flaky among them shows.
    """
    versions = [_versions(side) for side in (runs, earlier)]
    apart = any(len(side) > 1 for side in versions)
    now, then = _gathered(runs, apart), _gathered(earlier, apart)
    changes = []
    for key in {**now, **then}:
        after, before = now.get(key, []), then.get(key, [])
        was, says = (tuple(check.verdict for check in side) for side in (before, after))
        shown = _worst(after or before)
        changes.append(Compared(_change(was, says, bool(earlier)), shown, was, says))
    order = list(Change)
    notes = []
    if earlier and not apart and versions[0] != versions[1]:
        old, new = (", ".join(side) or "none" for side in reversed(versions))
        notes.append(f"QEMU {old} before, {new} now")
    return Comparison(
        tuple(sorted(changes, key=lambda one: order.index(one.change))),
        bool(earlier),
        tuple(run.name for run in runs if not run.whole),
        tuple(notes),
    )


def _versions(runs: Sequence[Run]) -> list[str]:
    return sorted({check.qemu for run in runs for check in run.checks})


def _gathered(runs: Sequence[Run], apart: bool) -> dict[Key, list[Check]]:
    """Return, by what it is about, the check of each run that has it; the worst of a run's."""
    found: dict[Key, list[Check]] = {}
    for run in runs:
        mine: dict[Key, list[Check]] = {}
        for c in run.checks:
            key: Key = (
                c.case, c.arch, c.machine, c.guest, c.kind, c.vm, c.port, c.direction, c.mode,
                c.unplugged, c.plugged, c.qemu if apart else "",
            )  # fmt: skip
            mine.setdefault(key, []).append(c)
        for about, checks in mine.items():
            found.setdefault(about, []).append(_worst(checks))
    return found


def _worst(checks: Iterable[Check]) -> Check:
    """Return the check that says the worst."""
    group = list(checks)
    verdict = combined(group)
    return next(check for check in group if check.verdict is verdict)


def _flaky(verdicts: Sequence[Verdict]) -> bool:
    return Verdict.PASS in verdicts and (Verdict.FAIL in verdicts or Verdict.LOST in verdicts)


def _change(before: Sequence[Verdict], after: Sequence[Verdict], earlier: bool) -> Change:
    if not after:
        return Change.GONE
    if _flaky(before) or _flaky(after):
        # What fails now and then is neither fixed nor broken by one run more.
        return Change.FLAKY
    if Verdict.FAIL in after:
        return Change.REGRESSED if Verdict.PASS in before else Change.FAILING
    if Verdict.LOST in after:
        return Change.LOST
    if Verdict.PASS in after:
        if not earlier or Verdict.PASS in before:
            return Change.SAME
        return Change.FIXED if {Verdict.FAIL, Verdict.LOST} & set(before) else Change.NEW
    if {Verdict.PASS, Verdict.FAIL} & set(before):
        return Change.UNPROVEN
    return Change.SAME if before or not earlier else Change.NEW
