"""Domain XML: every byte kept, every edit where it belongs, and no text that harms."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial.errors import ConfigError
from vmserial.sources.libvirt import Document, Domain, Element, Node, Splice, machine

DATA = Path(__file__).parents[1] / "data" / "libvirt"
FILES = sorted(DATA.glob("*.xml"))
ODD = b"""\xef\xbb\xbf<?xml version="1.0"?>\r
<!-- kept <a> -->\r
<domain type = "qemu"\txmlns:qemu='u' >\r
\t<name>\xc3\xa9&amp;</name  >\r
\t<devices\r
\t  x='&lt;'><a/><b></b><![CDATA[<no/>]]><c\t/></devices>\r
</domain>\r
<?pi ?>\r
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_changed_by_reading(path: Path) -> None:
    document = Document.parse(path.read_bytes())
    assert document.edited([]).raw == path.read_bytes()
    for element in document.root.walk():
        raw = document.raw[element.start : element.end]
        assert raw.startswith(b"<" + element.name.encode())
        assert raw.endswith(b">")
        assert element.where.line == document.raw.count(b"\n", 0, element.start) + 1


def test_places_of_an_odd_document() -> None:
    document = Document.parse(ODD)
    names = {e.name: document.raw[e.start : e.end] for e in document.root.walk()}
    assert names["a"] == b"<a/>"
    assert names["b"] == b"<b></b>"
    assert names["c"] == b"<c\t/>"
    assert names["name"] == b"<name>\xc3\xa9&amp;</name  >"
    assert document.root.child("name").text == "é&"  # type: ignore[union-attr]
    assert document.root.child("devices").get("x") == "<"  # type: ignore[union-attr]


Shape = tuple[str, list["Shape"] | None]
"""Bytes of an element, and the shapes of what is in it; None where it is a single tag."""

_BETWEEN = ["/>", " ", "<!-- /-->", "<?p /?>", "<![CDATA[/>]]>", "<![CDATA[]]>", "é", "&lt;"]


def _element(name: str, attribute: str, blank: str, inside: list[Shape | str] | None) -> Shape:
    if inside is None:
        return f"<{name}{attribute}{blank}/>", None
    text = "".join(part if isinstance(part, str) else part[0] for part in inside)
    return f"<{name}{attribute}>{text}</{name}{blank}>", [p for p in inside if type(p) is tuple]


def _elements(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    return st.builds(
        _element, st.sampled_from("ab"), st.sampled_from(["", " x='/>'", "\n y=\">\""]),
        st.sampled_from(["", " "]),
        st.none() | st.lists(inner | st.sampled_from(_BETWEEN), max_size=4),
    )  # fmt: skip


@given(st.recursive(_elements(st.nothing()), _elements, max_leaves=12))
def test_places_within_any_element(shape: Shape) -> None:
    def check(element: Element, shape: Shape) -> None:
        text, inside = shape
        assert raw[element.start : element.end] == text.encode()
        assert element.single == (inside is None)
        if inside is None:
            assert element.inside == element.inside_end == element.end
        else:
            assert raw[element.inside - 1 : element.inside] == b">"
            assert raw[element.inside_end :].startswith(b"</" + element.name.encode())
            for child, its in zip(element.children, inside, strict=True):
                check(child, its)

    raw = shape[0].encode()
    check(Document.parse(raw).root, shape)


def test_latin_1_keeps_its_bytes_and_gets_no_others() -> None:
    raw = b"<?xml version='1.0' encoding='iso-8859-1'?>\n<a>\n  <b c='\xe9'/>\n</a>\n"
    document = Document.parse(raw)
    inner = document.root.children[0]
    assert inner.get("c") == "é"
    edited = document.edited([document.set(inner, "d", "€é"), document.inside(inner, Node("e"))])
    assert edited.root.children[0].get("d") == "€é"
    assert b"c='\xe9' d='&#8364;&#233;'>\n    <e/>\n  </b>\n</a>\n" in edited.raw


def _of(raw: bytes) -> tuple[Document, Element]:
    document = Document.parse(raw)
    return document, document.root


@pytest.mark.parametrize(
    ("raw", "edit", "result"),
    [
        (b"<a/>", lambda d, r: [d.set(r, "b", "'<&>\n")], b"<a b='&apos;&lt;&amp;&gt;&#10;'/>"),
        (b'<a b="1" c="2"/>', lambda d, r: [d.set(r, "b", "'\"")], b'<a b="\'&quot;" c="2"/>'),
        (b"<a b='1'  c='2'/>", lambda d, r: d.unset(r, "c"), b"<a b='1'/>"),
        (b"<a/>", lambda d, r: d.unset(r, "c"), b"<a/>"),
        (b"<a></a>", lambda d, r: d.rename(r, "bc"), b"<bc></bc>"),
        (b"<a/>", lambda d, r: [*d.rename(r, "b"), d.inside(r, Node("c"), name="b")],
         b"<b>\n  <c/>\n</b>"),
        (b"<a>\n <b/>\n <c/>\n</a>", lambda d, r: [d.remove(r.children[0])], b"<a>\n <c/>\n</a>"),
        (b"<a><b/><c/></a>", lambda d, r: [d.remove(r.children[0])], b"<a><c/></a>"),
        (b"<a>\r\n\t<b/>\r\n</a>", lambda d, r: [d.inside(r, Node("c", (), (Node("d"),)))],
         b"<a>\r\n\t<b/>\r\n\t<c>\r\n\t\t<d/>\r\n\t</c>\r\n</a>"),
        (b"<a>\n <b/>\n</a>", lambda d, r: [d.before(r.children[0], Node("c"), Node("d"))],
         b"<a>\n <c/>\n <d/>\n <b/>\n</a>"),
        (b"<a><b/></a>", lambda d, r: [d.after(r.children[0], Node("c"))], b"<a><b/><c/></a>"),
        (b"<a>text</a>", lambda d, r: [d.inside(r, Node("c"))], b"<a>text<c/></a>"),
        (b"<a>\n  <b/>\n</a>", lambda d, r: [d.replace(r.children[0], Node("c"), Node("e"))],
         b"<a>\n  <c/>\n  <e/>\n</a>"),
    ],
)  # fmt: skip
def test_edits(raw: bytes, edit, result: bytes) -> None:  # type: ignore[no-untyped-def]
    document, root = _of(raw)
    assert document.edited(edit(document, root)).raw == result


def test_edits_that_overlap_are_refused() -> None:
    document, root = _of(b"<a><b/></a>")
    with pytest.raises(ValueError, match="overlap"):
        document.edited([Splice(0, 5, b""), document.remove(root.children[0])])


BOMB = (
    b"<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>"
    + b"".join(
        b"<!ENTITY %c '%s'>" % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(98, 110)
    )
    + b"]><a>&m;</a>"
)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not well-formed"),
        (b"<", "not well-formed"),
        (b"<a>", "not well-formed"),
        (b"<a b='1' b='2'/>", "not well-formed"),
        (b"<a>&b;</a>", "not well-formed"),
        (b"<a>\xff</a>", "not well-formed"),
        (b"<a b='&#xD800;'/>", "not well-formed"),
        (b"<?xml version='1.0' encoding='us-ascii'?><a>\xff</a>", "not well-formed"),
        (b"<a>" * 100, "deeper"),
        (b"<a>" + b"<b/>" * 60_000 + b"</a>", "too many"),
        (b"<a/>" + b" " * (4 << 20), "larger"),
        (b"<a>\0</a>", "UTF-16"),
        ("<a/>".encode("utf-16"), "UTF-16"),
        (b"<?xml version='1.0' encoding='utf-7'?><a/>", "utf-7"),
        (b"<?xml version='1.0' encoding='utf-16'?><a/>", "utf-16"),
        (b"<!DOCTYPE a><a/>", "document type"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "document type"),
        (b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "document type"),
        (b"<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://127.0.0.1:1/'> %b;]><a/>", "document type"),
        (BOMB, "document type"),
    ],
)
def test_what_harms_or_is_none_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Document.parse(raw, "g.xml")
    assert words in caught.value.message
    assert caught.value.hint
    assert caught.value.where.startswith("g.xml:")


@pytest.mark.parametrize(
    "piece", [b" x%d='1'", b"<!-- %d -->", b"&amp;%d", b"<b c='%d'/>", b"\n%d"], ids=repr
)
def test_the_time_is_linear(piece: bytes) -> None:
    def seconds(count: int) -> float:
        body = b"".join(piece % n for n in range(count))
        raw = b"<a" + body + b"/>" if piece.startswith(b" ") else b"<a>" + body + b"</a>"
        start = time.process_time()
        Document.parse(raw)
        return time.process_time() - start

    small = min(seconds(4_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(2)) < 40 * small + 0.3


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text("<a/>='\"&;! -[]?x\n", max_size=120).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        document = Document.parse(raw)
    except ConfigError:
        return
    assert document.edited([]).raw == raw


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_broken_domains_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(FILES)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 12))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"<", b"'", b"9" * 30, b"-1", b"/>", b"0x"])
        )
    with contextlib.suppress(ConfigError):
        machine(Domain.of(Document.parse(bytes(raw))))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_edit_keeps_all_other_bytes(data: st.DataObject) -> None:
    document = Document.parse(data.draw(st.sampled_from(FILES)).read_bytes())
    elements = list(document.root.walk())
    element = data.draw(st.sampled_from(elements))
    value = data.draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8))
    name = data.draw(st.sampled_from(["type", "name", "port", "zz"]))
    edited = document.edited([document.set(element, name, value)])
    changed = list(edited.root.walk())[elements.index(element)]
    assert changed.get(name) == value
    before, after = document.raw, edited.raw
    grown = len(after) - len(before)
    end = before.index(b">", element.start) + 1 if element.inside == 0 else element.inside
    assert after[: element.start] == before[: element.start]
    assert after[end + grown :] == before[end:]
    # An insertion is undone by a removal.
    at = data.draw(st.sampled_from(elements[1:]))
    inserted = document.edited([document.after(at, Node("new", (("a", value),)))])
    new = next(e for e in inserted.root.walk() if e.name == "new")
    assert new.get("a") == value
    assert inserted.edited([inserted.remove(new)]).raw == before
