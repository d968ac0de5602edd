"""Domains by architecture, typed and untyped: what is found, what is mended, as text.

``VMSERIAL_UPDATE_GOLDEN=1 pytest tests/golden`` writes them anew; read the difference before
you commit it.  tests/live/test_libvirt_live.py lets a real libvirtd take the results.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import pytest

from vmserial.errors import UsageError
from vmserial.guests.profile import unknown
from vmserial.judging import RepairPolicy
from vmserial.judging.domain import DomainVerdict, judge
from vmserial.model import Capabilities
from vmserial.planning.planner import plan
from vmserial.sources.libvirt import Document, Domain, machine

HERE = Path(__file__).parent / "libvirt"
DATA = HERE.parents[1] / "data" / "libvirt"
FILES = sorted(DATA.glob("*.xml"))
KINDS = ("auto", "usb", "pci", "virtio")

LEFT = {"x86_64-no-path": {"chardev-incomplete"}, "x86_64-tcp-twice": {"address-in-use"}}
"""What only its owner can mend."""


def judged(document: Document, kind: str = "auto", version: tuple[int, int, int] = (7, 2, 0),
           logs: str = "") -> DomainVerdict:  # fmt: skip
    arch = Domain.of(document).arch
    capabilities = Capabilities(version, arch, measured=False)
    return judge(document, capabilities, unknown(arch), RepairPolicy(kind, logs=logs))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_domain_is_judged_and_mended(path: Path) -> None:
    document = Document.parse(path.read_bytes(), path.name)
    verdict = judged(document)
    lines = [f"{f.severity}: {f.id} ({', '.join(f.ports)}): {f.happens}" for f in verdict.findings]
    lines += [f"mended: {change.text} [{change.id}]" for change in verdict.changes]
    lines += [f"left: {finding.id}" for finding in verdict.left]
    lines += difflib.unified_diff(
        document.raw.decode().split("\n"), verdict.text.split("\n"), "before", "after", lineterm=""
    )
    text = "\n".join(lines) + "\n"
    golden = HERE / f"{path.stem}.txt"
    if os.environ.get("VMSERIAL_UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()
    assert {finding.id for finding in verdict.left} == LEFT.get(path.stem, set())


def test_no_golden_is_left_over() -> None:
    assert {p.stem for p in HERE.glob("*.txt")} == {p.stem for p in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", KINDS)
def test_mending_once_is_enough(path: Path, kind: str) -> None:
    verdict = judged(Document.parse(path.read_bytes(), path.name), kind, logs="/var/log/vm")
    again = judged(verdict.document, kind, logs="/var/log/vm")
    assert again.document.raw == verdict.document.raw
    assert not again.changes
    assert again.left == verdict.left or [f.id for f in again.left] == [f.id for f in verdict.left]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_domain_in_one_line(path: Path) -> None:
    raw = re.sub(rb">\s+<", b"><", path.read_bytes())
    verdict = judged(Document.parse(raw, path.name), logs="/var/log/vm")
    spread = judged(Document.parse(path.read_bytes(), path.name), logs="/var/log/vm")
    assert re.sub(r">\s+<", "><", spread.text).strip() == verdict.text.strip()
    assert "\n" not in verdict.text.strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mended_domain_is_planned_without_refusal(path: Path) -> None:
    # vexpress has no PCI: libvirt puts virtio on its own MMIO slots, which are not planned.
    if path.stem in LEFT or path.stem == "arm-vexpress":
        return
    mended = machine(Domain.of(judged(Document.parse(path.read_bytes(), path.name)).document))
    made = plan(mended, Capabilities((7, 2, 0), mended.arch, measured=False), unknown(mended.arch))
    assert not [r for r in made.refusals if r.id != "no-kind-fits"], made.refusals


def test_qemu_9_1_has_two_uarts() -> None:
    document = Document.parse((DATA / "aarch64-untyped.xml").read_bytes())
    dead = [f for f in judged(document, version=(9, 1, 0)).findings if f.id == "onboard-uart-limit"]
    assert [f.ports for f in dead] == [("serial2",), ("serial3",)]


def test_a_kind_that_libvirt_does_not_have() -> None:
    document = Document.parse((DATA / "aarch64-untyped.xml").read_bytes())
    with pytest.raises(UsageError, match="pci-4x"):
        judged(document, "pci-4x")


def test_logs_are_asked_for() -> None:
    document = Document.parse((DATA / "x86_64-logs.xml").read_bytes())
    text = judged(document, logs="/var/log/vm").text
    assert text.count("<log ") == 2
    assert "<log file='/var/log/vm/x86_64-logs-serial1.log' append='on'/>" in text
