"""The parts of the page: what is failed, each VM with its checks, and how they are linked.

Everything that a check, a VM or a run is called in the page's source is a
number: no word of a guest's or a configuration's becomes an id, a class or a
rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vmserial.report import Report, Run, Vm
from vmserial.report.compare import Compared
from vmserial.report.table import (
    Table,
    clean,
    hotplug_tables,
    port_tables,
    rate_text,
)
from vmserial.report.topology import MARKS
from vmserial.report.vms import LOG_FILE, place
from vmserial.verify.results import (
    NOT_RUN,
    Check,
    Verdict,
    combined,
    grouped,
    is_bystander,
    is_hotplug,
)

BAD = (Verdict.FAIL, Verdict.LOST)

_WAYS = {"guest->host": "guest → host", "host->guest": "host → guest", "": "other"}


@dataclass(frozen=True, slots=True)
class Names:
    """What the filter can choose, each with its number.

    Attributes:
        ports, kinds: numbers by name, in the order in which they are offered.
    """

    ports: Mapping[str, int]
    kinds: Mapping[str, int]

    @classmethod
    def of(cls, checks: Iterable[Check]) -> Names:
        """Return the names of some checks."""
        group = list(checks)
        ports = sorted({c.port for c in group if c.port}, key=_natural)
        kinds = dict.fromkeys(c.kind for c in group if c.kind)
        return cls({p: n for n, p in enumerate(ports)}, {k: n for n, k in enumerate(kinds)})

    def classes(self, checks: Iterable[Check]) -> str:
        """Return the classes of what shows some checks: their ports, kinds, and what is bad.

        ``p3`` and ``k1`` are a port's and a kind's; ``f``, ``fp3``, ``fk1`` say that such
        a one did not pass.
        """
        found: dict[str, None] = {}
        for check in checks:
            mine = []
            if check.port:
                mine.append(f"p{self.ports[check.port]}")
            if check.kind:
                mine.append(f"k{self.kinds[check.kind]}")
            found |= dict.fromkeys(mine)
            if check.verdict in BAD:
                found |= dict.fromkeys(["f", *(f"f{name}" for name in mine)])
        return " ".join(found)

    def rules(self) -> str:
        """Return the style rules by which the filter works, without any script.

        ``.x`` is whatever can be filtered: a chip, a check, a VM.
        """
        failed = "#only-failed:checked"
        lines = [f"body:has({failed}) .x:not(.f) {{ display: none; }}"]
        for letter, names in (("p", self.ports), ("k", self.kinds)):
            for number in names.values():
                chosen = f"body:has(option[value={letter}{number}]:checked)"
                lines.append(f"{chosen} .x:not(.{letter}{number}) {{ display: none; }}")
                both = f"{chosen}:has({failed})"
                lines.append(f"{both} .x:not(.f{letter}{number}) {{ display: none; }}")
        return "\n".join(lines) + "\n"


def _natural(name: str) -> tuple[str, int, str]:
    match = re.match(r"(.*?)([0-9]{1,9})\Z", name, re.DOTALL)
    return (match[1], int(match[2]), name) if match else (name, -1, name)


@dataclass(frozen=True, slots=True)
class Chip:
    """A check, or several of one port, as a mark.

    Attributes:
        label: what it is of, in a word.
        verdict: what they say together.
        sign: of the verdict.
        story: for the pointer that rests on it.
        target: the id of the check that says the worst.
        classes: for the filter.
    """

    label: str
    verdict: Verdict
    sign: str
    story: str
    target: str
    classes: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the matrix: one direction in one mode, all ports; ``classes`` for the filter."""

    title: str
    marks: tuple[Chip, ...]
    classes: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """A case on a VM; ``classes`` for the filter."""

    title: str
    rows: tuple[Row, ...]
    classes: str


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check in its VM's list."""

    id: str
    check: Check
    title: str
    detail: str
    rate: str
    classes: str


@dataclass(frozen=True, slots=True)
class Section:
    """A VM, or what was done on none.

    Attributes:
        id: in the page.
        title: for people.
        verdict: all its checks together; None: there are none.
        counts: its checks by verdict, those that there are.
        vm: what is known of it; None: nothing, as of a run that was killed.
        log: the end of its console's log, safe to show.
        log_file: the file beside the page that has all of it; empty if there is none.
        matrices, tables, rows: its checks, three times: at a glance, as the article has
            them, and one by one.
        classes: for the filter.
    """

    id: str
    title: str
    verdict: Verdict | None
    counts: tuple[tuple[Verdict, int], ...]
    vm: Vm | None
    log: str
    log_file: str
    matrices: tuple[Matrix, ...]
    tables: tuple[Table, ...]
    rows: tuple[CheckRow, ...]
    classes: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Checks that failed or were skipped in the same way, or were lost with one VM."""

    verdict: Verdict
    title: str
    words: str
    chips: tuple[Chip, ...]
    section: Section
    classes: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Checks of one VM of which the same became."""

    verdict: Verdict
    title: str
    story: str
    words: str
    vm: str
    chips: tuple[Chip, ...]
    classes: str


class Book:
    """The whole page's parts; ids are given once, here.

    Attributes:
        names: what the filter offers.
        sections: the VMs, run by run; then what was done on none.
        problems: what did not pass.
        skipped: what was not tried, and what a device cannot do.
    """

    def __init__(self, report: Report) -> None:
        compared = report.comparison.changes if report.comparison else ()
        self.names = Names.of([*report.checks, *(one.check for one in compared)])
        # Copies, so that one check that was made twice is two places in the page.
        runs = [replace(run, checks=tuple(map(replace, run.checks))) for run in report.runs]
        copies = [check for run in runs for check in run.checks]
        self._ids = {id(check): f"c{number}" for number, check in enumerate(copies, 1)}
        self._ids |= {id(c): f"c{number}" for number, c in enumerate(report.checks, 1)}
        self._many = len(runs) > 1
        self._count = 0
        self.sections = [one for run in runs for one in self._sections(run)]
        self.problems = [p for one in self.sections for p in self._problems(one, BAD)]
        skips = (Verdict.CANNOT, Verdict.SKIPPED)
        self.skipped = [p for one in self.sections for p in self._problems(one, skips)]

    def target(self, check: Check) -> str:
        """Return the id of a check in the page; empty for one that is not in it."""
        return self._ids.get(id(check), "")

    # -------------------------------------------------------------- the VMs

    def _sections(self, run: Run) -> Iterable[Section]:
        # Also a VM that no check was done on: it was booted, and shows its picture.
        groups: dict[tuple[str, str, str], list[Check]] = {place(vm): [] for vm in run.vms}
        rest: list[Check] = []
        for check in run.checks:
            if check.vm:
                groups.setdefault(place(check), []).append(check)
            else:
                rest.append(check)
        known = {place(vm): vm for vm in run.vms}
        titles = [title for title, _, _ in groups]
        where = f" · {run.name}" if self._many and run.name else ""
        for (title, qemu, guest), checks in groups.items():
            # Of several binaries or guests each has a VM of the same title.
            apart = f", QEMU {qemu}, {guest}" if titles.count(title) > 1 else ""
            found = known.get((title, qemu, guest))
            yield self._section(f"{title}{apart}{where}", checks, found)
        if rest:
            yield self._section(f"On no VM of the report{where}", rest, None)

    def _section(self, title: str, checks: Sequence[Check], vm: Vm | None) -> Section:
        self._count += 1
        counts = Counter(check.verdict for check in checks)
        tables = [*port_tables(checks), *hotplug_tables(checks)] if vm or len(checks) > 1 else []
        return Section(
            id=f"vm{self._count}",
            title=clean(title),
            verdict=combined(checks),
            counts=tuple((v, counts[v]) for v in Verdict if counts[v]),
            vm=vm,
            log="\n".join(clean(line) for line in vm.log.splitlines()) if vm else "",
            log_file=vm.log_file if vm and LOG_FILE.fullmatch(vm.log_file) else "",
            matrices=tuple(self._matrices(checks)),
            tables=tuple(tables),
            rows=tuple(self._row(check) for check in checks),
            classes=self.names.classes(checks),
        )

    def _row(self, check: Check) -> CheckRow:
        return CheckRow(
            self.target(check), check, clean(check.title).replace("->", "→"), clean(check.detail),
            rate_text(check.rate) if check.rate else "", self.names.classes([check]),
        )  # fmt: skip

    def _matrices(self, checks: Sequence[Check]) -> Iterable[Matrix]:
        of_ports = [check for check in checks if check.port]
        for (case, arch, kinds), group in grouped(
            of_ports, lambda c: (c.case, "" if c.vm else c.arch, "" if c.vm else c.kind)
        ).items():
            rows = []
            for title, line in grouped(group, _row_title).items():
                marks = [self.chip(label, cell) for label, cell in grouped(line, _label).items()]
                rows.append(Row(clean(title), tuple(marks), self.names.classes(line)))
            name = " ".join(part for part in (arch, kinds) if part)
            title = clean(f"{case}: {name}" if name else case)
            yield Matrix(title, tuple(rows), self.names.classes(group))

    def chip(self, label: str, checks: Sequence[Check]) -> Chip:
        """Return the mark of some checks; it leads to the one that says the worst."""
        verdict = combined(checks)
        assert verdict is not None
        worst = next(c for c in checks if c.verdict is verdict)
        count = f"{len(checks)} checks, " if len(checks) > 1 else ""
        return Chip(
            clean(label), verdict, MARKS[verdict], count + _story(worst), self.target(worst),
            self.names.classes(checks),
        )  # fmt: skip

    # -------------------------------------------------------------- what became of what

    def changed(self, found: Sequence[Compared]) -> Iterable[Changed]:
        """Yield checks that one thing became of; those of one VM with the same words as one."""
        groups: dict[tuple[str, ...], list[Compared]] = {}
        for one in found:
            verdict, case, kind, words = _trouble(one.check)
            key = (verdict, case, kind, one.check.vm, one.story, words)
            groups.setdefault(key, []).append(one)
        for (_, case, kind, vm, story, words), group in groups.items():
            checks = [one.check for one in group]
            verdict = checks[0].verdict
            said = _said(checks, words)
            yield Changed(
                verdict=verdict,
                title=clean(" ".join(part for part in (case, kind) if part)),
                story=story,
                words="" if verdict is Verdict.PASS else said,
                vm=clean(vm),
                chips=tuple(self.chip(_short(check), [check]) for check in checks),
                classes=self.names.classes(checks),
            )

    # -------------------------------------------------------------- what is wrong

    def _problems(self, section: Section, verdicts: Sequence[Verdict]) -> Iterable[Problem]:
        bad = [row.check for row in section.rows if row.check.verdict in verdicts]
        for (verdict, case, kind, words), group in grouped(bad, _trouble).items():
            said = _said(group, words)
            yield Problem(
                verdict=verdict,
                title=clean(" ".join(part for part in (case, kind) if part)),
                words=said or "no detail",
                chips=tuple(self.chip(_short(check), [check]) for check in group),
                section=section,
                classes=self.names.classes(group),
            )


def _trouble(check: Check) -> tuple[Verdict, str, str, str]:
    """Return what checks have in common that are told of once: all but the port's name."""
    words = clean(check.detail)
    if check.port:
        # In an id or a path it stands for its like, and in a sentence for itself.
        words = re.sub(rf"(?<=[=./]){re.escape(check.port)}\b", "serialN", words)
        words = re.sub(rf"\b{re.escape(check.port)}\b", "the port", words)
    # A VM is lost, and a run interrupted, in the middle of whatever it was.
    whole = check.verdict is Verdict.LOST or check.detail == NOT_RUN
    case, kind = ("", "") if whole else (check.case, check.kind)
    return check.verdict, case, kind, words


def _said(checks: Sequence[Check], words: str) -> str:
    """Return what checks say: of one port its own words, of several what they have in common."""
    return words if len({check.port for check in checks} - {""}) > 1 else clean(checks[0].detail)


def _short(check: Check) -> str:
    way = {"guest->host": "→ host", "host->guest": "→ guest"}.get(check.direction, "")
    return " ".join(part for part in (check.port or "vm", way, check.mode) if part)


def _story(check: Check) -> str:
    parts = [f"{check.title}: {check.verdict}"]
    if check.bytes:
        parts.append(f"{check.bytes:,} bytes in {check.seconds:.2f} s")
    if check.depth:
        parts.append(f"proven to {check.depth:,} bytes")
    if check.rate:
        parts.append(rate_text(check.rate))
    if check.detail and check.verdict is not Verdict.PASS:
        parts.append(clean(check.detail))
    return ", ".join(parts)


def _row_title(check: Check) -> str:
    # Hot-plug has many steps, and each concerns a port or two: both ways are one mark.
    return check.mode if is_hotplug(check) else f"{_WAYS[check.direction]}, {check.mode}"


def _label(check: Check) -> str:
    if is_hotplug(check) and check.plugged:
        return f"{check.unplugged or '/'} → {check.plugged}"
    name = check.port.removeprefix("serial") or "vm"
    return f"{name} stays" if is_bystander(check) else name
