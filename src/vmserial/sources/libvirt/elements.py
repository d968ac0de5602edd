"""What a domain's XML is made of: elements that know their bytes; what is put in; edits."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from vmserial.lazy import once
from vmserial.model import SourceRef
from vmserial.records import record

_NAME = re.compile(rb"[^\s/>=]+")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_BREAK = re.compile(rb"\r\n?|\n")
_MORE = re.compile(rb"[<&\r]")
"""What a text is not written with that stands there as it is."""

_TAG = re.compile(rb"""<[^\s/>=]++(?:\s++[^\s=/>]++\s*+=\s*+(?:"[^"]*+"|'[^']*+'))*+\s*+/?>""")
"""A whole start tag; possessive, so that its time is linear."""


@record(frozen=True)
class Attribute:
    """One attribute: its value as text, and the bytes of its value and of the whole."""

    name: str
    value: str
    start: int
    value_start: int
    value_end: int

    @property
    def end(self) -> int:
        """Where the closing quote ends."""
        return self.value_end + 1


@dataclass(eq=False)
class Source:
    """What the elements of a document share.

    Attributes:
        raw: every byte of it.
        file: its name, for people.
        plain: no namespace is declared.
        said: reads the text of each element that has any, by where it begins.
    """

    raw: bytes
    file: str
    plain: bool
    said: Callable[[], Mapping[int, str]]

    @once
    def texts(self) -> Mapping[int, str]:
        """The elements' own texts, by where they begin."""
        return self.said()

    @once
    def breaks(self) -> list[int]:
        """Where its lines end, as expat counts them."""
        return [match.end() for match in _BREAK.finditer(self.raw)]


@dataclass(eq=False, slots=True)
class Element:
    """One element and its bytes; what few ask for is worked out for whoever asks.

    Attributes:
        name: as written, with its prefix.
        start: where it begins.
        values: of its attributes, by name, in order.
        source: the document.
        parent: None for the root.
        children: elements, in order.
        closed: where its end tag begins; its end where it has but one tag.
    """

    name: str
    start: int
    values: dict[str, str]
    source: Source = field(repr=False)
    parent: Element | None = field(repr=False)
    children: list[Element] = field(default_factory=list)
    closed: int = 0

    def get(self, name: str, default: str = "") -> str:
        """Return an attribute's value."""
        return self.values.get(name, default)

    @property
    def raw(self) -> bytes:
        """The document's bytes."""
        return self.source.raw

    @property
    def line(self) -> int:
        """Where it begins, for people."""
        return bisect_right(self.source.breaks, self.start) + 1

    @property
    def where(self) -> SourceRef:
        """Its file and line."""
        return SourceRef(self.source.file, self.line)

    @property
    def namespace(self) -> str:
        """What its prefix (or ``xmlns``) stands for; empty for none."""
        if self.source.plain:
            return ""
        prefix = self.name.rpartition(":")[0]
        key = f"xmlns:{prefix}" if prefix or ":" in self.name else "xmlns"
        at: Element | None = self
        while at is not None:
            if key in at.values:
                return at.values[key]
            at = at.parent
        return ""

    @property
    def single(self) -> bool:
        """Tell whether it is one tag, ``<a/>``."""
        return not self.children and self.raw.endswith(b"/>", 0, self.inside)

    @property
    def inside(self) -> int:
        """Where what is between its tags begins; its end where it has one tag."""
        tag = _TAG.match(self.raw, self.start)
        assert tag is not None, "expat has seen the whole tag"
        return tag.end()

    @property
    def inside_end(self) -> int:
        """Where what is between its tags ends; its end where it has one tag."""
        return self.closed

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.closed if self.single else self.raw.index(b">", self.closed) + 1

    @property
    def name_end(self) -> int:
        """Where its name ends in the start tag."""
        match = _NAME.match(self.raw, self.start + 1)
        return match.end() if match else self.start + 1

    @property
    def attributes(self) -> dict[str, Attribute]:
        """Its attributes by name, with their places."""
        found: dict[str, Attribute] = {}
        at = self.name_end
        for name, value in self.values.items():
            match = _ATTRIBUTE.match(self.raw, at)
            assert match is not None, "expat has seen the whole tag"
            which = 2 if match.start(2) >= 0 else 3
            found[name] = Attribute(
                name, value, match.start(1), match.start(which), match.end(which)
            )
            at = match.end()
        return found

    @property
    def text(self) -> str:
        """Its own text without surrounding blanks."""
        inner = self.raw[self.inside : self.closed]
        if self.children or not inner.isascii() or _MORE.search(inner):
            return self.source.texts.get(self.start, "").strip()
        return inner.decode("ascii").strip()

    def child(self, name: str) -> Element | None:
        """Return the first child of that name."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def named(self, name: str) -> list[Element]:
        """Return the children of that name."""
        return [c for c in self.children if c.name == name]

    def walk(self) -> Iterator[Element]:
        """Yield it and everything below, in the document's order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)


@record(frozen=True)
class Node:
    """An element that is to be inserted."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = ()


@record(frozen=True)
class Splice:
    """Bytes ``start`` to ``end`` become ``new``."""

    start: int
    end: int
    new: bytes
