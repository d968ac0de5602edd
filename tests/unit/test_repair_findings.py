"""Each finding on its golden input: found, mended as the golden says, and nothing left."""

from __future__ import annotations

import os
import re
from pathlib import Path

import findings
import pytest

from vmserial import catalogue
from vmserial.model import Severity

SOURCE = Path(__file__).parents[2] / "src" / "vmserial" / "repair"
COMMAND_RULES = ("rules_chardevs.py", "rules_devices.py", "rules_places.py")


@pytest.mark.parametrize("id", findings.ids())
def test_the_finding_is_found_and_mended(id: str) -> None:
    verdict = findings.judged(id)
    assert id in {flaw.id for flaw in verdict.flaws}
    assert id in {change.id for change in verdict.changes}
    assert verdict.left == ()
    golden = findings.GOLDEN / f"{id}.txt"
    text = verdict.command.text()
    if os.environ.get("VMSERIAL_UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("id", findings.ids())
def test_what_was_mended_has_nothing_to_mend(id: str) -> None:
    once = findings.judged(id).command
    again = findings.judged(id, once)
    assert [change.text for change in again.changes] == []
    assert again.command.text() == once.text()
    assert [f.id for f in again.flaws if f.severity is not Severity.NOTE] == []


@pytest.mark.parametrize("id", findings.ids())
def test_a_finding_says_what_happens_why_and_what_to_do(id: str) -> None:
    for finding in findings.judged(id).findings:
        assert finding.happens
        assert finding.why
        assert finding.fix
        assert catalogue.by_id(finding.id) is not None


def test_each_rule_has_its_golden_input() -> None:
    named: set[str] = set()
    for name in COMMAND_RULES:
        text = (SOURCE / name).read_text()
        named |= {i for i in re.findall(r'"([a-z][a-z0-9]*(?:-[a-z0-9]+)+)"', text)
                  if catalogue.by_id(i)}  # fmt: skip
    assert named == set(findings.ids())


def test_the_severity_is_the_catalogues_effect() -> None:
    for id in findings.ids():
        entry = catalogue.by_id(id)
        assert entry is not None
        severities = {flaw.severity for flaw in findings.judged(id).flaws if flaw.id == id}
        dead = {Severity.DEAD} if entry.effect is catalogue.Effect.DEAD else set()
        # The one or the other, by the case.
        if id not in {"chardev-required", "pci-function"}:
            assert severities >= dead, id
