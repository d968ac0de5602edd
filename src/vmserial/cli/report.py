"""``vmserial report``: tell of runs of verify together, and compare them with earlier ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli.options import json_option
from vmserial.cli.output import complain, print_json, say

if TYPE_CHECKING:
    from vmserial.report import Report, Run
    from vmserial.report.compare import Change, Compared


@click.command(
    "report",
    epilog="""\b
Examples:
  vmserial report out/
  vmserial report monday/ tuesday/ --out week/
  vmserial report out/ --against last-week/ --out compared/

\b
A RUN is what verify --out wrote: the directory, or its results.jsonl. A run that was interrupted
or killed is told of as such. Exit code 0: all that was done passed; 1: something failed, regressed,
is no longer proven, or a run did not come to its end; 3: a VM was lost.""",
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--against", multiple=True, metavar="RUN", type=click.Path(path_type=Path),
    help="An earlier run to compare with; several.",
)  # fmt: skip
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path),
    help="Write results.jsonl, junit.xml and report.html of all runs there.",
)  # fmt: skip
@json_option
def command(
    runs: tuple[Path, ...], against: tuple[Path, ...], out: Path | None, as_json: bool
) -> int:
    """Tell of one or more runs of verify together, and compare them with earlier ones.

    What regressed, what is flaky (passes in one run, not in another), lost, no longer proven,
    still failing, gone, fixed and new is listed by name.
    """
    from vmserial.report import Report, write_all
    from vmserial.report.compare import compare
    from vmserial.report.saved import load

    now = load(runs, beside=out)
    compared = compare(now, load(against))
    report = Report(tuple(now), compared)
    try:
        if out is not None:
            _not_over(out, runs, against)
            written = write_all(out, report)
            complain(f"vmserial: wrote {', '.join(str(path) for path in written)}")
    finally:
        if as_json:
            print_json(_json(report))
        else:
            _show(report)
    return compared.exit_code(report.checks)


def _not_over(out: Path, runs: tuple[Path, ...], against: tuple[Path, ...]) -> None:
    """Refuse to write over a run that is not the only one to be told of.

    Raises:
        UsageError: so it is.
    """
    from vmserial.errors import UsageError

    places = [path if path.is_dir() else path.parent for path in (*runs, *against)]
    same = [place for place in places if place.exists() and out.exists() and out.samefile(place)]
    if same and len(places) > 1:
        raise UsageError(
            f"{out} holds one of the runs: its results would be lost among the others'",
            hint="name another directory with --out",
        )


def _show(report: Report) -> None:
    from vmserial.report.html import cut_short
    from vmserial.report.table import clean, show

    show(report.checks, sys.stdout)
    for line in cut_short(report.runs):
        say(line)
    for line in _compared(report):
        say(("  " if line.startswith(" ") else "") + clean(line))
    complain(f"vmserial: {len(report.checks)} checks of {_runs(report.runs)}")


def _runs(runs: tuple[Run, ...]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _compared(report: Report) -> list[str]:
    """Return what is told of the comparison: a line for each check that says another thing."""
    from vmserial.report.compare import STORIES, Change

    compared = report.comparison
    assert compared is not None
    lines = list(compared.notes)
    for change in Change:
        found = compared.of(change)
        if not found or (change is Change.SAME and not compared.earlier):
            continue
        if change is Change.SAME:
            lines.append(f"{len(found)} {change}")
            continue
        # Without earlier runs a failure stands above, with its detail.
        if not compared.earlier and change in (Change.FAILING, Change.LOST):
            continue
        lines.append(f"{len(found)} {change}: {STORIES[change]}")
        lines += _named(change, found)
    return lines


_MANY = 8
"""Checks of one VM past which what is no failure is told of together."""


def _named(change: Change, found: list[Compared]) -> list[str]:
    """Return a line for each check, or for a VM's checks of which the same became."""
    from vmserial.report.compare import Change
    from vmserial.verify.results import grouped

    lines = []
    quiet = change in (Change.GONE, Change.NEW, Change.FIXED, Change.UNPROVEN)
    for (vm, story), group in grouped(found, lambda one: (one.check.vm, one.story)).items():
        where = f" ({vm})" if vm else ""
        if quiet and len(group) > _MANY:
            lines.append(f"  {change.upper()} {len(group)} checks: {story}{where}")
            continue
        for one in group:
            check = one.check
            name = " ".join(part for part in (check.case, check.kind, check.title) if part)
            lines.append(f"  {change.upper()} {name}: {story}{where}")
    return lines


def _json(report: Report) -> dict[str, Any]:
    from dataclasses import asdict

    compared = report.comparison
    assert compared is not None
    return {
        "exit_code": compared.exit_code(report.checks),
        "runs": [
            {
                "name": run.name,
                **asdict(replace(run.facts)),
                "whole": run.whole,
                "host": asdict(run.host),
                "checks": len(run.checks),
            }
            for run in report.runs
        ],
        **compared.to_json(),
        "checks": [check.to_json() for check in report.checks],
    }
