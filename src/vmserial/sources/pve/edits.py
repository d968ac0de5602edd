"""Lines of a PVE configuration's main section, changed one at a time; pure.

Only what stands before the first section header is ever touched: a snapshot,
the pending changes and PVE's special sections stay as they are, byte for byte,
and so do comments, order, line ends and the missing newline at the end.
"""

from __future__ import annotations

import re

from vmserial.sources.pve import Document, Setting

_LINE = re.compile(r"(?P<key>[^:]*:[ \t\r\f\v]*)(?P<value>.*?)(?P<tail>[ \t\r\f\v]*)\Z", re.DOTALL)


def remove(document: Document, key: str) -> Document:
    """Take out every line of the main section that sets ``key``."""
    gone = {setting.line for setting in document.main.settings if setting.key == key}
    lines = [line for number, line in enumerate(document.lines, 1) if number not in gone]
    if gone and document.lines[-1] and len(document.lines) in gone and lines:
        # The last line had no newline; the one before it keeps its own.
        lines.append("")
    return _parsed(document, lines)


def put(document: Document, key: str, value: str) -> Document:
    """Set ``key`` in its line (of several the last, as PVE reads), else in a new one.

    A new line goes to its place in PVE's order, which is the alphabet's.
    """
    present = document.main.values.get(key)
    lines = list(document.lines)
    if present is not None:
        match = _LINE.match(lines[present.line - 1])
        assert match is not None
        lines[present.line - 1] = match["key"] + value + match["tail"]
        return _parsed(document, lines)
    at, unterminated = _place(document, key)
    end = "\r" if any(line.endswith("\r") for line in lines[:1]) else ""
    if unterminated:
        # Behind a line without a newline: that one gets an end, ours goes without.
        lines[at - 1] += end
        end = ""
    lines.insert(at, f"{key}: {value}{end}")
    return _parsed(document, lines)


def _place(document: Document, key: str) -> tuple[int, bool]:
    """Return before which line a new one goes, and whether it ends a file without a newline."""
    settings: tuple[Setting, ...] = document.main.settings
    for setting in settings:
        if setting.key > key:
            return setting.line - 1, False
    said = [s.line for s in settings] + [r.line for r in document.main.remarks]
    at = max(said, default=0)
    return at, at > 0 and at == len(document.lines)


def _parsed(document: Document, lines: list[str]) -> Document:
    return Document.parse("\n".join(lines), document.file)
