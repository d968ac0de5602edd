"""What a verification found, delivered: its files, its tables or JSON, and its exit code.

Also of one that Ctrl-C or SIGTERM ended early: what was found out is worth a report.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli.main import CALL
from vmserial.cli.output import complain, print_json

if TYPE_CHECKING:
    from vmserial.progress import Reporter
    from vmserial.verify.recording import Keep
    from vmserial.verify.request import VerifyReport

    Begin = Callable[[Keep], Coroutine[Any, Any, VerifyReport]]
    """Begins a verification; given what to tell what was done, should it be cancelled."""


_BOOTING = 0.3
"""Seconds after which the first guest boots, and nothing else is to be done."""


def _import_ahead() -> None:
    """Import what tells what was found, so that at the end nobody waits for it."""
    import shutil  # noqa: F401 - removes the run's directory
    import statistics  # noqa: F401 - for its rates

    import vmserial.report.table  # noqa: F401


def call() -> tuple[str, ...]:
    """Return the words of our own command line, without the program's name."""
    context = click.get_current_context(silent=True)
    return tuple(context.meta.get(CALL, ())) if context is not None else ()


def carry_out(
    begin: Begin, progress: Reporter, *, out: Path | None, as_json: bool
) -> int:  # fmt: skip
    """Do a verification, deliver what it found, and return the exit code.

    Args:
        begin: makes it.
        progress: closed when nothing is done any more.
        out: where the files go; None: nowhere.
        as_json: print JSON instead of tables.

    Raises:
        KeyboardInterrupt, SystemExit: a signal ended it; what was done is delivered.
        UsageError: a file cannot be written; what was found is printed nevertheless.
    """
    from vmserial.qemu.loop import run_interruptible

    cut: list[VerifyReport] = []

    async def beginning() -> VerifyReport:
        import asyncio

        asyncio.get_running_loop().call_later(_BOOTING, _import_ahead)
        return await begin(cut.append)

    try:
        report = run_interruptible(beginning())
    except (KeyboardInterrupt, SystemExit):
        progress.close()
        for part in cut:
            deliver(part, out=out, as_json=as_json)
        raise
    finally:
        progress.close()
    deliver(report, out=out, as_json=as_json)
    return report.exit_code


def deliver(report: VerifyReport, *, out: Path | None, as_json: bool) -> None:
    """Write a report's files, print it, and say on stderr what is left to say.

    Raises:
        UsageError: a file cannot be written.
    """
    try:
        if out is not None:
            from vmserial.report import Report, run_of, write_all

            written = write_all(out, Report((run_of(report),)))
            complain(f"vmserial: wrote {', '.join(str(path) for path in written)}")
    finally:
        # Also where the disk is full: what was found out is worth more than its files.
        if as_json:
            print_json(_json(report))
        else:
            from vmserial.report.table import show

            show(report.checks, sys.stdout)
    for note in dict.fromkeys(note for booted in report.booted for note in booted.notes):
        complain(f"vmserial: note: {note}")
    if report.interrupted:
        from vmserial.verify.results import NOT_RUN

        left = sum(check.detail == NOT_RUN for check in report.checks)
        complain(f"vmserial: interrupted: {left} of {len(report.checks)} checks were not run")
    seed = f", seed {report.seed}" if report.seed else ""
    complain(f"vmserial: {len(report.checks)} checks, {report.seconds:.1f} s{seed}")


def _json(report: VerifyReport) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "exit_code": report.exit_code,
        "seed": report.seed,
        "seconds": report.seconds,
        "started": report.started,
        "call": list(report.call),
        "interrupted": report.interrupted,
        "host": asdict(report.host),
        "checks": [check.to_json() for check in report.checks],
    }
