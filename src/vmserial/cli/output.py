"""Words, tables and JSON on stdout and stderr, safe to show whatever a file had in it.

A terminal gets rich's tables; a pipe or a file gets plain aligned text, for
which rich is not even imported.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, Protocol, TextIO, TypeVar

BOLD = "1"
RED = "1;31"


class OfPorts(Protocol):
    """A finding, a refusal: something about ports."""

    @property
    def ports(self) -> tuple[str, ...]:
        """Their names."""


T = TypeVar("T", bound=OfPorts)
R = TypeVar("R")


def printable(text: str) -> str:
    """Return text that no terminal obeys: control characters are shown, lines are kept."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text
    )


def say(text: str = "", stream: TextIO | None = None) -> None:
    """Print text for people, on stdout if no stream is given."""
    (stream or sys.stdout).write(printable(text) + "\n")


_silent = 0
"""How many pieces of work that say nothing are under way."""


def silently(work: Callable[[], R]) -> R:
    """Do something whose words on stderr somebody else says, or has said."""
    global _silent
    _silent += 1
    try:
        return work()
    finally:
        _silent -= 1


def complain(text: str) -> None:
    """Print text for people on stderr, after what stdout was given before it."""
    if _silent:
        return
    sys.stdout.flush()
    say(text, sys.stderr)


def marked(text: str, style: str) -> str:
    """Return text in a style where stdout is a terminal; for :func:`headline`."""
    return f"\x1b[{style}m{text}\x1b[0m" if sys.stdout.isatty() else text


def headline(text: str, rest: str = "", style: str = BOLD) -> None:
    """Print a line whose first part stands out on a terminal."""
    sys.stdout.write(marked(printable(text), style) + printable(rest) + "\n")


def print_json(data: Any) -> None:
    """Print data as JSON, indented, in ASCII, so that every stream can carry it."""
    sys.stdout.write(json_text(data))


def json_text(data: Any) -> str:
    """Return data as :func:`print_json` writes it."""
    return json.dumps(data, indent=2) + "\n"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with a head; every row has as many cells as ``columns``."""
    shown = [tuple(printable(cell).replace("\n", " ") for cell in row) for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, shown)
        return
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
    for row in (columns, *shown):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )  # fmt: skip
    for column in columns:
        # Names, buses and paths are useless when they are cut: fold them.
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, highlight=False).print(table)


def item(text: str, first: str = "  ") -> None:
    """Print text behind ``first``, on a terminal folded at its width under its beginning."""
    shown = printable(text)
    if sys.stdout.isatty():
        import shutil
        import textwrap

        shown = textwrap.fill(
            shown,
            width=shutil.get_terminal_size().columns,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_on_hyphens=False,
        )
    else:
        shown = first + shown
    sys.stdout.write(shown + "\n")


def print_section(title: str, lines: Sequence[str]) -> None:
    """Print a titled list; nothing at all if it is empty."""
    if lines:
        say()
        headline(title)
        for line in lines:
            item(line.lstrip(), " " * (2 + len(line) - len(line.lstrip())))


def ranges(names: Iterable[str]) -> str:
    """Return port names shortly: ``serial1``, ``serial3-serial9``, or nothing for none.

    Others, such as ``console1`` and ``channel0``, follow as they are.
    """
    found = {name: re.fullmatch(r"serial(\d+)", name) for name in names}
    numbers = sorted({int(match[1]) for match in found.values() if match})
    parts = []
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        first, last = members[0], members[-1]
        parts.append(f"serial{first}" if first == last else f"serial{first}-serial{last}")
    return ", ".join([*parts, *(name for name, match in found.items() if not match)])


def alike(items: Iterable[T], texts: Callable[[T], Sequence[str]]) -> list[list[T]]:
    """Return items in groups whose ``texts`` differ in nothing but the one port's name."""
    groups: dict[tuple[str, ...], list[T]] = {}
    for item in items:
        words = texts(item)
        if len(item.ports) == 1:
            words = [text.replace(item.ports[0], "serialN") for text in words]
        groups.setdefault(tuple(words), []).append(item)
    return list(groups.values())
