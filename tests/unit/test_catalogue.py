"""The catalogue: complete, recognized by its own words, and its commands can be typed."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from test_cli_docs import parse

from vmserial import catalogue
from vmserial.catalogue import Effect, RuleDoc, documents
from vmserial.catalogue.document import EVERYBODY
from vmserial.catalogue.matching import BLANK_MOST, BLOCK, OVERLAP

DOCS = documents()
ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "vmserial"
PLACE = {"refusal": 0, "Finding": 0, "Rule": 0, "note_finding": 0, "_finding": 0, "refuse": 1}
"""What makes a finding or a refusal, and which of its arguments is the id."""


def ids_of(source: str) -> Iterator[str]:
    """Yield the ids that a module's source can give; only an id passed on is no literal."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name not in PLACE:
            continue
        for keyword in node.keywords:
            if keyword.arg == "aliases" and isinstance(keyword.value, ast.Dict):
                # What an owner calls it.
                yield from (str(ast.literal_eval(value)) for value in keyword.value.values)
        by_name = [keyword.value for keyword in node.keywords if keyword.arg == "id"]
        given = [*by_name, *node.args[PLACE[name] : PLACE[name] + 1]][0]
        for each in [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]:
            if isinstance(each, ast.Constant):
                yield str(each.value)
            else:
                assert ast.unparse(each) in {"id", "self.id", "refusal.id"}, ast.unparse(node)


def ids() -> set[str]:
    return {id for path in PACKAGE.rglob("*.py") for id in ids_of(path.read_text())}


def test_each_finding_has_a_document() -> None:
    assert ids() <= {doc.id for doc in DOCS}


def test_a_new_finding_would_be_seen() -> None:
    assert {"pve-isa-on-aarch64", "guest-8250-limit", "isa-limit", "port-clash",
            "bad-value", "tty-missing", "caution", "pci-io-windows"} <= ids()  # fmt: skip
    assert len(ids()) > 30
    assert list(ids_of("self.refuse(port, 'new-one', 'm', 'h')\nFinding(id='other')")) == [
        "new-one",
        "other",
    ]
    with pytest.raises(AssertionError):
        list(ids_of("refusal(f'made-{up}', 'm', 'h')"))


def test_ids_are_there_once_and_lead_somewhere() -> None:
    count = Counter(doc.id for doc in DOCS)
    assert max(count.values()) == 1
    for doc in DOCS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", doc.id)
        assert set(doc.see) <= set(count) - {doc.id}, doc.id
        assert catalogue.by_id(doc.id) == doc
    assert catalogue.by_id("nonesuch") is None


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.id)
def test_a_document_says_all(doc: RuleDoc) -> None:
    for words in (doc.title, doc.happens, doc.cause, doc.source, *doc.resolution):
        assert words.strip() == words
        assert words
    assert doc.resolution
    assert not doc.title.endswith(".")
    assert doc.happens.endswith(".")
    assert doc.cause.endswith(".")
    assert doc.who
    assert set(doc.who) <= set(EVERYBODY)
    for way in doc.resolution:
        party = way.partition(":")[0]
        if party in EVERYBODY:
            assert party in doc.who, way
    # The first is a hint to everybody.
    assert doc.resolution[0].partition(":")[0] not in EVERYBODY or len(doc.who) == 1


TEXTS = [(doc, text) for doc in DOCS for text in doc.texts]


@pytest.mark.parametrize(("doc", "text"), TEXTS, ids=lambda x: getattr(x, "words", "")[:50])
def test_a_document_is_known_by_its_own_words(doc: RuleDoc, text: catalogue.Text) -> None:
    assert not re.search("<[^>]*>", text.example)
    assert len(text.example) > 10
    assert text.seen
    (match,) = catalogue.matches(f"before\nqemu: {text.example}\nafter\n")
    assert match.doc == doc
    assert match.number == 2
    assert doc in catalogue.fragment(text.example[:60].upper())


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.id)
def test_its_commands_can_be_typed(doc: RuleDoc) -> None:
    for way in doc.resolution:
        for command in re.findall(r"`vmserial ([^`]+)`", way):
            parse(shlex.split(command))


def test_texts_of_the_field() -> None:
    for words, id in (
        ("kvm: -device isa-serial,chardev=serial1: 'isa-serial' is not a valid device model name",
         "pve-isa-on-aarch64"),
        ("kvm: -device isa-serial,chardev=qga0: 'isa-serial' is not a valid device model name",
         "pve-agent-isa-on-aarch64"),
        ("-device isa-serial,chardev=x: 'isa-serial' is not a valid device model name",
         "kind-not-on-arch"),
        ("kvm: -device isa-serial,chardev=serial4: Max. supported number of ISA serial ports is 4.",
         "isa-limit"),
        ("kvm: -device isa-serial,chardev=qga0: Max. supported number of ISA serial ports is 4.",
         "pve-isa-limit"),
        ("virtio-serial-bus: Out-of-range port id specified, max. allowed: 30",
         "virtio-port-range"),
        ("serial 0000:00:07.0: Couldn't register serial port 10a0, irq 16, type 0, error -28",
         "guest-8250-limit"),
        ("serial 0000:00:07.0: Couldn't register serial port 10a0, irq 16, type 0, error -22",
         "guest-8250-failed"),
        ("virtio-serial-bus: Guest failure in adding port 2 for device virtio-serial0.0",
         "virtio-guest-failure"),
        ("Failed to bind socket to /x/y: No such file or directory", "directory-missing"),
        ("Could not open '/dev/ttyS4': No such file or directory", "tty-missing"),
        ("Could not open '/a/disk': No such file or directory", "file-missing"),
        ("stty: /dev/ttyS9: Input/output error", "ttys-unbacked"),
    ):  # fmt: skip
        (match,) = catalogue.matches(words)
        assert match.doc.id == id, words


@pytest.mark.parametrize(
    ("words", "id"),
    [
        ("max. allowed: 30", "virtio-port-range"),
        ("Couldn't register serial port … error -28", "guest-8250-limit"),
        ("couldn't register SERIAL port ... error -28", "guest-8250-limit"),
        ("Speed Mismatch", "usb-speed"),
        ("in adding port", "virtio-guest-failure"),
    ],
)
def test_a_part_is_enough(words: str, id: str) -> None:
    found = [m.doc for m in catalogue.matches(words)] or catalogue.fragment(words)
    assert [doc.id for doc in found] == [id]


def test_too_small_a_part_means_nothing() -> None:
    assert catalogue.fragment("port") == []
    assert catalogue.fragment("  …  ") == []


def test_a_log_says_each_thing_once_with_its_first_line() -> None:
    log = "\r\n".join(
        [
            "[    0.1] Serial: 8250/16550 driver, 4 ports, IRQ sharing enabled",
            *(f"[    0.{n}] serial: Couldn't register serial port {n}, irq 1, type 0, error -28"
              for n in range(3)),
            "\x1b[31mfoo\0\xff speed mismatch trying to attach usb device\x1b[0m",
        ]
    )  # fmt: skip
    found = catalogue.matches(log)
    assert [(m.doc.id, m.number, m.more) for m in found] == [
        ("guest-8250-limit", 2, 2),
        ("usb-speed", 5, 0),
    ]
    assert found[0].line.endswith("error -28")


def test_doctors_own_lines_are_known_by_their_id() -> None:
    (match,) = catalogue.matches("silently dead: serial4  [guest-8250-limit]\n  what: it [is]")
    assert match.doc.id == "guest-8250-limit"


def test_the_nearest() -> None:
    assert catalogue.nearest("isa-limt")[0].id == "isa-limit"
    assert "xhci-slots" in [e.id for e in catalogue.nearest("xhci host has no slots any more")]
    assert catalogue.nearest("0 1 2") == []


def refused(source: str) -> Iterator[tuple[str, bool]]:
    """Yield the ids of a module's refusals, and whether the port would be dead."""
    for node in ast.walk(ast.parse(source)):
        name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
        if name in {"refuse", "refusal"}:
            for id in ids_of(ast.unparse(node)):
                yield id, "Severity.DEAD" in ast.unparse(node)


def test_the_effect_is_the_refusals_severity() -> None:
    found = {pair for path in PACKAGE.rglob("*.py") for pair in refused(path.read_text())}
    assert len(found) > 20
    for id, dead in found:
        doc = catalogue.by_id(id)
        assert doc is not None
        if id not in {"port-clash", "pci-io-windows"}:  # the one or the other, by the case
            assert (doc.effect is Effect.DEAD) == dead, id


def test_a_wrong_severity_would_be_seen() -> None:
    assert list(refused("self.refuse(port, 'hvc-limit', 'm', 'h')")) == [("hvc-limit", False)]
    text = "refusal('pci-full', 'm', 'h', severity=Severity.DEAD)"
    assert list(refused(text)) == [("pci-full", True)]


def test_the_document_is_up_to_date() -> None:
    script = ROOT / "scripts" / "make-findings"
    made = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    document = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert document == made.stdout, "scripts/make-findings > docs/findings.md puts it right"


class Pieces:
    """A log that comes as it likes: in pieces of any size, and counted."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data, self.size, self.at, self.most = data, size, 0, 0

    def read(self, most: int) -> bytes:
        piece = self.data[self.at : self.at + min(most, self.size)]
        self.at += len(piece)
        return piece


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_pieces_of_any_size_say_the_same(size: int) -> None:
    log = "".join(f"{n}: {text.example}\n" for n, (_, text) in enumerate(TEXTS[:: size % 5 + 9]))
    whole = catalogue.matches(log)
    reading = catalogue.read(Pieces(log.encode(), size).read)
    assert reading.matches == whole
    assert reading.lines == log.count("\n")
    assert reading.first == log.partition("\n")[0]


def test_no_text_is_cut_where_a_long_line_is() -> None:
    """One line without an end, a text at each place beside the border of two blocks."""
    wide = "PCI: slot " + "x" * BLANK_MOST + " function " + "y" * BLANK_MOST
    wide += " not available for " + "z" * BLANK_MOST + ", in use by"
    assert len(wide) < OVERLAP
    longest = max(sum(map(len, t.literals)) + BLANK_MOST * len(t.literals) for _, t in TEXTS)
    assert longest < OVERLAP
    for border in (BLOCK - OVERLAP, BLOCK):
        for before in range(border - len(wide) - 2, border + 3, 97):
            log = "a" * before + wide + "b" * 3 * BLOCK
            (match,) = catalogue.read(BytesIO(log.encode()).read).matches
            assert (match.doc.id, match.number, match.more) == ("pci-slot-taken", 1, 0)
            assert len(match.line) < 1000
            assert match.line.startswith("… aaa")


def test_a_line_that_goes_on_is_about_its_best_text() -> None:
    worse, better = "Could not open '/x': No such file or directory", "speed mismatch trying to "
    better += "attach usb device"
    for between in (10, 2 * BLOCK, 3 * BLOCK):
        log = f"1\n2\n{worse}{'-' * between}{better}\n{worse}\n{better}"
        found = catalogue.read(BytesIO(log.encode()).read).matches
        assert [(m.doc.id, m.number, m.more) for m in found] == [
            ("usb-speed", 3, 1),
            ("file-missing", 4, 0),
        ]


@cache
def hostile() -> dict[str, bytes]:
    """Return logs of a few MB that a search for words could stumble over."""
    size = 4 << 20
    firsts = sorted({text.literals[0] for _, text in TEXTS if len(text.literals) > 1})
    halves = ["".join(text.literals[:-1]) for _, text in TEXTS if len(text.literals) > 2]
    words = " ".join(word for _, text in TEXTS for word in re.findall("[A-Za-z]+", text.words))
    return {
        name: (text.encode() * (size // len(text.encode()) + 1))[:size]
        for name, text in {
            "one word": "a",
            "one-letter words": "a b ",
            "brackets": "[a-[",
            "beginnings": "".join(firsts),
            "halves": "".join(halves),
            "far halves": "".join(half + "." * (BLANK_MOST - 1) for half in halves),
            "all words": f"{words} {' '.join(f'[{doc.id}-' for doc in DOCS)} ",
            "new lines": "\n",
            "all texts, a line each": "".join(f"{text.example}\n" for _, text in TEXTS),
            "all texts, one line": "".join(text.example for _, text in TEXTS),
            "bytes": "".join(map(chr, range(11, 255))),
            **{f"{first!r}": first for first in firsts[::6]},
        }.items()
    }


@pytest.mark.parametrize("name", list(hostile()))
def test_no_log_takes_long(name: str) -> None:
    """At least 1 MB a second of processor time for the worst; it is 100 without malice."""
    log = hostile()[name]
    catalogue.matches("the documents are read")
    begin = time.process_time()
    catalogue.read(BytesIO(log).read)
    spent = time.process_time() - begin
    assert spent < len(log) / 1e6


def test_little_is_kept_of_a_large_log() -> None:
    """A log of 16 MB in one line, read in the space of some blocks."""
    log = Pieces(b"x /dev/ttyS speed mismatch trying to attach usb device" * 300_000, BLOCK)
    tracemalloc.start()
    try:
        (match,) = catalogue.read(log.read).matches
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert match.doc.id == "usb-speed"
    assert peak < 12 << 20 < len(log.data)


@pytest.mark.parametrize(
    "id", ["usb-not-plugged", "port-without-device", "chardev-missing", "chardev-required"]
)
def test_the_way_out_for_one_port_names_no_other_ports_chardev(id: str) -> None:
    # It is said as it stands of any port: serial2's would be told to take serial1's chardev.
    doc = next(doc for doc in DOCS if doc.id == id)
    named = re.findall(r"(?:chardev=|\bid=)(\w+)", doc.resolution[0])
    assert set(named) <= {"ID"}
