"""What is raised into a configuration is lowered to the command that the judge repaired."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pve_tree
import pytest
from plans import binary

from vmserial.guests import profile
from vmserial.judging import Judgement, judge
from vmserial.model.origin import LoweredCommand
from vmserial.options import Option
from vmserial.sources.command.edits import SetKey
from vmserial.sources.pve import Document, raise_args
from vmserial.sources.pve.lower import ArgsSpan, lower

SAYS = Path(__file__).parent.parent / "data/pve-says"

TEXTS = {
    **{str(vm.vmid): vm.text + f"arch: {vm.arch}\n" for vm in pve_tree.VMS
       if "[" not in vm.text and "\r" not in vm.text},
    **{path.stem: path.read_text() for path in SAYS.glob("*.conf")},
    "missing": "args: -device  'usb-serial,chardev=gone'   -no-reboot\nserial0: socket\n",
    "twice": "args: -chardev null,id=a -device isa-serial,chardev=a,index=0\nserial0: socket\n",
    "own": "arch: aarch64\nargs: -chardev pty,id=m -device usb-serial,chardev=m -S\n",
}  # fmt: skip


def verdict_of(text: str) -> tuple[Document, LoweredCommand, Judgement]:
    document = Document.parse(text, "142.conf")
    lowered = lower(document, 142)
    has = binary(lowered.arch)
    return document, lowered, judge(lowered, has, profile.unknown(lowered.arch))


def pairs(options: list[tuple[str, ...]]) -> Counter[tuple[str, ...]]:
    return Counter(options)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_raised_and_lowered_is_the_repaired_command(name: str) -> None:
    document, lowered, verdict = verdict_of(TEXTS[name])
    groups = [answer.edits for answer in verdict.answers]
    raised = raise_args.raise_args(
        document, lowered, groups, verdict.support, verdict.origin, {}
    )  # fmt: skip
    if raised.refused:
        # PVE's own hardware (the agent's device) is not for args to change.
        assert {verdict.answers[n].finding.ports for n, _ in raised.refused} == {("qga0",)}
        return
    again = lower(raised.document, 142)
    wanted = [option.argv() for option in _options(verdict)]
    assert pairs([each.option.argv() for each in again.options]) == pairs(wanted)
    # The user's own words keep their order.
    own = [each.option.argv() for each in lowered.options if each.origin.owner == "user"]
    now = iter([each.option.argv() for each in again.options if each.origin.owner == "user"])
    assert all(word in now for word in own if word in wanted)


def _options(verdict: Judgement) -> list[Option]:
    return [
        Option(o.flag, raw=o.value) if o.flag else Option(str(o.value))
        for o in verdict.command.options
    ]


def test_an_answer_is_raised_whole_or_not_at_all() -> None:
    document, lowered, verdict = verdict_of("arch: aarch64\nserial0: socket\nserial1: socket\n")
    (answer,) = verdict.answers
    fixed = next(each for each in lowered.options if each.option.head == "usb-ehci")
    (option,) = [o for o in verdict.origins.line.options if verdict.origin(o) is fixed]  # type: ignore[union-attr]
    mixed = (*answer.edits, SetKey(option, "addr", "0x5"))
    raised = raise_args.raise_args(
        document, lowered, [mixed], verdict.support, verdict.origin, {}
    )  # fmt: skip
    assert raised.document is document
    ((number, why),) = raised.refused
    assert number == 0
    assert "PVE gives the VM" in why
    pinned = raise_args.raise_args(
        document, lowered, [answer.edits], verdict.support, verdict.origin, {"serial1": "it is so"}
    )  # fmt: skip
    assert pinned.refused == ((0, "it is so"),)
    assert pinned.document.text() == document.text()


def test_blanks_and_quotes_of_the_users_words_stay() -> None:
    text = "args:  -global  'a.b=c d'   -device 'usb-serial,chardev=gone'  -no-reboot \n"
    document, lowered, verdict = verdict_of(text + "serial0: socket\n")
    raised = raise_args.raise_args(
        document, lowered, [a.edits for a in verdict.answers], verdict.support, verdict.origin, {}
    )  # fmt: skip
    line = raised.document.lines[0]
    assert line.startswith("args:  -global  'a.b=c d'   -")
    assert line.endswith("  -no-reboot ")


def test_spans_are_those_of_the_words() -> None:
    _, lowered, _ = verdict_of("args: -S  -device 'pci-serial,chardev=a' x.img\n")
    found = [each.origin.handle for each in lowered.options if each.origin.owner == "user"]
    texts = []
    for span in found:
        assert isinstance(span, ArgsSpan)
        texts.append(span.setting.value[span.start : span.end])
    assert texts == ["-S", "-device 'pci-serial,chardev=a'", "x.img"]
