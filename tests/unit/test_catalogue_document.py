"""The documents of the catalogue as files: their form is strict, and they travel in the wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from vmserial import catalogue
from vmserial.catalogue import library
from vmserial.catalogue.document import DocumentError, Effect, parse

ROOT = Path(__file__).parents[2]
RULES = ROOT / "src" / "vmserial" / "rules"

WHOLE = """\
# isa-irq: an interrupt that is not there

effect: does not start
who: libvirt, QEMU
see: isa-limit, isa-clash
rank: last

## What happens

QEMU aborts,
and says so.

## Cause

There are 16.

## Resolution

- leave it away:
  `-device isa-serial`
- QEMU: or not

## Texts

- `irq <40> is wrong` (QEMU 7.2)
- `` Assertion `irq < MOST' failed for `` (QEMU (all))

## Source

run
"""


def test_a_document_is_read_whole() -> None:
    doc = parse(WHOLE, "isa_irq.md")
    assert (doc.id, doc.title, doc.effect) == (
        "isa-irq", "an interrupt that is not there", Effect.FAILS,
    )  # fmt: skip
    assert doc.who == ("libvirt", "QEMU")
    assert doc.see == ("isa-limit", "isa-clash")
    assert doc.last
    assert doc.happens == "QEMU aborts, and says so."
    assert doc.cause == "There are 16."
    assert doc.resolution == ("leave it away: `-device isa-serial`", "QEMU: or not")
    assert [text.words for text in doc.texts] == [
        "irq <40> is wrong", "Assertion `irq < MOST' failed for",
    ]  # fmt: skip
    assert [text.seen for text in doc.texts] == ["QEMU 7.2", "QEMU (all)"]
    assert doc.texts[0].literals == ("irq ", " is wrong")
    assert doc.source == "run"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("# isa-irq: an", "# ISA: an", 1, "the first line is"),
        ("effect: does not start", "effect: burns", 3, "the effect is one of"),
        ("effect: does not start\n", "", 1, "no line 'effect"),
        ("who: libvirt", "whom: libvirt", 4, "before the sections stand"),
        ("see: ", "who: ", 5, "'who' is there twice"),
        ("rank: last", "rank: first", 6, "the only rank is"),
        ("rank: last", "words that nobody reads", 6, "before the sections stand"),
        ("## Cause", "## Causes", 13, "the sections are"),
        ("## What happens", "## Source", 13, "the sections are"),
        ("QEMU aborts,", "- QEMU aborts,", 10, "one paragraph"),
        ("QEMU aborts,", "  QEMU aborts,", 10, "one paragraph"),
        ("There are 16.\n", "", 13, "'## Cause' is empty"),
        ("- leave it away:", "leave it away:", 19, "has items"),
        ("  `-device", "   `-device", 20, "has items"),
        ("- `irq <40> is wrong` (QEMU 7.2)", "- irq 40 (QEMU 7.2)", 25, "a text is"),
        ("`irq <40> is wrong`", "`<irq> is wrong`", 25, "sure characters"),
        ("## Source\n\nrun\n", "", 28, "no section '## Source'"),
        ("\nrun\n", "\n", 28, "'## Source' is empty"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_form_is_an_error_with_its_place(
    old: str, new: str, line: int, words: str
) -> None:
    assert WHOLE.count(old) >= 1
    with pytest.raises(DocumentError) as error:
        parse(WHOLE.replace(old, new, 1), "isa_irq.md")
    assert words in error.value.message
    assert error.value.where == f"isa_irq.md:{line}"
    assert error.value.hint


def test_each_document_has_the_name_of_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.stem.replace("_", "-") for path in RULES.rglob("*.md")}
    assert files == set(catalogue.ids()) == {doc.id for doc in catalogue.documents()}
    assert {path.parent.name for path in RULES.rglob("*.md")} <= set(library.GROUPS)
    for group in library.GROUPS:
        (tmp_path / group).mkdir()
    (tmp_path / "places" / "isa_other.md").write_text(WHOLE)
    monkeypatch.setattr(library, "_RULES", str(tmp_path))
    with pytest.raises(DocumentError, match=r"isa_other\.md:1: the id is isa-irq"):
        library.by_id.__wrapped__("isa-other")


def lonely(rules: Path) -> list[str]:
    """Return the rules without a document beside them, of one group or another."""
    found = [path for path in rules.glob("*/*.py") if path.name != "__init__.py"]
    return [path.stem for path in found if not path.with_suffix(".md").is_file()]


def test_each_rule_has_its_document_beside_it(tmp_path: Path) -> None:
    assert lonely(RULES) == []
    for name in ("places/isa_limit.py", "places/isa_limit.md", "guest/hvc_limit.py",
                 "texts/hvc_limit.md", "guest/__init__.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert lonely(tmp_path) == ["hvc_limit"]


def test_an_id_is_no_path() -> None:
    for id in ("../texts/caution", "", "a/b", "x" * 5000, "isa_limit", "isa-limit\n"):
        assert catalogue.by_id(id) is None


def test_one_id_reads_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = library._read

    def noted(group: str, name: str) -> str:
        content = real(group, name)
        read.append(name)
        return content

    monkeypatch.setattr(library, "_read", noted)
    assert library.by_id.__wrapped__("guest-8250-limit") is not None
    assert read == ["guest_8250_limit"]


def test_they_are_resources_of_the_package() -> None:
    rules = resources.files("vmserial") / "rules"
    assert (rules / "guest" / "guest_8250_limit.md").is_file()


def test_they_are_in_the_wheel(tmp_path: Path) -> None:
    code = f"from flit_core.buildapi import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=True,
                          capture_output=True, text=True)  # fmt: skip
    wheel = tmp_path / made.stdout.strip()
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.endswith(".md")}
    assert names >= {
        f"vmserial/{path.relative_to(RULES.parent).as_posix()}" for path in RULES.rglob("*.md")
    }
