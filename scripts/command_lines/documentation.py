"""The examples of QEMU's own documentation, as Debian's qemu-system-common carries it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from corpus import Entry

ROOT = Path("/usr/share/doc/qemu-system-common")
_BLOCK = re.compile(r"<pre[^>]*>(.*?)</pre>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_STARTS = re.compile(r"(?:\A|[\s/])qemu-system-[a-z0-9_]+\s")


def entries() -> Iterator[Entry]:
    """Yield each example of a page that starts a system emulator, once."""
    seen: set[str] = set()
    for page in sorted((ROOT / "system").rglob("*.html")):
        name = page.relative_to(ROOT / "system").with_suffix("").as_posix()
        number = 0
        for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            for text in commands(html.unescape(_TAG.sub("", block))):
                if text not in seen:
                    seen.add(text)
                    number += 1
                    yield Entry(f"{name}-{number}", text)


def commands(block: str) -> Iterator[str]:
    """Yield the commands of a block: a line that starts QEMU, and those that go on with it."""
    lines = block.split("\n")
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        # A "#" prompt would make a comment of it; "$" and sudo stay as people paste them.
        bare = re.sub(r"^\s*(?:#\s+)?", "", line)
        if not _STARTS.search(f"{bare} ") or bare.startswith(("(", "|", "--")):
            continue
        found = [bare]
        while index < len(lines) and (
            found[-1].rstrip().endswith("\\")
            or lines[index].lstrip().startswith("-")
            or "\n".join(found).count('"') % 2
            or "\n".join(found).count("'") % 2
        ):
            found.append(lines[index])
            index += 1
        yield "\n".join(found)
