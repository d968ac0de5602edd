"""What a domain's XML is made of: elements that know their bytes; what is put in; edits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vmserial.model import SourceRef


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


@dataclass(eq=False)
class Element:
    """One element and its bytes.

    Attributes:
        name: as written, with its prefix.
        namespace: what the prefix (or ``xmlns``) stands for; empty for none.
        start, end: of the whole element.
        inside, inside_end: of what is between its tags; both ``end`` where it has one tag.
        where: file and line.
        attributes: by name.
        children: elements, in order.
        parent: None for the root.
        texts: the pieces of its own text.
    """

    name: str
    namespace: str
    start: int
    inside: int
    where: SourceRef
    attributes: dict[str, Attribute]
    parent: Element | None
    single: bool
    end: int = 0
    inside_end: int = 0
    children: list[Element] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """Return an attribute's value."""
        attribute = self.attributes.get(name)
        return attribute.value if attribute else default

    @property
    def text(self) -> str:
        """Its own text without surrounding blanks."""
        return "".join(self.texts).strip()

    def child(self, name: str) -> Element | None:
        """Return the first child of that name."""
        return next((c for c in self.children if c.name == name), None)

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
