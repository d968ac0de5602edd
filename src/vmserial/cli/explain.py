"""``vmserial explain``: cause and way out of a finding, an error text or a whole log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli.options import json_option
from vmserial.cli.output import complain, headline, item, print_json, print_table, say

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vmserial.catalogue import Entry, Match

_MOST = 5
"""A text that stands in more entries than this means none of them."""


class _TextCommand(click.Command):
    """Takes words that begin with a dash as text: QEMU's errors do (``-device isa-serial: …``)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put a ``--`` before the text."""
        options = [word for word in args if word in _OPTIONS or _mistyped(word)]
        text = [word for word in args if word not in options and word != "--"]
        return super().parse_args(ctx, [*options, "--", *text])


_OPTIONS = ("--json", "--help", "-h")


def _mistyped(word: str) -> bool:
    return word.startswith("--") and word != "--" and " " not in word


def _ids(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    del ctx, parameter
    from vmserial import catalogue

    return [entry.id for entry in catalogue.ENTRIES if entry.id.startswith(incomplete)]


@click.command(
    "explain",
    cls=_TextCommand,
    epilog="""\b
Examples:
  vmserial explain                               all that is known, a table
  vmserial explain guest-8250-limit              an id that doctor gave
  vmserial explain "speed mismatch"              a part of an error is enough
  vmserial explain "Couldn't register serial port … error -28"
  vmserial explain - <qemu.log                   a whole log, a dmesg: each finding once

Exit code 0: it is known; 1: nothing is known of it.""",
)
@click.argument("words", nargs=-1, metavar="[ID | TEXT | -]", shell_complete=_ids)
@json_option
def command(words: tuple[str, ...], as_json: bool) -> int:
    """Say cause and way out of a finding's ID, or of an error TEXT of QEMU or the guest."""
    from vmserial import catalogue

    if not words:
        _list(as_json)
        return 0
    text = _text(words)
    known = catalogue.by_id(text.strip())
    found: list[Match | Entry] = [known] if known else [*catalogue.matches(text)]
    if not found and "\n" not in text.strip():
        some = catalogue.fragment(text)
        found = [*some] if len(some) <= _MOST else []
    if as_json:
        print_json([_found_json(each) for each in found])
    if not found:
        return _nothing(text)
    if not as_json:
        for number, each in enumerate(found):
            if number:
                say()
            _show(each)
    return 0


def _text(words: tuple[str, ...]) -> str:
    """Return what is to be explained.

    Raises:
        UsageError: it is empty.
    """
    from vmserial.errors import UsageError

    text = " ".join(words)
    if text == "-":
        text = sys.stdin.buffer.read().decode(errors="replace").replace("\r\n", "\n")
    if not text.strip():
        raise UsageError(
            "there is nothing to explain: the text is empty",
            hint="give an id, an error text in quotes, or - and a log on standard input",
        )
    return text


def _list(as_json: bool) -> None:
    from vmserial import catalogue

    entries = sorted(catalogue.ENTRIES, key=lambda entry: entry.id)
    if as_json:
        print_json([_json(entry) for entry in entries])
        return
    print_table(
        ("id", "effect", "what"), ((e.id, str(e.effect), e.title) for e in entries)
    )  # fmt: skip


def _nothing(text: str) -> int:
    """Say that nothing is known of it, and what is the nearest."""
    from vmserial import catalogue

    short = text.strip().partition("\n")[0]
    short = f"{short[:77]}…" if len(short) > 78 else short
    several = "\n" in text.strip()
    about = f"these {len(text.splitlines())} lines" if several else f"{short!r}"
    complain(f"vmserial: nothing is known of {about}")
    near = [] if several else catalogue.nearest(text)
    for entry in near:
        complain(f"  near: {entry.id}: {entry.title}")
    if not near:
        complain("  'vmserial explain' lists all that is known")
    return 1


def _show(found: Match | Entry) -> None:
    from vmserial.catalogue import Entry

    entry = found if isinstance(found, Entry) else found.entry
    headline(entry.id, f": {entry.title} ({entry.effect})")
    if not isinstance(found, Entry):
        more = f"; {found.more} more such lines" if found.more else ""
        item(f"{found.line.strip()} (line {found.number}{more})", "  line: ")
    item(entry.happens, "  what: ")
    item(entry.cause, "  why:  ")
    for number, way in enumerate(entry.way_out):
        item(way, "        " if number else "  do:   ")
    for number, text in enumerate(entry.texts):
        item(f"{text.example} ({text.seen})", "        " if number else "  says: ")
    item(", ".join(entry.who), "  who:  ")
    item(entry.source, "  from: ")
    if entry.see:
        item(", ".join(entry.see), "  near: ")


def _found_json(found: Match | Entry) -> dict[str, Any]:
    from vmserial.catalogue import Entry

    if isinstance(found, Entry):
        return _json(found)
    return {
        **_json(found.entry),
        "line": found.line,
        "number": found.number,
        "more": found.more,
    }


def _json(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "title": entry.title,
        "effect": str(entry.effect),
        "happens": entry.happens,
        "cause": entry.cause,
        "way_out": list(entry.way_out),
        "texts": [{"text": text.example, "seen": text.seen} for text in entry.texts],
        "who": list(entry.who),
        "source": entry.source,
        "see": list(entry.see),
    }
