"""Tables for people and JSON for programs, on stdout.

A terminal gets rich's tables; a pipe or a file gets plain aligned text, for
which rich is not even imported.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import click


def print_json(data: Any) -> None:
    """Print data as JSON, readable and ending with a newline."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with a head; every row has as many cells as ``columns``."""
    rows = [tuple(row) for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, rows)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        # Names, buses and paths are useless when they are cut: fold them.
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, highlight=False).print(table)


def print_section(title: str, lines: Sequence[str]) -> None:
    """Print a titled list; nothing at all if it is empty."""
    if lines:
        click.echo(f"\n{click.style(title, bold=True)}")
        for line in lines:
            click.echo(f"  {line}")


def ranges(names: Iterable[str]) -> str:
    """Return port names shortly: ``serial1``, ``serial3-serial9``, or nothing for none."""
    numbers = sorted({int(m[1]) for name in names if (m := re.fullmatch(r"serial(\d+)", name))})
    parts = []
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        first, last = members[0], members[-1]
        parts.append(f"serial{first}" if first == last else f"serial{first}-serial{last}")
    return ", ".join(parts)
