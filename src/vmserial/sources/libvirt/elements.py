"""What a domain's XML is made of: elements that know their bytes; what is put in; edits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from vmserial.model import SourceRef

_NAME = re.compile(rb"[^\s/>=]+")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_TAG = re.compile(rb"""<[^\s/>=]++(?:\s++[^\s=/>]++\s*+=\s*+(?:"[^"]*+"|'[^']*+'))*+\s*+/?>""")
"""A whole start tag; possessive, so that its time is linear."""


@dataclass(frozen=True)
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


@dataclass(eq=False, slots=True)
class Element:
    """One element and its bytes; the places within its tags are worked out for whoever asks.

    Attributes:
        name: as written, with its prefix.
        namespace: what the prefix (or ``xmlns``) stands for; empty for none.
        start: where it begins.
        file, line: where that is for people.
        values: of its attributes, by name, in order.
        raw: the document's bytes.
        parent: None for the root.
        children: elements, in order.
        texts: the pieces of its own text; None for none.
        closed: where its end tag begins; its end where it has but one tag.
    """

    name: str
    namespace: str
    start: int
    file: str
    line: int
    values: dict[str, str]
    raw: bytes = field(repr=False)
    parent: Element | None
    children: list[Element] = field(default_factory=list)
    texts: list[str] | None = None
    closed: int = 0

    def get(self, name: str, default: str = "") -> str:
        """Return an attribute's value."""
        return self.values.get(name, default)

    @property
    def where(self) -> SourceRef:
        """Its file and line."""
        return SourceRef(self.file, self.line)

    @property
    def single(self) -> bool:
        """Tell whether it is one tag, ``<a/>``: before the end of no other one can stand ``/>``."""
        return not self.children and not self.texts and self.raw.endswith(b"/>", 0, self.closed)

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
        return "".join(self.texts).strip() if self.texts else ""

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


@dataclass(frozen=True)
class Node:
    """An element that is to be inserted."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Splice:
    """Bytes ``start`` to ``end`` become ``new``."""

    start: int
    end: int
    new: bytes
