"""Results for people and for machines: the article's tables, junit.xml, report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmserial import paths
from vmserial.errors import UsageError
from vmserial.model import Plan
from vmserial.report import junit
from vmserial.verify import results
from vmserial.verify.results import HTML, JUNIT, RESULTS, Check, HostFacts


@dataclass(frozen=True, slots=True)
class Vm:
    """One VM that checks were done on.

    Attributes:
        title: as in the checks' ``vm``, such as ``large aarch64 usb``.
        plan: what was planned for it.
        command: the command line that it was started with, the binary first.
        nodes: the guest's node that each port really had, by the port's name; a port
            that is not in it was not looked for, or not found.
    """

    title: str
    plan: Plan
    command: Sequence[str] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report tells.

    Attributes:
        checks: in the order in which they were done.
        host: where they were done.
        vms: on what they were done.
        version: of vmserial.
        started: when they began, ISO 8601.
        seconds: how long all of it took.
    """

    checks: tuple[Check, ...]
    host: HostFacts
    vms: tuple[Vm, ...] = ()
    version: str = ""
    started: str = ""
    seconds: float = 0.0


def write_all(outdir: Path, report: Report) -> tuple[Path, ...]:
    """Write ``results.jsonl``, ``junit.xml`` and ``report.html``, each whole or not at all.

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
    lines = "".join(results.line(check, report.host) for check in report.checks)
    files = {RESULTS: lines, JUNIT: junit.xml(report), HTML: page(report)}
    for name, text in files.items():
        paths.write_atomic(outdir / name, text, mode=0o644)
    return tuple(outdir / name for name in files)
