"""Domain XML as a lossless document: elements that know their bytes, and edits as splices.

``Document.parse(raw, file)`` is safe for any bytes: a document type is refused as a whole,
so there are no entities (no billion laughs, no external reference), depth and size are
bounded, and the time is linear in the size.  What no edit touches stays byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import NoReturn
from xml.parsers import expat

from vmserial.errors import ConfigError
from vmserial.lazy import once
from vmserial.records import record
from vmserial.sources.libvirt.elements import Element, Node, Source, Splice

MAX_BYTES = 4 << 20
"""No domain is larger."""

MAX_DEPTH = 64
"""libvirt's own schema nests 10 deep."""

MAX_ELEMENTS = 50_000
"""A domain with 512 devices has some 5,000."""

_ENCODINGS = frozenset({"utf-8", "us-ascii", "ascii", "iso-8859-1", "latin1", "utf8"})
"""Encodings in which markup and our own insertions are ASCII bytes, and that expat knows."""

_DECLARED = re.compile(
    rb"""(?:\xef\xbb\xbf)?<\?xml[ \t\r\n][^>]*?encoding[ \t\r\n]*=[ \t\r\n]*["']([^"']*)"""
)


@record(frozen=True)
class Document:
    """A parsed document.

    Attributes:
        raw: every byte of it.
        file: its name, for messages.
        root: the root element.
    """

    raw: bytes
    file: str
    root: Element = field(repr=False)

    @classmethod
    def parse(cls, raw: bytes, file: str = "domain.xml") -> Document:
        """Read a document.

        Raises:
            ConfigError: it is not well-formed, has a document type, an encoding that is not
                read, or is larger or deeper than any domain.
        """
        return cls(raw, file, _Reader(raw, file).read())

    def edited(self, splices: Iterable[Splice]) -> Document:
        """Return the document with these bytes changed, read again.

        Insertions at one place stay in the order given.

        Raises:
            ValueError: two edits overlap.
            ConfigError: the result is no document.
        """
        pieces: list[bytes] = []
        at = 0
        for splice in sorted(splices, key=lambda s: (s.start, s.end)):
            if splice.start < at:
                raise ValueError("two edits overlap")
            pieces += (self.raw[at : splice.start], splice.new)
            at = splice.end
        pieces.append(self.raw[at:])
        return Document.parse(b"".join(pieces), self.file)

    # -------------------------------------------------------------- edits

    def set(self, element: Element, name: str, value: str) -> Splice:
        """Change an attribute, or add it behind the others."""
        attribute = element.attributes.get(name)
        if attribute is not None:
            quote = self.raw[attribute.value_end : attribute.end].decode("ascii")
            return Splice(attribute.value_start, attribute.value_end, _escaped(value, quote))
        last = max((a.end for a in element.attributes.values()), default=0)
        at = last or element.name_end
        return Splice(at, at, b" %s='%s'" % (name.encode(), _escaped(value, "'")))

    def unset(self, element: Element, name: str) -> list[Splice]:
        """Remove an attribute with the blanks before it, if it is there."""
        attribute = element.attributes.get(name)
        if attribute is None:
            return []
        start = attribute.start
        while self.raw[start - 1 : start].isspace():
            start -= 1
        return [Splice(start, attribute.end, b"")]

    def rename(self, element: Element, name: str) -> list[Splice]:
        """Give an element another name, in both its tags."""
        size = len(element.name.encode())
        found = [Splice(element.start + 1, element.start + 1 + size, name.encode())]
        if not element.single:
            at = element.inside_end + 2
            found.append(Splice(at, at + size, name.encode()))
        return found

    def remove(self, element: Element) -> Splice:
        """Remove an element, with its line where it stands alone on it."""
        start, end = element.start, element.end
        line = self._line_start(start)
        rest = self.raw.find(b"\n", end)
        if rest >= 0 and not self.raw[line:start].strip() and not self.raw[end:rest].strip():
            return Splice(line, rest + 1, b"")
        return Splice(start, end, b"")

    def replace(self, element: Element, *nodes: Node) -> Splice:
        """Put other elements in an element's place, each on a line of its own."""
        indent = self.indent(element)
        lead = b"" if indent is None else self.newline + indent
        text = lead.join(self._text(node, indent) for node in nodes)
        return Splice(element.start, element.end, text)

    def after(self, element: Element, *nodes: Node) -> Splice:
        """Insert elements behind an element, each on a line of its own."""
        indent = self.indent(element)
        lead = b"" if indent is None else self.newline + indent
        return Splice(
            element.end, element.end, b"".join(lead + self._text(node, indent) for node in nodes)
        )

    def before(self, element: Element, *nodes: Node) -> Splice:
        """Insert elements before an element, each on a line of its own."""
        indent = self.indent(element)
        tail = b"" if indent is None else self.newline + indent
        return Splice(
            element.start, element.start, b"".join(self._text(n, indent) + tail for n in nodes)
        )

    def inside(self, parent: Element, *nodes: Node, name: str = "") -> Splice:
        """Insert elements as the last children of an element.

        Args:
            parent: the element.
            nodes: what to insert.
            name: what the element is renamed to by another edit, if it is.
        """
        if parent.children:
            return self.after(parent.children[-1], *nodes)
        outer = self.indent(parent)
        indent = None if outer is None else outer + self.unit
        lead = b"" if indent is None else self.newline + indent
        text = b"".join(lead + self._text(node, indent) for node in nodes)
        tail = b"" if outer is None else self.newline + outer
        if parent.single:
            slash = self.raw.rindex(b"/", parent.start, parent.end)
            while self.raw[slash - 1 : slash].isspace():
                slash -= 1
            close = b"</%s>" % (name or parent.name).encode()
            return Splice(slash, parent.end, b">" + text + tail + close)
        within = self.raw[parent.inside : parent.inside_end]
        if within.strip():
            return Splice(parent.inside_end, parent.inside_end, text.lstrip())
        return Splice(parent.inside, parent.inside_end, text + tail)

    def indent(self, element: Element) -> bytes | None:
        """Return the blanks before an element; None where it does not begin its line."""
        found = self.raw[self._line_start(element.start) : element.start]
        if found.startswith(b"\xef\xbb\xbf"):
            found = found[3:]
        return None if found.strip(b" \t") else found

    @once
    def newline(self) -> bytes:
        """How the file ends its lines."""
        return b"\r\n" if b"\r\n" in self.raw else b"\n"

    @once
    def unit(self) -> bytes:
        """One step of indentation."""
        for child in self.root.children:
            if found := self.indent(child):
                return found
        return b"  "

    def _line_start(self, at: int) -> int:
        return self.raw.rfind(b"\n", 0, at) + 1

    def _text(self, node: Node, indent: bytes | None) -> bytes:
        head = b"<%s%s" % (
            node.name.encode(),
            b"".join(b" %s='%s'" % (k.encode(), _escaped(v, "'")) for k, v in node.attributes),
        )
        if not node.children:
            return head + b"/>"
        inner = None if indent is None else indent + self.unit
        lead = b"" if inner is None else self.newline + inner
        tail = b"" if indent is None else self.newline + indent
        body = b"".join(lead + self._text(child, inner) for child in node.children)
        return head + b">" + body + tail + b"</%s>" % node.name.encode()


def _escaped(value: str, quote: str) -> bytes:
    """Return a value for between these quotes; ASCII only, so right in every encoding."""
    text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = text.replace("'", "&apos;") if quote == "'" else text.replace('"', "&quot;")
    text = re.sub(r"[\t\n\r]", lambda m: f"&#{ord(m[0])};", text)
    return text.encode("ascii", "xmlcharrefreplace")


class _Reader:
    """One reading."""

    def __init__(self, raw: bytes, file: str) -> None:
        self.raw, self.file = raw, file
        self.parser = expat.ParserCreate()
        self.source = Source(raw, file, b"xmlns" not in raw, self.texts)
        self.roots: list[Element] = []

    def read(self) -> Element:
        """Return the root."""
        raw = self.raw
        if len(raw) > MAX_BYTES:
            self.fail(f"the file is larger than {MAX_BYTES >> 20} MiB: it is no domain",
                      "give the domain's XML (`virsh dumpxml --inactive DOM`)", 1)  # fmt: skip
        if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\0" in raw:
            line = 1 if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else _line(raw, raw.index(b"\0"))
            self.fail("the file is UTF-16 or no text at all", "save it as UTF-8", line)
        declared = _DECLARED.match(raw)
        if declared and declared[1].decode("latin-1").lower() not in _ENCODINGS:
            name = declared[1].decode("ascii", "backslashreplace")
            self.fail(f"the encoding {name!r} is not read", "save it as UTF-8", 1)
        parser = self.parser
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartDoctypeDeclHandler = self.refuse_doctype
        parser.StartElementHandler, parser.EndElementHandler = self.takers()
        if not raw.isascii():
            # Python's own decoder is to refuse here what it would refuse of the texts.
            parser.CharacterDataHandler = len
        try:
            parser.Parse(raw, True)
        except expat.ExpatError as error:
            words = expat.ErrorString(error.code)
            self.fail(
                f"this is not well-formed XML: {words} (column {error.offset + 1})",
                "`virt-xml-validate FILE` and `xmllint FILE` say more",
                error.lineno,
            )
        except ValueError:
            # pyexpat on characters that Python's own decoder refuses.
            self.fail("the file holds bytes that are no characters", "save it as UTF-8",
                      parser.CurrentLineNumber)  # fmt: skip
        return self.roots[0]  # expat has found a root, or an error

    def fail(self, message: str, hint: str, line: int) -> NoReturn:
        """Raise the error of a place."""
        raise ConfigError(message, hint=hint, where=f"{self.file}:{line}") from None

    def refuse_doctype(self, *_: object) -> None:
        """Refuse what could declare entities or name another file."""
        self.fail(
            "a document type (<!DOCTYPE …>) is not read: it can declare entities",
            "remove it; libvirt's domains have none",
            self.parser.CurrentLineNumber,
        )

    def takers(self) -> tuple[Callable[[str, dict[str, str]], None], Callable[[str], None]]:
        """Return what takes in a start tag, and an end tag.

        They are called for each element: what they need is at hand, and not an attribute.
        """
        parser, source, roots = self.parser, self.source, self.roots
        depth = count = 0
        parent: Element | None = None

        def started(name: str, values: dict[str, str]) -> None:
            nonlocal parent, depth, count
            if depth >= MAX_DEPTH or count >= MAX_ELEMENTS:
                self.fail("the elements are nested deeper than in any domain, or too many",
                          f"at most {MAX_DEPTH} deep and {MAX_ELEMENTS} in all",
                          parser.CurrentLineNumber)  # fmt: skip
            depth += 1
            count += 1
            element = Element(name, parser.CurrentByteIndex, values, source, parent, [])
            (roots if parent is None else parent.children).append(element)
            parent = element

        def ended(_: str) -> None:
            nonlocal parent, depth
            depth -= 1
            assert parent is not None, "expat has seen its start"
            # Of a single tag expat says where it ends.
            parent.closed = parser.CurrentByteIndex
            parent = parent.parent

        return started, ended

    def texts(self) -> dict[int, str]:
        """Return the text of each element that has any, by where it begins.

        Few elements are asked for theirs, and blanks stand between all of them.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        begun: list[int] = []
        found: dict[int, list[str]] = {}

        def started(_: str, __: dict[str, str]) -> None:
            begun.append(parser.CurrentByteIndex)

        def ended(_: str) -> None:
            begun.pop()

        def said(text: str) -> None:
            found.setdefault(begun[-1], []).append(text)

        parser.StartElementHandler, parser.EndElementHandler = started, ended
        parser.CharacterDataHandler = said
        parser.Parse(self.raw, True)
        return {start: "".join(pieces) for start, pieces in found.items()}


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1
