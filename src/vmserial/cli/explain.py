"""``vmserial explain``: cause and resolution of a finding, an error text or a whole log."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli.options import json_option
from vmserial.cli.output import complain, headline, item, print_json, print_table, say

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vmserial.catalogue import Match, Reading, RuleDoc

_MOST = 5
"""A text that stands in more documents than this means none of them."""


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

    return [id for id in catalogue.ids() if id.startswith(incomplete)]


@click.command(
    "explain",
    cls=_TextCommand,
    epilog="""\b
Examples:
  vmserial explain                               all that is known, a table
  vmserial explain guest-8250-limit              an id that doctor gave
  vmserial explain "speed mismatch"              a part of an error is enough
  vmserial explain "Couldn't register serial port … error -28"
  vmserial explain task.log                      a whole log: each finding once
  dmesg | vmserial explain -                     the same from standard input

Exit code 0: it is known; 1: nothing is known of it.""",
)
@click.argument("words", nargs=-1, metavar="[ID | TEXT | FILE | -]", shell_complete=_ids)
@json_option
def command(words: tuple[str, ...], as_json: bool) -> int:
    """Say cause and resolution of a finding's ID, of an error TEXT, or of a log FILE."""
    from vmserial import catalogue

    if not words:
        _list(as_json)
        return 0
    text = " ".join(words)
    known = catalogue.by_id(text.strip())
    if known:
        return _all([known], as_json)
    reading = _reading(words)
    found: list[Match | RuleDoc] = [*reading.matches]
    if not found and reading.lines == 1:
        some = catalogue.fragment(reading.first)
        found = [*some] if len(some) <= _MOST else []
    return _all(found, as_json) if found else _nothing(reading, as_json, words)


def _reading(words: tuple[str, ...]) -> Reading:
    """Return what is known of a text, a file or standard input.

    Raises:
        UsageError: it is empty, or cannot be read.
    """
    from io import BytesIO

    from vmserial import catalogue
    from vmserial.errors import UsageError

    text = " ".join(words)
    if text == "-":
        reading = catalogue.read(sys.stdin.buffer.read)
    elif len(words) == 1 and _is_file(text):
        complain(f"vmserial: {text} is a file: it is read")
        try:
            with open(text, "rb") as stream:  # noqa: PTH123 - as the user wrote it
                reading = catalogue.read(stream.read)
        except OSError as error:
            raise UsageError(
                f"cannot read {text}: {error.strerror}",
                hint="`vmserial explain - <FILE` reads what your shell may open",
            ) from None
    else:
        reading = catalogue.read(BytesIO(text.encode(errors="surrogatepass")).read)
    if not reading.first:
        raise UsageError(
            "there is nothing to explain: the text is empty",
            hint="give an id, an error text in quotes, a log's name, or - and a log on "
            "standard input",
        )
    return reading


def _is_file(name: str) -> bool:
    """Tell whether this is the name of something that can be read as a log."""
    try:
        return not stat.S_ISDIR(os.stat(name).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def _list(as_json: bool) -> None:
    from vmserial import catalogue

    docs = catalogue.documents()
    if as_json:
        print_json([_json(doc) for doc in docs])
        return
    print_table(("id", "effect", "what"), ((d.id, str(d.effect), d.title) for d in docs))


def _looks_like_a_file(text: str) -> bool:
    """Tell whether a word was meant as the name of a file: a path, or with an ending of logs."""
    return " " not in text and ("/" in text or text.endswith((".log", ".txt", ".out", ".err")))


def _nothing(reading: Reading, as_json: bool, words: tuple[str, ...]) -> int:
    """Say that nothing is known of it, and what is the nearest."""
    from vmserial import catalogue

    if as_json:
        print_json([])
    short = f"{reading.first[:77]}…" if len(reading.first) > 78 else reading.first
    several = reading.lines > 1
    about = f"these {reading.lines} lines" if several else f"{short!r}"
    complain(f"vmserial: nothing is known of {about}")
    if len(words) == 1 and _looks_like_a_file(reading.first):
        complain("  it is not the name of a file that is there, either: check the path")
    near = [] if several else catalogue.nearest(reading.first)
    for doc in near:
        complain(f"  near: {doc.id}: {doc.title}")
    if not near:
        complain("  'vmserial explain' lists all that is known")
    return 1


def _all(found: Sequence[Match | RuleDoc], as_json: bool) -> int:
    """Show what is known."""
    if as_json:
        print_json([_found_json(each) for each in found])
        return 0
    for number, each in enumerate(found):
        if number:
            say()
        _show(each)
    return 0


def _show(found: Match | RuleDoc) -> None:
    from vmserial.catalogue import RuleDoc

    doc = found if isinstance(found, RuleDoc) else found.doc
    headline(doc.id, f": {doc.title} ({doc.effect})")
    if not isinstance(found, RuleDoc):
        more = f"; {found.more} more such lines" if found.more else ""
        item(f"{found.line.strip()} (line {found.number}{more})", "  line: ")
    item(doc.happens, "  what: ")
    item(doc.cause, "  why:  ")
    for number, way in enumerate(doc.resolution):
        item(way, "        " if number else "  do:   ")
    for number, text in enumerate(doc.texts):
        item(f"{text.example} ({text.seen})", "        " if number else "  says: ")
    item(", ".join(doc.who), "  who:  ")
    item(doc.source, "  from: ")
    if doc.see:
        item(", ".join(doc.see), "  near: ")


def _found_json(found: Match | RuleDoc) -> dict[str, Any]:
    from vmserial.catalogue import RuleDoc

    if isinstance(found, RuleDoc):
        return _json(found)
    return {
        **_json(found.doc),
        "line": found.line,
        "number": found.number,
        "more": found.more,
    }


def _json(doc: RuleDoc) -> dict[str, Any]:
    return {
        "id": doc.id,
        "title": doc.title,
        "effect": str(doc.effect),
        "happens": doc.happens,
        "cause": doc.cause,
        "resolution": list(doc.resolution),
        "texts": [{"text": text.example, "seen": text.seen} for text in doc.texts],
        "who": list(doc.who),
        "source": doc.source,
        "see": list(doc.see),
    }
