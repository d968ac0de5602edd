"""Runs that were written to a directory, read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vmserial.errors import UsageError
from vmserial.report import Run
from vmserial.report.vms import read_vms
from vmserial.verify.results import RESULTS, VMS
from vmserial.verify.results_file import read


def load(paths: Sequence[Path], beside: Path | None = None) -> list[Run]:
    """Return the runs of some directories or results files, in order.

    Args:
        paths: each the ``--out`` of a run, or its ``results.jsonl``.
        beside: where the report will stand; logs of another place are not linked.

    Raises:
        UsageError: one cannot be read, or holds no run.
    """
    runs: list[Run] = []
    for path in paths:
        directory, file = (path, path / RESULTS) if path.is_dir() else (path.parent, path)
        found = read(file)
        if not found:
            raise UsageError(
                f"{file} holds no check: its run ended before the first one",
                hint="leave it out, or run verify again",
            )
        # A results file of another name need not be of the directory's last run.
        vms = read_vms(directory / VMS) if file.name == RESULTS else []
        vms += [()] * (len(found) - len(vms))
        linked = beside is not None and beside.exists() and beside.samefile(directory)
        for recorded, mine in zip(found, vms, strict=False):
            shown = mine if linked else tuple(replace(vm, log_file="") for vm in mine)
            runs.append(Run(recorded.checks, recorded.host, recorded.run, shown, str(path)))
    return _named(runs)


def _named(runs: list[Run]) -> list[Run]:
    """Return the runs with names that tell them apart."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({names[:n].count(run.name) + 1})")
        if names.count(run.name) > 1 else run
        for n, run in enumerate(runs)
    ]  # fmt: skip
