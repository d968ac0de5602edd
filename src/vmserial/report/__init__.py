"""Results for people and for machines: the article's tables, junit.xml, report.html."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial import paths
from vmserial.errors import UsageError
from vmserial.report import junit
from vmserial.report.vms import Vm, of_booted, place, vms_text
from vmserial.verify import results_file
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import HTML, JUNIT, RESULTS, VMS, Check, RunFacts

if TYPE_CHECKING:
    from vmserial.report.compare import Comparison
    from vmserial.verify.request import VerifyReport

__all__ = ["Report", "Run", "Vm", "run_of", "write_all"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a verification.

    Attributes:
        checks: in the order in which they were done.
        host: where they were done.
        facts: how it was called, and when.
        vms: on what they were done.
        name: what it is called beside others; empty for one that stands alone.
    """

    checks: tuple[Check, ...]
    host: HostFacts = field(default_factory=HostFacts)
    facts: RunFacts = field(default_factory=RunFacts)
    vms: tuple[Vm, ...] = ()
    name: str = ""

    @property
    def whole(self) -> bool:
        """Whether it came to its end; not if it was interrupted or killed."""
        # A file of an older vmserial says neither when it began nor when it ended.
        killed = bool(self.facts.started) and not self.facts.ended
        return not (self.facts.interrupted or killed)

    def vm(self, check: Check) -> Vm | None:
        """Return the VM that a check was done on; None for one that was done on none."""
        found = (vm for vm in self.vms if place(vm) == place(check))
        return next(found, None) if check.vm else None


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report tells.

    Attributes:
        runs: one; or several that are told of together.
        comparison: with earlier ones, or of these with each other; None: there is none.
    """

    runs: tuple[Run, ...]
    comparison: Comparison | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks of all runs."""
        return tuple(check for run in self.runs for check in run.checks)

    def each(self) -> Iterator[tuple[Run, Check]]:
        """Yield each check with its run."""
        for run in self.runs:
            for check in run.checks:
                yield run, check


def run_of(report: VerifyReport) -> Run:
    """Return what came of a verification as a report tells it."""
    from vmserial import __version__
    from vmserial.verify.recording import now

    facts = RunFacts(
        report.seed, report.call, __version__, report.started, now(), report.seconds,
        report.interrupted,
    )  # fmt: skip
    vms = tuple(of_booted(booted, facts, report.checks) for booted in report.booted)
    return Run(report.checks, report.host, facts, vms)


def write_all(outdir: Path, report: Report) -> tuple[Path, ...]:
    """Write ``results.jsonl``, ``junit.xml`` and ``report.html``, each whole or not at all.

    Beside them ``vms.json``, by which ``vmserial report`` can show the VMs again.

    Returns:
        Their paths.

    Raises:
        UsageError: the directory cannot be made, or a file not be written.
    """
    from vmserial.report.html import page  # jinja2 is only needed here

    try:
        outdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make {outdir}: {error.strerror or error}",
            hint="give --out a directory that you may write to",
        ) from None
    lines = "".join(
        results_file.line(check, run.host, run.facts) for run, check in report.each()
    )  # fmt: skip
    files = {
        RESULTS: lines,
        JUNIT: junit.xml(report),
        VMS: vms_text([run.vms for run in report.runs]),
        HTML: page(report),
    }
    for name, text in files.items():
        paths.write_atomic(outdir / name, text, mode=0o644)
    return tuple(outdir / name for name in (RESULTS, JUNIT, HTML))
