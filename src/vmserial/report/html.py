"""report.html: one file that needs nothing else, neither network nor script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from vmserial.options import pretty
from vmserial.report import Report, Vm
from vmserial.report.junit import legal
from vmserial.report.table import Table, clean, problems, rate_text, tables, titled
from vmserial.report.topology import MARKS, Picture, draw
from vmserial.verify.results import (
    Check,
    HostFacts,
    Verdict,
    combined,
    exit_code,
    grouped,
    is_hotplug,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell of the matrix: a port, and what the checks of one row say about it."""

    label: str
    verdict: Verdict
    sign: str
    story: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the matrix: one direction in one mode, all ports."""

    title: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A case on a VM."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class VmView:
    """A VM as the page shows it."""

    title: str
    picture: Picture
    command: str
    warnings: tuple[str, ...]
    assumptions: tuple[str, ...]


def _story(check: Check) -> str:
    parts = [f"{check.title}: {check.verdict}"]
    if check.bytes:
        parts.append(f"{check.bytes:,} bytes in {check.seconds:.2f} s")
    if check.rate:
        parts.append(rate_text(check.rate))
    if check.detail and check.verdict is not Verdict.PASS:
        parts.append(clean(check.detail))
    return ", ".join(parts)


def matrices(checks: Sequence[Check]) -> list[Matrix]:
    """Return the matrix at a glance: ports by direction and mode, a case and VM each."""
    made = []
    for (case, vm, arch, kinds), group in grouped(
        checks, lambda c: (c.case, c.vm, c.arch, "" if c.vm else c.kind)
    ).items():
        rows = []
        for (direction, mode), line in grouped(group, lambda c: (c.direction, c.mode)).items():
            marks = []
            for label, cell in grouped(line, _label).items():
                verdict = combined(cell)
                assert verdict is not None
                worst = next(c for c in cell if c.verdict is verdict)
                count = f"{len(cell)} checks, " if len(cell) > 1 else ""
                marks.append(Mark(label, verdict, MARKS[verdict], count + _story(worst)))
            title = {"guest->host": "guest → host", "host->guest": "host → guest", "": "other"}
            rows.append(Row(f"{title[direction]}, {mode}", tuple(marks)))
        name = vm or " ".join(part for part in (arch, kinds) if part)
        made.append(Matrix(clean(titled(case, name)), tuple(rows)))
    return made


def _label(check: Check) -> str:
    if is_hotplug(check) and check.plugged:
        return f"{check.unplugged or '/'} → {check.plugged}"
    return check.port.removeprefix("serial") or "vm"


def _view(vm: Vm, checks: Sequence[Check]) -> VmView:
    mine = [check for check in checks if check.vm == vm.title]
    verdicts = {
        port: verdict
        for port, group in grouped(mine, lambda c: c.port).items()
        if (verdict := combined(group)) is not None
    }
    return VmView(
        clean(vm.title),
        draw(vm.plan, vm.nodes, verdicts, clean(vm.title)),
        pretty(list(vm.command)),
        vm.plan.warnings,
        vm.plan.assumptions,
    )


def headline(checks: Sequence[Check]) -> tuple[str, Verdict]:
    """Return what all checks say in one sentence, and the verdict that colours it."""
    counts = Counter(check.verdict for check in checks)
    total = len(checks)
    skipped = f"; {counts[Verdict.SKIPPED]} skipped" if counts[Verdict.SKIPPED] else ""
    if counts[Verdict.FAIL]:
        lost = f"; {counts[Verdict.LOST]} lost with the VM" if counts[Verdict.LOST] else ""
        return f"{counts[Verdict.FAIL]} of {total} checks failed{lost}{skipped}", Verdict.FAIL
    if counts[Verdict.LOST]:
        lost = f"The VM was lost: {counts[Verdict.LOST]} of {total} checks prove nothing"
        return f"{lost}{skipped}", Verdict.LOST
    if not counts[Verdict.PASS]:
        return f"Nothing was proven{skipped}", Verdict.SKIPPED
    passed = "1 check" if counts[Verdict.PASS] == 1 else f"All {counts[Verdict.PASS]} checks"
    return f"{passed} passed{skipped}", Verdict.PASS


def _facts(host: HostFacts) -> list[tuple[str, str]]:
    facts = (
        ("processor", host.cpu),
        ("cores", str(host.cores or "")),
        ("memory", f"{host.memory_mib:,} MiB" if host.memory_mib else ""),
        ("kernel", host.kernel),
        ("accelerator", host.accel),
        ("load", ", ".join(f"{load:.2f}" for load in host.load)),
        ("Python", host.python),
    )
    return [(key, value) for key, value in facts if value]


def page(report: Report) -> str:
    """Return the whole page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vmserial.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sentence, verdict = headline(report.checks)
    counts = Counter(check.verdict for check in report.checks)
    found: list[Table] = tables(report.checks)
    text = environment.get_template("report.html.j2").render(
        report=report,
        sentence=sentence,
        verdict=verdict,
        exit_code=exit_code(report.checks),
        counts=[(v, MARKS[v], counts[v]) for v in Verdict],
        marks=MARKS,
        guests=list(dict.fromkeys(clean(c.guest) for c in report.checks if c.guest)),
        qemus=list(dict.fromkeys(clean(c.qemu) for c in report.checks if c.qemu)),
        problems=problems(report.checks),
        matrices=matrices(report.checks),
        tables=found,
        vms=[_view(vm, report.checks) for vm in report.vms],
        facts=_facts(report.host),
        checks=[(check, clean(check.detail)) for check in report.checks],
        rate_text=rate_text,
    )
    return legal(text)
