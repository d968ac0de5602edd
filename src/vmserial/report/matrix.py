"""The support matrix: machines and kinds by case, each cell that is not green with its reason.

Pure: results and an older matrix's text in, the new text out.  Raw results of older rows need
not be kept: a matrix is read back, and what was run anew takes the place of its old cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vmserial.catalogue import ids
from vmserial.report.table import NONE, clean
from vmserial.verify.results import NOT_RUN, Check, Verdict, combined, grouped
from vmserial.verify.results_file import Recorded

HEAD = """# Support matrix

Made by `scripts/make-support-matrix` from the results of real runs (`make test-full`, `vmserial
verify --out`), not by hand. A cell says what all checks of that case say, and how many ports one
VM was shown to carry in it. maximum+1 is one port more than the planner puts into one VM.
A note says why a cell is not simply green, and of what the planner refuses, by which rule.
"""

OVER = "maximum+1"
"""One port more than the maximum: the case ``refused``, and a check of the case ``maximum``."""

COLUMNS = ("default", "large", "hot-plug", "input", "maximum", OVER)
"""Those that are always shown, in order; further cases come after them."""

_FIXED = ("machine", "QEMU", "guest", "kind")
_REASONS = 3
"""Reasons that one note repeats; the rest is counted."""
_LENGTH = 400
"""Characters of one reason; a lost guest's last words are longer."""
_RULE = re.compile(r"(?:^|(?<=: ))([a-z0-9]+(?:-[a-z0-9]+)+): ")
_MARK = re.compile(r"\[\^(\d+)\]")

Row = tuple[str, str, str, str]
"""Machine, QEMU, guest, kind."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell: what it says, and why where that is not plain."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """What is known, by row and column.

    Attributes:
        rows: a column that is not there was not tried.
        hosts: on which it was measured, in words.
    """

    rows: Mapping[Row, Mapping[str, Entry]] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()


def column(check: Check) -> str:
    """Return the column that a check belongs to."""
    refused = check.case == "refused" or (check.case, check.mode) == ("maximum", "refused")
    return OVER if refused else check.case


def made(runs: Iterable[Recorded]) -> Matrix:
    """Return the matrix of runs; where one was repeated, the one that began last counts.

    A run with a mutant is red by intent, and what an interrupted one did not do says nothing.
    """
    rows: dict[Row, dict[str, Entry]] = {}
    hosts = set()
    for one in sorted(runs, key=lambda run: run.run.started):
        if any(word.split("=")[0] == "--mutant" for word in one.run.call):
            continue
        told = _about(c for c in one.checks if c.kind and c.case and c.detail != NOT_RUN)
        for key, checks in grouped(told, _row).items():
            by_column = grouped(checks, column)
            entries = {name: entry(name, group) for name, group in by_column.items()}
            if "maximum" in entries and OVER not in entries and _skipped(by_column["maximum"]):
                # Not even one is planned: the one that is too much is the first.
                entries[OVER] = entries["maximum"]
            rows.setdefault(key, {}).update(entries)
        if told:
            hosts.add(f"{one.host.cpu}, {one.host.cores} cores")
    return Matrix(rows, frozenset(hosts))


def _about(checks: Iterable[Check]) -> list[Check]:
    """Return checks without those of a serial0 that is only beside the kind that a VM is about."""
    left = []
    for group in grouped(checks, lambda c: (c.case, c.vm)).values():
        kinds = {check.kind for check in group if check.port not in ("", "serial0")}
        left += [c for c in group if c.port != "serial0" or not kinds or c.kind in kinds]
    return left


def _row(check: Check) -> Row:
    return f"{check.arch} {check.machine}", check.qemu, check.guest, check.kind


def _skipped(checks: Sequence[Check]) -> bool:
    return combined(checks) is Verdict.SKIPPED


def entry(name: str, checks: Sequence[Check]) -> Entry:
    """Return the cell of a column for all checks of it."""
    verdict = combined(checks)
    if verdict is None:
        return Entry(NONE)
    if name == OVER and verdict is Verdict.PASS:
        return Entry("refused", _linked(_reasons(checks, Verdict.PASS)))
    why = [kind for kind in Verdict if kind is not Verdict.PASS]
    note = _linked(_reasons(checks, *why))
    if verdict is Verdict.SKIPPED:
        return Entry("not tried" if name == OVER else "not possible", note)
    most = max((c.maximum for c in checks), default=0)
    possible = max((c.planned for c in checks), default=0)
    if most and most < possible:
        note = "; ".join(
            filter(None, (note, f"{most} were tried; the planner goes on to {possible}"))
        )
    ports = most or len({c.port for c in checks if c.port})
    return Entry(f"{verdict} ({ports})" if ports else str(verdict), note)


def _reasons(checks: Iterable[Check], *verdicts: Verdict) -> str:
    """Return why checks have such a verdict; what differs in the port's number only is one."""
    found: dict[str, tuple[str, int]] = {}
    for check in checks:
        if check.verdict not in verdicts:
            continue
        words = clean(check.detail) or f"{check.title}: no reason was given"
        faults = ", ".join(dict.fromkeys(fault.kind for fault in check.faults))
        if check.verdict in (Verdict.FAIL, Verdict.LOST):
            words = f"{check.verdict}{f' ({faults})' if faults else ''}: {words}"
        if len(words) > _LENGTH:
            words = words[:_LENGTH].rstrip() + "…"
        alike = re.sub(r"\d+", "N", words)
        first, count = found.get(alike, (words, 0))
        found[alike] = first, count + 1
    texts = [
        first + (f" (and {count - 1} more alike)" if count > 1 else "")
        for first, count in found.values()
    ]
    if len(texts) > _REASONS:
        texts[_REASONS:] = [f"and {len(texts) - _REASONS} more"]
    return "; ".join(texts)


def _linked(text: str) -> str:
    """Return a note with a link to the text of each rule named in it: there is its source."""
    known = ids()

    def link(match: re.Match[str]) -> str:
        name = match[1]
        return f"[{name}](findings.md#{name}): " if name in known else match[0]

    return _RULE.sub(link, text)


def merged(older: Matrix, newer: Matrix) -> Matrix:
    """Return both, where each cell that was run anew is the newer one's."""
    rows = {key: dict(cells) for key, cells in older.rows.items()}
    for key, cells in newer.rows.items():
        rows.setdefault(key, {}).update(cells)
    return Matrix(rows, older.hosts | newer.hosts)


def text(matrix: Matrix) -> str:
    """Return the whole document."""
    seen = {name for cells in matrix.rows.values() for name in cells}
    columns = (*COLUMNS, *sorted(seen - set(COLUMNS)))
    notes: dict[str, int] = {}
    lines = [HEAD, f"| {' | '.join((*_FIXED, *columns))} |", "|" + "---|" * (4 + len(columns))]
    for key in sorted(matrix.rows):
        cells = [matrix.rows[key].get(name, Entry(NONE)) for name in columns]
        words = [
            cell.text + (f"[^{notes.setdefault(cell.note, len(notes) + 1)}]" if cell.note else "")
            for cell in cells
        ]
        lines.append(f"| {' | '.join((*key, *words))} |")
    if matrix.hosts:
        lines += ["", f"Measured on: {'; '.join(sorted(matrix.hosts))}."]
    if notes:
        lines += ["", *(f"[^{number}]: {note}" for note, number in notes.items())]
    return "\n".join(lines) + "\n"


def read(document: str) -> Matrix:
    """Return the matrix that :func:`text` wrote, or an older form of it without notes.

    Raises:
        ValueError: a row has not as many cells as the heading, or a note is missing.
    """
    notes = dict(re.findall(r"^\[\^(\d+)\]: (.*)$", document, re.MULTILINE))
    columns: list[str] = []
    rows: dict[Row, dict[str, Entry]] = {}
    for number, line in enumerate(document.splitlines(), 1):
        if not line.startswith("| "):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not columns:
            columns = cells
            continue
        if len(cells) != len(columns) or tuple(columns[:4]) != _FIXED:
            raise ValueError(f"line {number} is not a row of a support matrix")
        machine, qemu, guest, kind = cells[:4]
        found = rows.setdefault((machine, qemu, guest, kind), {})
        for name, cell in zip(columns[4:], cells[4:], strict=True):
            mark = _MARK.search(cell)
            if mark and mark[1] not in notes:
                raise ValueError(f"line {number}: there is no note {mark[1]}")
            if cell != NONE:
                note = notes[mark[1]] if mark else ""
                found[name] = Entry(_MARK.sub("", cell).strip(), note)
    hosts = re.search(r"^Measured on: (.*)\.$", document, re.MULTILINE)
    return Matrix(rows, frozenset(hosts[1].split("; ")) if hosts else frozenset())
