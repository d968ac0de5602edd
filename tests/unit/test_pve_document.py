"""The text of a PVE configuration: every line of the grammar, and no byte lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial.sources.pve import Document

DATA = Path(__file__).parent.parent / "data" / "pve"


def parse(text: str) -> Document:
    return Document.parse(text, "100.conf")


def values(text: str) -> dict[str, str]:
    return {key: setting.value for key, setting in parse(text).main.values.items()}


def messages(text: str) -> list[str]:
    return [str(note) for note in parse(text).notes]


# Each line alone: what it sets, and a word of the note that it causes.
LINES = [
    ("serial0: socket", {"serial0": "socket"}, ""),
    ("serial0:socket", {"serial0": "socket"}, ""),
    ("serial0:   socket \t ", {"serial0": "socket"}, ""),
    ("serial0: socket\r", {"serial0": "socket"}, ""),
    ("serial1000000: x", {"serial1000000": "x"}, ""),
    ("a_b-c: 1", {"a_b-c": "1"}, ""),
    ("args: -append  'a  b' ", {"args": "-append  'a  b'"}, ""),
    ("cdrom: none", {"ide2": "none"}, ""),
    ("name: x: y", {"name": "x: y"}, ""),
    ("name: \u00e9\u2028\x85x", {"name": "\u00e9\u2028\x85x"}, ""),
    ("snapstate: prepare", {"snapstate": "prepare"}, ""),
    ("  snapstate: delete", {"snapstate": "delete"}, ""),
    ("", {}, ""),
    (" \t\r", {}, ""),
    ("serial0:", {}, "has no value"),
    ("serial0: \r", {}, "has no value"),
    ("Serial0: socket", {}, "capitals"),
    (" serial0: socket", {}, "begins with a blank"),
    ("garbage", {}, "not of the form"),
    ("0key: 1", {}, "not of the form"),
    ("a1b: 1", {}, "not of the form"),
    ("\ufeffname: x", {}, "byte-order mark"),
    ("[open", {}, "not of the form"),
    ("name: a\rb", {}, "carriage return"),
    ("delete: name", {}, "outside of [PENDING]"),
    ("description: a%0Ab", {}, ""),
    ("#text", {}, ""),
]


@pytest.mark.parametrize(("line", "wanted", "note"), LINES, ids=[ascii(row[0]) for row in LINES])
def test_each_line_of_the_grammar(line: str, wanted: dict[str, str], note: str) -> None:
    assert values(line) == wanted
    found = messages(line)
    if note:
        assert len(found) == 1
        assert note in found[0]
        assert found[0].startswith("100.conf:1: ")
    else:
        assert found == []


# What stands in brackets, and what it is.
HEADERS = [
    ("[PENDING]", "pending", "pending"),
    ("[pending]", "pending", "pending"),
    ("[Pending] \r", "pending", "pending"),
    ("[special:cloudinit]", "special", "cloudinit"),
    ("[SPECIAL:fleecing]", "special", "fleecing"),
    ("[before]", "snapshot", "before"),
    ("[Before_Upgrade-2]", "snapshot", "Before_Upgrade-2"),
    ("[a]", "unknown", "a"),
    ("[1st]", "unknown", "1st"),
    ("[two words]", "unknown", "two words"),
    ("[special:other]", "unknown", "special:other"),
    ("[]", "unknown", ""),
]


@pytest.mark.parametrize(("line", "kind", "name"), HEADERS, ids=[row[0] for row in HEADERS])
def test_each_section_header(line: str, kind: str, name: str) -> None:
    document = parse(f"{line}\nmemory: 1\n")
    assert [section.kind for section in document.sections] == ["main", kind]
    section = document.sections[1]
    assert (section.name, section.line) == (name, 1)
    if kind == "unknown":
        assert not section.settings
        assert "its line is skipped" in str(document.notes[0])
    else:
        assert section.values["memory"].value == "1"
        assert document.notes == ()


def test_of_two_keys_the_last_counts_and_both_lines_are_named() -> None:
    document = parse("memory: 1\ncores: 2\nmemory: 3\n")
    assert document.main.values["memory"].value == "3"
    assert len(document.main.settings) == 3
    assert [str(n) for n in document.notes] == [
        "100.conf:3: memory is given again; line 1 no longer counts "
        "(remove one of them; PVE keeps only the last)"
    ]


def test_the_same_key_in_two_sections_is_no_duplicate() -> None:
    assert parse("memory: 1\n[PENDING]\nmemory: 2\n[s1]\nmemory: 3\n").notes == ()


def test_cdrom_and_ide2_are_one_key() -> None:
    document = parse("cdrom: none\nide2: /dev/sr0\n")
    assert document.main.values["ide2"].value == "/dev/sr0"
    assert len(document.notes) == 1


def test_of_two_sections_the_last_counts() -> None:
    document = parse("[s1]\nmemory: 1\n[pending]\ncores: 1\n[s1]\nmemory: 2\n[PENDING]\ncores: 2\n")
    assert document.snapshots["s1"].values["memory"].value == "2"
    assert document.pending is not None
    assert document.pending.values["cores"].value == "2"
    assert [note.where.line for note in document.notes if note.where] == [5, 7]


def test_the_description_is_decoded_wherever_it_stands() -> None:
    document = parse("#one%3A%20%25\nmemory: 1\n#caf%C3%A9\ndescription: a%0Ab\n#c\n[s1]\n#other\n")
    assert document.main.description == "one: %\ncaf\u00e9\na\nbc"
    assert [r.line for r in document.main.remarks] == [1, 3, 4, 5]
    assert document.snapshots["s1"].description == "other"


def test_bytes_that_are_not_utf8_stay_in_the_description() -> None:
    assert parse("#%FF%zz\udce9").main.description == "\ufffd%zz\ufffd\ufffd\ufffd"
    assert parse("#\udce9").main.description == "\udce9"


def test_delete_names_keys_with_and_without_force() -> None:
    document = parse("[PENDING]\ndelete: serial1,!cores; net0  ,\n")
    assert document.pending is not None
    assert document.pending.deleted == ("serial1", "cores", "net0")


def test_of_two_delete_lines_the_last_counts_and_that_is_said() -> None:
    document = parse("[PENDING]\ndelete: a\ndelete: b\n")
    assert document.pending is not None
    assert document.pending.deleted == ("b",)
    assert "given again" in str(document.notes[0])


def test_lines_end_at_newline_only() -> None:
    text = "name: a\x0bb\u2028c\x85d\x1ce\ncores: 1"
    assert len(parse(text).lines) == 2
    assert values(text)["cores"] == "1"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.conf")), ids=lambda path: path.name)
def test_files_are_given_back_byte_for_byte(path: Path) -> None:
    raw = path.read_bytes()
    document = Document.parse(raw.decode("utf-8", "surrogateescape"), path.name)
    assert document.text().encode("utf-8", "surrogateescape") == raw


ANY = st.characters(exclude_categories=())
PIECES = st.sampled_from(
    [
        "\n",
        "\r",
        "\r\n",
        "\x00",
        "[",
        "]",
        "#",
        ":",
        "serial0",
        "PENDING",
        "a",
        " ",
        "\u2028",
        "%0A",
    ]
)


@settings(deadline=None)
@given(st.text(ANY))
def test_any_text_is_given_back(text: str) -> None:
    assert parse(text).text() == text


@settings(deadline=None)
@given(st.lists(PIECES).map("".join))
def test_any_text_of_the_grammar_is_given_back(text: str) -> None:
    document = parse(text)
    assert document.text() == text
    for section in document.sections:
        for setting in section.settings:
            # Every setting can be found again in the line that it names.
            assert setting.value in document.lines[setting.line - 1]


def test_a_changed_document_is_not_the_same_text() -> None:
    document = parse("a: 1\nb: 2\n")
    changed = Document(document.file, ("a: 2", *document.lines[1:]), (), ())
    assert changed.text() != document.text()


def test_a_hostile_file_is_read_in_linear_time() -> None:
    spaces = " " * 200_000
    text = (
        f"name: x{spaces}y\n#vmserial serial1: {spaces}x\n{spaces}snapstate:{spaces}x\n[{spaces}\n"
    )
    assert parse(text).text() == text


@pytest.mark.parametrize(
    ("waiting", "changes"),
    [
        ("serial1: socket\n", False),
        ("serial1: /dev/ttyS0\n", True),
        ("serial2: socket\n", True),
        ("delete: serial1\n", True),
        ("delete: serial3\n", False),
        ("delete: serial1\nserial1: socket\n", False),
        ("", False),
    ],
)
def test_a_pending_section_changes_something_or_not(waiting: str, changes: bool) -> None:
    text = f"memory: 512\nserial1: socket\n\n[PENDING]\n{waiting}"
    assert Document.parse(text, "142.conf").changes_pending is changes


def test_without_a_pending_section_nothing_is_pending() -> None:
    assert Document.parse("memory: 512\n", "142.conf").changes_pending is False
