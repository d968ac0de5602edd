"""Each rule's own inputs: the bad ones have its finding, and the good ones have not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import findings
from vmserial.rules.base import Rule
from vmserial.rules.index import PHASES

RULES = {late.id: late.rule for phase in PHASES for late in phase}


def found(rule: Rule, path: Path) -> bool:
    """Tell whether an input has a rule's finding, by its own or its owner's name for it."""
    names = {rule.id, *(rule.aliases or {}).values()}
    return not names.isdisjoint(finding.id for finding in findings.found(path))


def test_each_rule_has_its_directory() -> None:
    directories = {path.name for path in findings.RULES.iterdir() if path.is_dir()}
    assert directories - {"__pycache__"} == RULES.keys()


@pytest.mark.parametrize("id", RULES)
def test_a_rules_directory_has_a_bad_and_a_good_input_and_nothing_unread(id: str) -> None:
    assert findings.inputs(id, "bad")
    assert findings.inputs(id, "good")
    strange = {path.name for path in (findings.RULES / id).iterdir()
               if not findings.FILE.fullmatch(path.name)}  # fmt: skip
    assert not strange


@pytest.mark.parametrize("id", RULES)
def test_what_is_bad_has_the_finding_and_what_is_good_has_not(id: str) -> None:
    for path in findings.inputs(id, "bad"):
        assert found(RULES[id], path), path.name
    for path in findings.inputs(id, "good"):
        assert not found(RULES[id], path), path.name


@pytest.mark.parametrize("name", ["bad.args", "mended.args"])
def test_an_input_that_does_not_show_its_finding_is_seen(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "RULES", tmp_path)
    of = tmp_path / "usb-speed"
    shutil.copytree(Path(__file__).parent / "usb-speed", of)
    test_what_is_bad_has_the_finding_and_what_is_good_has_not("usb-speed")
    other = {"bad.args": "mended.args", "mended.args": "bad.args"}[name]
    shutil.copy(of / other, of / name)
    with pytest.raises(AssertionError):
        test_what_is_bad_has_the_finding_and_what_is_good_has_not("usb-speed")
    (of / name).unlink()
    (of / "bud.args").touch()
    with pytest.raises(AssertionError):
        test_a_rules_directory_has_a_bad_and_a_good_input_and_nothing_unread("usb-speed")
    with pytest.raises(AssertionError):
        test_each_rule_has_its_directory()
