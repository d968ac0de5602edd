"""A document of the catalogue: what it says, and how it is read from its file.

Each is a Markdown file of its own, ``rules/<group>/<id with _ for ->.md``::

    # isa-irq: an interrupt that the ISA bus does not have

    effect: does not start
    who: libvirt, QEMU
    see: isa-limit
    rank: last

    ## What happens

    QEMU aborts with a failed assertion.

    ## Cause

    ISA has the interrupts 0 to 15, and isa-serial does not check its irq.

    ## Resolution

    - leave irq away, or give 0 to 15
    - PVE: what is for PVE alone

    ## Texts

    - `Assertion <irqnum> failed` (QEMU 5.2, 7.2)

    ## Source

    run with QEMU 5.2 and 7.2

``effect`` is an :class:`Effect`.  ``who`` (all, if it is left out), ``see`` (ids) and
``rank`` need not be there, nor do the texts; all else must, in this order.  A paragraph
or an item may go on in the next line; an item's further lines are indented by two
blanks.  A text stands in one line, in one or two backquotes, with who prints it in
parentheses; the exact words, and in ``<>`` an example of what differs.  What the reader
does not expect is an error with its place, so that no word of a document is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmserial.errors import VmserialError

EVERYBODY = ("PVE", "libvirt", "QEMU")
"""``QEMU``: who writes its command line themselves."""

_BLANK = re.compile(r"<([^>]*)>")
_TITLE = re.compile(r"# ([a-z0-9]+(?:-[a-z0-9]+)*): (.+)")
_TEXT = re.compile(r"(?:`` (?P<two>.+) ``|`(?P<one>[^`]+)`) \((?P<seen>.+)\)")
_SECTIONS = ("What happens", "Cause", "Resolution", "Texts", "Source")
_KEYS = ("effect", "who", "see", "rank")
_LEAST = 3
"""Fewer characters before the first blank stand in too many lines to look at each."""


class DocumentError(VmserialError):
    """A document is not in the form of documents; ``where`` is its file and line."""


class Effect(StrEnum):
    """What it does to the VM, the worst first."""

    FAILS = "does not start"
    DEAD = "dead port"
    LOSES = "loses data"
    REFUSED = "refused while it runs"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class Text:
    """Words that QEMU, the guest's kernel or a tool prints.

    Attributes:
        words: the exact words; what differs from case to case stands in ``<>``
            as an example.
        seen: who prints it, in which versions.
    """

    words: str
    seen: str

    @property
    def example(self) -> str:
        """Return the words as somebody would see them."""
        return _BLANK.sub(r"\1", self.words)

    @property
    def literals(self) -> tuple[str, ...]:
        """Return what is always the same: the words between the blanks."""
        return tuple(_BLANK.split(self.words)[::2])


@dataclass(frozen=True, slots=True)
class RuleDoc:
    """One thing that goes wrong with serial ports.

    Attributes:
        id: stable; the one that ``doctor`` and ``plan --json`` give.
        title: one line.
        effect: what it does to the VM.
        happens: what the user sees.
        cause: why.
        resolution: what to do, the first for everybody; others begin with ``PVE:``,
            ``libvirt:`` or ``QEMU:`` where they are for those alone.
        source: how it is known.
        texts: by which words it is recognized; none where all are silent.
        who: who meets it.
        see: ids of what is near to it.
        last: its texts fit much, so they speak only for a line that nothing else knows.
    """

    id: str
    title: str
    effect: Effect
    happens: str
    cause: str
    resolution: tuple[str, ...]
    source: str
    texts: tuple[Text, ...] = ()
    who: tuple[str, ...] = EVERYBODY
    see: tuple[str, ...] = ()
    last: bool = False


def parse(content: str, file: str) -> RuleDoc:
    """Read a document.

    Args:
        content: the file's.
        file: its name, for errors.

    Raises:
        DocumentError: it is not in the form of documents.
    """
    return _Reader(content, file).document()


class _Reader:
    """Goes through a document once."""

    def __init__(self, content: str, file: str) -> None:
        self._lines = content.split("\n")
        self._file = file
        self._at = 0

    def document(self) -> RuleDoc:
        title = _TITLE.fullmatch(self._lines[0])
        if not title:
            raise self._wrong("the first line is '# ID: what it is'", 1)
        self._at = 1
        keys = dict(self._keys())
        if "effect" not in keys:
            raise self._wrong("there is no line 'effect: …'", 1)
        sections = dict(self._sections())
        for name in _SECTIONS:
            if name not in sections and name != "Texts":
                raise self._wrong(f"there is no section '## {name}'", len(self._lines))
        (effect, where), rank = keys["effect"], keys.get("rank", ("", 0))
        if effect not in set(Effect):
            raise self._wrong(f"the effect is one of {', '.join(Effect)}", where)
        if rank[0] not in {"", "last"}:
            raise self._wrong("the only rank is 'last'", rank[1])
        return RuleDoc(
            id=title[1],
            title=title[2],
            effect=Effect(effect),
            happens=self._paragraph(sections["What happens"]),
            cause=self._paragraph(sections["Cause"]),
            resolution=tuple(text for text, _ in self._items(sections["Resolution"])),
            source=self._paragraph(sections["Source"]),
            texts=tuple(self._texts(sections["Texts"])) if "Texts" in sections else (),
            who=_listed(keys["who"][0]) if "who" in keys else EVERYBODY,
            see=_listed(keys["see"][0]) if "see" in keys else (),
            last=bool(rank[0]),
        )

    def _keys(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yield each key with its value and line, up to the first section."""
        seen: set[str] = set()
        while self._at < len(self._lines) and not self._lines[self._at].startswith("## "):
            line = self._lines[self._at]
            self._at += 1
            if not line:
                continue
            key, colon, value = line.partition(": ")
            if key not in _KEYS or not colon or not value.strip():
                raise self._wrong(f"before the sections stand {', '.join(_KEYS)}", self._at)
            if key in seen:
                raise self._wrong(f"{key!r} is there twice", self._at)
            seen.add(key)
            yield key, (value, self._at)

    def _sections(self) -> Iterator[tuple[str, list[tuple[str, int]]]]:
        """Yield each section's name and its lines, which are not empty, with their numbers."""
        names = iter(_SECTIONS)
        while self._at < len(self._lines):
            name = self._lines[self._at].removeprefix("## ")
            self._at += 1
            if name not in names:  # takes those before it as well: they stand in order
                raise self._wrong(f"the sections are {', '.join(_SECTIONS)}, in order", self._at)
            begin = self._at + 1
            body: list[tuple[str, int]] = []
            while self._at < len(self._lines) and not self._lines[self._at].startswith("## "):
                body.append((self._lines[self._at], self._at + 1))
                self._at += 1
            filled = [(line, number) for line, number in body if line]
            if not filled:
                raise self._wrong(f"the section '## {name}' is empty", begin - 1)
            yield name, filled

    def _paragraph(self, lines: Sequence[tuple[str, int]]) -> str:
        for line, number in lines:
            if line != line.strip() or line.startswith(("- ", "#")):
                raise self._wrong("this section is one paragraph", number)
        return " ".join(line for line, _ in lines)

    def _items(self, lines: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        items: list[tuple[str, int]] = []
        for line, number in lines:
            if line.startswith("- ") and line[2:].strip():
                items.append((line[2:], number))
            elif line.startswith("  ") and line[2:3] not in {"", " "} and items:
                items[-1] = (f"{items[-1][0]} {line[2:]}", items[-1][1])
            else:
                raise self._wrong(
                    "this section has items '- …'; the further lines of one are indented by two",
                    number,
                )
        return items

    def _texts(self, lines: Sequence[tuple[str, int]]) -> Iterator[Text]:
        for item, number in self._items(lines):
            found = _TEXT.fullmatch(item)
            if not found:
                raise self._wrong("a text is '- `words` (who prints them)'", number)
            text = Text(found["two"] or found["one"], found["seen"])
            if len(text.literals[0]) < _LEAST:
                raise self._wrong(f"a text begins with at least {_LEAST} sure characters", number)
            yield text

    def _wrong(self, message: str, line: int) -> DocumentError:
        return DocumentError(
            message, where=f"{self._file}:{line}", hint="catalogue/document.py shows the form"
        )


def _listed(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(","))
