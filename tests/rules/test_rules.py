"""The rules as such: their index, their names, and that they only read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import findings
from vmserial.context import EditOptions, RepairPolicy, RuleContext
from vmserial.guests import profile
from vmserial.judging import engine
from vmserial.model import Finding, Severity
from vmserial.rules import index
from vmserial.rules.base import PLATFORM, Rule
from vmserial.shim import bundle
from vmserial.sources.command import CommandLine, CommandView

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "vmserial" / "rules"
RULES = [late.rule for phase in index.PHASES for late in phase]


def context(command: CommandLine, policy: RepairPolicy | None = None) -> RuleContext:
    view = CommandView.of(command)
    has, guest = findings.capabilities(view.arch), profile.unknown(view.arch)
    return RuleContext(command, view, has, guest, policy or RepairPolicy())


def made(*words: str) -> str:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make-rule-index"), *words],
        capture_output=True, text=True, timeout=60, check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8"},
    ).stdout  # fmt: skip


def test_the_index_is_up_to_date() -> None:
    text = (PACKAGE / "index.py").read_text(encoding="utf-8")
    assert text == made(), "scripts/make-rule-index > src/vmserial/rules/index.py puts it right"


def test_a_rule_that_is_not_in_the_index_would_be_seen() -> None:
    without = "".join(line for line in made().splitlines(keepends=True) if "usb_speed" not in line)
    assert without != (PACKAGE / "index.py").read_text(encoding="utf-8")


def test_each_rule_stands_in_the_file_of_its_name() -> None:
    files = {path.stem.replace("_", "-") for path in PACKAGE.glob("*/[!_]*.py")}
    assert files == {rule.id for rule in RULES}
    assert len(files) == len(RULES)


def findings_of(ctx: RuleContext) -> list[tuple[str, str]]:
    return sorted((finding.id, finding.happens) for finding in engine.findings_of(ctx))


def missed(rules: Iterable[Rule], ctx: RuleContext) -> list[str]:
    """Return the rules that find something although nothing that they name is there."""
    return [
        rule.id for rule in rules
        if rule.among and rule.among.isdisjoint(ctx.view.present)
        and Rule(rule.id, rule.severity, rule.phase, rule.check, rule.needs).applies(ctx)
        and [*rule.check(ctx)]
    ]  # fmt: skip


@pytest.mark.parametrize("id", findings.ids())
def test_a_rule_that_is_not_asked_finds_nothing(id: str) -> None:
    assert missed(RULES, context(findings.command(id), findings.POLICIES.get(id))) == []


@pytest.mark.parametrize("id", ["pci-chassis", "object-missing", "spapr-vty-clash"])
def test_a_rule_that_names_something_else_would_be_missed(id: str) -> None:
    rule = next(each for each in RULES if each.id == id)
    mutant = Rule(id, rule.severity, rule.phase, rule.check, rule.needs, among=("vmport",))
    assert missed([mutant], context(findings.command(id))) == [id]


@pytest.mark.parametrize("id", findings.ids())
def test_rules_only_read(id: str) -> None:
    """Whatever is asked first, each rule says the same: nothing is written by another one."""
    command = findings.command(id)
    policy = findings.POLICIES.get(id)
    first = findings_of(context(command, policy))
    again = context(command, policy)
    for rule in reversed(RULES):
        if rule.applies(again):
            list(rule.check(again))
    assert findings_of(again) == first
    assert id in {name for name, _ in first}


def test_a_rule_that_writes_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(ctx: RuleContext) -> Iterator[Finding]:
        ctx.host_sides.adopted.update(port.chardev_id for port in ctx.ports)
        return iter(())

    writing = Rule("made-up", Severity.NOTE, 0, check)
    monkeypatch.setattr(engine, "PHASES", (*index.PHASES, (writing,)))
    monkeypatch.setitem(globals(), "RULES", [*RULES, writing])
    with pytest.raises(AssertionError):
        test_rules_only_read("port-without-device")


def test_a_rule_is_silent_without_what_it_needs() -> None:
    ctx = context(findings.command("usb-speed"))
    rule = Rule("made-up", Severity.NOTE, 0, lambda _: iter(()), (PLATFORM, "readconfig"))
    assert rule.applies(ctx)
    words = [*findings.command("usb-speed").argv(), "-readconfig", "/nonesuch"]
    assert not rule.applies(context(CommandLine.from_words(words)))
    other = CommandLine.from_words(["qemu-system-x86_64", "-machine", "nonsense"])
    assert not rule.applies(context(other))


def test_what_is_assumed_is_found_and_not_repaired_by_the_cautious() -> None:
    command = findings.command("chardev-missing")
    bold = engine.findings_of(context(command))
    careful = engine.findings_of(context(command, RepairPolicy(cautious=True)))
    assert [finding.id for finding in bold] == [finding.id for finding in careful]
    assert any(isinstance(repair, EditOptions) for each in bold for repair in each.repairs)
    assert not [each for each in careful if each.assumed and each.repairs]


def test_the_shim_has_all_rules_but_those_that_it_cannot_ask() -> None:
    """It looks at no host, and a command that PVE or libvirt starts is a command."""
    (joined,) = [m.text.decode() for m in bundle.modules() if m.name == "vmserial.rules.index"]
    for rule in RULES:
        room = rule.check.__module__.split(".")[2]
        assert (f"{rule.id.replace('-', '_')}.RULE" in joined) is (room not in {"host", "owner"})
