"""The article's tables: who sends, who receives, what hot-plugs, how many there may be.

*Send* and *receive* are the guest's view, as in the article: the guest sends
what goes ``guest->host``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    Direction,
    FaultKind,
    Summary,
    Verdict,
    combined,
    data_first,
    grouped,
    is_bystander,
    is_hotplug,
    summary,
)

if TYPE_CHECKING:
    from rich.console import Console

COLLAPSE = 24
"""Rows that are alike but for the port's number are one row in a terminal past so many."""

NONE = "-"
"""A cell about which nothing was checked."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, and the verdict that colours it."""

    text: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title; every row has a cell for each column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def clean(text: str) -> str:
    """Return ``text`` on one line and without control characters, which a terminal would obey."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else f"\\x{ord(char):02x}"
        for char in text
    ).strip()


def verdict_cell(checks: Iterable[Check]) -> Cell:
    """Return what several checks say together: such as ``fail: loss, timeout``.

    A port that passed may be dead one byte later: how far it was proven is in the same words.
    """
    group = list(checks)
    verdict = combined(group)
    if verdict is None:
        return Cell(NONE)
    text = str(verdict)
    depth = max((check.depth for check in group if check.verdict is Verdict.PASS), default=0)
    if verdict is Verdict.PASS and depth:
        text += f": {depth:,} bytes"
    elif verdict is Verdict.FAIL:
        seen = {fault.kind for check in group for fault in check.faults}
        names = ", ".join(kind for kind in FaultKind if kind in seen)
        text += f": {names}" if names else ""
    elif verdict in (Verdict.CANNOT, Verdict.SKIPPED):
        reasons = dict.fromkeys(clean(check.detail) for check in group if check.detail)
        text += f": {'; '.join(reasons)}" if reasons else ""
    return Cell(text, verdict)


def _both_ways(checks: Sequence[Check]) -> tuple[Cell, Cell]:
    """Return the cells for send and receive; a check of no direction is of both."""

    def of(direction: Direction) -> Cell:
        return verdict_cell(c for c in checks if c.direction in (direction, ""))

    return of(GUEST_TO_HOST), of(HOST_TO_GUEST)


def _title(check: Check) -> str:
    where = check.vm or " ".join(part for part in (check.arch, check.machine) if part)
    title = titled(check.case, where)
    return f"{title}, QEMU {check.qemu}" if check.qemu else title


def titled(case: str, where: str) -> str:
    """Return a title of a case on a VM, whose own title may begin with the case."""
    return where if where.startswith(case) else f"{case}: {where}"


def port_tables(checks: Sequence[Check]) -> list[Table]:
    """Return a table a case and VM: guest system | port | kind | send | receive."""
    tables = []
    wanted = [c for c in checks if c.port and not is_hotplug(c)]
    for group in grouped(wanted, _title).values():
        rows = [
            (Cell(clean(guest)), Cell(port), Cell(kind), *_both_ways(mine))
            for (guest, port, kind), mine in grouped(
                data_first(group), lambda c: (c.guest, c.port, c.kind)
            ).items()
        ]
        tables.append(
            Table(
                clean(_title(group[0])),
                ("guest system", "port", "kind", "send", "receive"),
                tuple(rows),
            )
        )
    return tables


def hotplug_tables(checks: Sequence[Check]) -> list[Table]:
    """Return a table a case and VM: guest | unplugged id | plugged id | send | receive."""
    tables = []
    for group in grouped((c for c in checks if is_hotplug(c)), _title).values():
        rows = []
        for (guest, out, plugged, stays), mine in grouped(
            group,
            lambda c: (c.guest, c.unplugged, c.plugged, c.port if is_bystander(c) else ""),
        ).items():
            ids = (f"{stays} stays", f"{stays} stays") if stays else (out or NONE, plugged or NONE)
            rows.append((Cell(clean(guest)), *map(Cell, map(clean, ids)), *_both_ways(mine)))
        tables.append(
            Table(
                clean(_title(group[0])),
                ("guest system", "unplugged id", "plugged id", "send", "receive"),
                tuple(rows),
            )
        )
    return tables


def other_table(checks: Sequence[Check]) -> list[Table]:
    """Return, if there are any, the checks of a VM as a whole."""
    rows = [
        (
            Cell(c.case),
            Cell(c.kind or NONE),
            Cell(str(c.verdict), c.verdict),
            Cell(clean(c.detail)),
        )
        for c in checks
        if not c.port and not is_hotplug(c)
    ]
    if not rows:
        return []
    return [Table("the VM as a whole", ("case", "kind", "verdict", "detail"), tuple(rows))]


def summary_table(checks: Sequence[Check]) -> list[Table]:
    """Return, if there is anything to sum up: kind | ports in one VM | hot-plug | rate."""
    rows = summary(checks)
    if not rows:
        return []
    columns = ("guest system", "kind", "ports in one VM", "hot-plug", "rate", "verdict")
    return [Table("summary", columns, tuple(_summary_row(row) for row in rows))]


def _most(row: Summary) -> str:
    """Return how many ports of the kind one VM has, and of what that is the maximum."""
    if not row.maximum:
        # Where no limit was sought, as many as were proven is all there is to say.
        sought = f"not the most; {row.planned} can be planned" if row.planned else "no limit sought"
        return f"{row.ports} proven, {sought}" if row.ports or row.planned else NONE
    if row.planned > row.maximum:
        return f"{row.maximum} proven, the most that were tried; {row.planned} can be planned"
    # A file of an older vmserial does not tell how many could be planned.
    return f"{row.maximum} proven" + (", the most that can be planned" if row.planned else "")


def _hotplug(row: Summary) -> Cell:
    """Return what hot-plug says; ports that were only beside it did not hot-plug."""
    if row.hotplug is None:
        return Cell("not tried")
    if row.bystander and row.hotplug is Verdict.PASS:
        return Cell("stayed up", row.hotplug)
    return Cell(f"{row.hotplug} beside it" if row.bystander else str(row.hotplug), row.hotplug)


def _summary_row(row: Summary) -> tuple[Cell, ...]:
    rates = [
        f"{word} {rate_text(rate)}"
        for word, rate in (("sends", row.send_rate), ("receives", row.receive_rate))
        if rate
    ]
    if not rates and row.shared_rate:
        # Case large sends nothing long enough to be timed through one port alone.
        rates = [f"sends {rate_text(row.shared_rate)} a port, all at once"]
    return (
        Cell(clean(row.guest)),
        Cell(row.kind),
        Cell(_most(row)),
        _hotplug(row),
        Cell(", ".join(rates) or NONE),
        Cell(str(row.verdict), row.verdict),
    )


def rate_text(rate: float) -> str:
    """Return bytes a second for people, in KiB/s."""
    return f"{rate / 1024:,.0f} KiB/s" if rate >= 10 * 1024 else f"{rate / 1024:.1f} KiB/s"


def tables(checks: Sequence[Check]) -> list[Table]:
    """Return all tables: the ports', the hot-plugs', the VM's, and the summary last."""
    return [
        *port_tables(checks),
        *hotplug_tables(checks),
        *other_table(checks),
        *summary_table(checks),
    ]


def problems(checks: Iterable[Check]) -> list[Cell]:
    """Return what did not pass: a line for each failure, and one for each way a VM was lost.

    What a device cannot carry has its reason in its cell.
    """
    lines: list[Cell] = []
    lost: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        words = clean(check.detail) or "no detail"
        if check.verdict is Verdict.FAIL:
            lines.append(Cell(f"FAIL {_named(check)}: {words}", check.verdict))
        elif check.verdict is Verdict.LOST:
            lost.setdefault((check.vm, words), []).append(check)
    for (vm, words), group in lost.items():
        more = f" and {len(group) - 1} more checks" if len(group) > 1 else ""
        lines.append(
            Cell(f"LOST {_named(group[0])}{more} of {vm or 'the VM'}: {words}", Verdict.LOST)
        )
    return lines


def _named(check: Check) -> str:
    """Return a check's case, kind and title; one of a whole VM may have no case or kind."""
    return " ".join(part for part in (check.case, check.kind, check.title) if part)


# ------------------------------------------------------------------ terminals


def collapsed(table: Table, limit: int = COLLAPSE) -> Table:
    """Return the table with runs of rows that differ in the port only made one row each.

    A table of up to ``limit`` rows is left as it is.
    """
    if "port" not in table.columns or len(table.rows) <= limit:
        return table
    column = table.columns.index("port")
    runs: list[list[tuple[Cell, ...]]] = []
    guests: dict[tuple[Cell, ...], int] = {}
    # They come in the order in which they were tested.
    for row in sorted(
        table.rows,
        key=lambda row: (
            guests.setdefault(row[:column], len(guests)), _natural(row[column].text)
        ),
    ):  # fmt: skip
        alike = runs and (
            row[:column] == runs[-1][0][:column] and row[column + 1 :] == runs[-1][0][column + 1 :]
        )
        if alike:
            runs[-1].append(row)
        else:
            runs.append([row])
    rows = []
    for run in runs:
        first = run[0]
        if len(run) > 2:
            name = f"{first[column].text} … {run[-1][column].text} ({len(run)} ports)"
            rows.append((*first[:column], Cell(name), *first[column + 1 :]))
        else:
            rows += run
    return Table(table.title, table.columns, tuple(rows))


def _natural(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def plain(table: Table) -> str:
    """Return the table as aligned text, its title first, with a newline at its end."""
    lines = [table.columns, *(tuple(cell.text for cell in row) for row in table.rows)]
    widths = [max(width(line[n]) for line in lines) for n in range(len(table.columns))]
    text = [table.title]
    for number, line in enumerate(lines):
        cells = [cell + " " * (widths[n] - width(cell)) for n, cell in enumerate(line)]
        text.append("  " + "  ".join(cells).rstrip())
        if number == 0:
            text.append("  " + "  ".join("-" * size for size in widths))
    return "\n".join(text) + "\n"


def widths(table: Table, room: int) -> list[int] | None:
    """Return columns' widths in which no word is broken; None if there are none in ``room``.

    A word past :data:`LONG` columns, such as a path, may be broken.
    """
    lines = [table.columns, *(tuple(cell.text for cell in row) for row in table.rows)]
    columns = list(zip(*lines, strict=True))
    least = [
        min(LONG, max(width(word) for text in column for word in text.split() or [""]))
        for column in columns
    ]
    most = [max(map(width, column)) for column in columns]
    left = room - sum(least)
    if left < 0:
        return None
    for number in sorted(range(len(columns)), key=lambda n: most[n] - least[n]):
        # Those that need little get it; what is left is the widest one's.
        wider = sum(most[n] > least[n] for n in range(len(columns)))
        share = left // max(wider, 1)
        more = min(most[number] - least[number], share)
        least[number] += more
        most[number] = least[number]
        left -= more
    return least


LONG = 28
"""Columns of a word that may be broken where a line ends."""


STYLES: dict[Verdict | None, str] = {
    None: "",
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.LOST: "bold magenta",
    Verdict.CANNOT: "cyan",
    Verdict.SKIPPED: "yellow",
}


def show(checks: Sequence[Check], stream: TextIO) -> None:
    """Print all tables and problems: in colours on a terminal, as plain text elsewhere."""
    made = [collapsed(table) for table in tables(checks)]
    troubles = problems(checks)
    if not stream.isatty():
        parts = [plain(table) for table in made]
        if troubles:
            parts.append("".join(f"{line.text}\n" for line in troubles))
        stream.write("\n".join(parts))
        return
    from rich.console import Console  # 40 ms that only a terminal pays for
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    for table in made:
        # A column costs its two spaces and a border, and there is one more border.
        found = widths(table, console.width - 3 * len(table.columns) - 1)
        if found is None:
            _show_rows(console, table)
            continue
        rich = RichTable(title=Text(table.title), title_justify="left", title_style="bold")
        for column, size in zip(table.columns, found, strict=True):
            rich.add_column(Text(column), overflow="fold", width=size)
        for row in table.rows:
            rich.add_row(*(Text(cell.text, STYLES[cell.verdict]) for cell in row))
        console.print(rich)
    for line in troubles:
        console.print(Text(line.text, STYLES[line.verdict]))


def _show_rows(console: Console, table: Table) -> None:
    """Print each row as lines of its own: the terminal is too narrow for the columns."""
    from rich.text import Text

    console.print(Text(table.title, "bold"))
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            if cell.text != NONE:
                console.print(Text(f"  {column}: ").append(cell.text, STYLES[cell.verdict]))
        console.print()
