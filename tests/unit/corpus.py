"""The gathered command lines of tests/data/argv: the files' format, and all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "argv"
SEPARATOR = re.compile(r"^=== (?P<name>\S+) (?P<form>text|words)$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A command line.

    Attributes:
        name: unique within its file.
        text: as shell text; empty if it is a list of words.
        words: the list.
    """

    name: str
    text: str = ""
    words: tuple[str, ...] = ()


def write(path: Path, entries: Iterable[Entry]) -> int:
    """Write a file; return how many command lines it holds.

    Raises:
        ValueError: two have one name, or a text holds a separator.
    """
    parts: list[str] = []
    names: set[str] = set()
    for entry in entries:
        form = "words" if entry.words else "text"
        body = json.dumps(entry.words, ensure_ascii=False) if entry.words else entry.text
        if entry.name in names or SEPARATOR.search(body):
            raise ValueError(f"{path.name}: {entry.name}")
        names.add(entry.name)
        parts.append(f"=== {entry.name} {form}\n{body}\n")
    path.write_text("".join(parts), encoding="utf-8", newline="")
    return len(parts)


def read(path: Path) -> list[Entry]:
    """Read a file, losing no byte of a text."""
    source = path.read_bytes().decode("utf-8")
    found = list(SEPARATOR.finditer(source))
    ends = [match.start() for match in found[1:]] + [len(source)]
    entries = []
    for match, end in zip(found, ends, strict=True):
        body = source[match.end() + 1 : end - 1]
        if match["form"] == "words":
            entries.append(Entry(match["name"], words=tuple(json.loads(body))))
        else:
            entries.append(Entry(match["name"], body))
    return entries


def command_lines() -> list[Entry]:
    """Return all of them, their names with their file's before it."""
    return [
        replace(entry, name=f"{path.stem}/{entry.name}")
        for path in sorted(DATA.glob("*.txt"))
        for entry in read(path)
    ]
