"""The catalogue: complete, recognized by its own words, and its commands can be typed."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli_docs import parse

from vmserial import catalogue
from vmserial.catalogue import ENTRIES, Effect, Entry
from vmserial.catalogue.base import EVERYBODY

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "vmserial"
PLACE = {"refusal": 0, "Finding": 0, "Flaw": 0, "flaw": 0, "_finding": 0, "refuse": 1}
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
        by_name = [keyword.value for keyword in node.keywords if keyword.arg == "id"]
        given = [*by_name, *node.args[PLACE[name] : PLACE[name] + 1]][0]
        for each in [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]:
            if isinstance(each, ast.Constant):
                yield str(each.value)
            else:
                assert ast.unparse(each) in {"id", "self.id", "refusal.id"}, ast.unparse(node)


def ids() -> set[str]:
    return {id for path in PACKAGE.rglob("*.py") for id in ids_of(path.read_text())}


def test_each_finding_has_an_entry() -> None:
    assert ids() <= {entry.id for entry in ENTRIES}


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
    count = Counter(entry.id for entry in ENTRIES)
    assert max(count.values()) == 1
    for entry in ENTRIES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.id)
        assert set(entry.see) <= set(count) - {entry.id}, entry.id
        assert catalogue.by_id(entry.id) is entry
    assert catalogue.by_id("nonesuch") is None


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_an_entry_says_all(entry: Entry) -> None:
    for words in (entry.title, entry.happens, entry.cause, entry.source, *entry.way_out):
        assert words.strip() == words
        assert words
    assert entry.way_out
    assert not entry.title.endswith(".")
    assert entry.happens.endswith(".")
    assert entry.cause.endswith(".")
    assert entry.who
    assert set(entry.who) <= set(EVERYBODY)
    for way in entry.way_out:
        party = way.partition(":")[0]
        if party in EVERYBODY:
            assert party in entry.who, way
    # The first is a hint to everybody.
    assert entry.way_out[0].partition(":")[0] not in EVERYBODY or len(entry.who) == 1


TEXTS = [(entry, text) for entry in ENTRIES for text in entry.texts]


@pytest.mark.parametrize(("entry", "text"), TEXTS, ids=lambda x: getattr(x, "words", "")[:50])
def test_an_entry_is_known_by_its_own_words(entry: Entry, text: catalogue.Text) -> None:
    assert not re.search("<[^>]*>", text.example)
    assert len(text.example) > 10
    assert text.seen
    (match,) = catalogue.matches(f"before\nqemu: {text.example}\nafter\n")
    assert match.entry is entry
    assert match.number == 2
    assert entry in catalogue.fragment(text.example[:60].upper())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_its_commands_can_be_typed(entry: Entry) -> None:
    for way in entry.way_out:
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
        assert match.entry.id == id, words


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
    found = [m.entry for m in catalogue.matches(words)] or catalogue.fragment(words)
    assert [entry.id for entry in found] == [id]


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
    assert [(m.entry.id, m.number, m.more) for m in found] == [
        ("guest-8250-limit", 2, 2),
        ("usb-speed", 5, 0),
    ]
    assert found[0].line.endswith("error -28")


def test_doctors_own_lines_are_known_by_their_id() -> None:
    (match,) = catalogue.matches("silently dead: serial4  [guest-8250-limit]\n  what: it [is]")
    assert match.entry.id == "guest-8250-limit"


def test_the_nearest() -> None:
    assert catalogue.nearest("isa-limt")[0].id == "isa-limit"
    assert "xhci-slots" in [e.id for e in catalogue.nearest("xhci host has no slots any more")]
    assert catalogue.nearest("0 1 2") == []


def test_no_text_takes_long() -> None:
    """Blanks do not multiply; what is bounded here is the growth, not the machine."""
    for text in (
        "PCI: slot  function  not available for ",
        "Chardev '",
        "kvm: -device isa-serial,",
    ):
        catalogue.matches(text * 3000)


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
        entry = catalogue.by_id(id)
        assert entry is not None
        if id not in {"port-clash", "pci-io-windows"}:  # the one or the other, by the case
            assert (entry.effect is Effect.DEAD) == dead, id


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
