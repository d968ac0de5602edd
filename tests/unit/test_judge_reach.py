"""A PCI bus above 4 GiB: what is said of it, and mended, depends on the guest that is named."""

from __future__ import annotations

from findings import RULES
from vmserial.guests import profile
from vmserial.judging import Judgement, judge
from vmserial.model import Capabilities, GuestProfile, Severity
from vmserial.sources.command import CommandLine

ARM = Capabilities((7, 2, 0), "arm")
BAD = (RULES / "pci-out-of-reach" / "bad.args").read_text()


def judged(text: str, guest: GuestProfile) -> Judgement:
    return judge(CommandLine.parse(text), ARM, guest)


def test_a_guest_that_is_named_loses_its_ports_and_gets_them_back() -> None:
    named = profile.resolve("debian-12-armhf")
    verdict = judged(BAD, named)
    (found,) = [f for f in verdict.findings if f.id == "pci-out-of-reach"]
    assert (found.severity, found.ports) == (Severity.DEAD, ("serial0",))
    text = verdict.command.text()
    assert text == BAD.replace("-machine virt", "-machine virt,highmem=off")
    assert not [f for f in judged(text, named).findings if f.id == "pci-out-of-reach"]


def test_of_a_guest_that_nobody_named_it_is_a_note_and_nothing_is_changed() -> None:
    verdict = judged(BAD, profile.unknown("arm"))
    (found,) = [f for f in verdict.findings if f.id == "pci-out-of-reach"]
    assert (found.severity, found.assumed) == (Severity.NOTE, True)
    assert verdict.command.text() == BAD
