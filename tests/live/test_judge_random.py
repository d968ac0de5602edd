"""Random command lines on the real QEMU: what works is left to work, what fails was named.

QEMU runs paused.  The generator makes more odd commands than right ones: devices on
buses that are not there, two at one place, ids twice, JSON beside key=value.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from random_vms import Generator, starts
from test_findings_live import here

from vmserial.guests import profile
from vmserial.judging import RepairPolicy, judge
from vmserial.model import Severity
from vmserial.sources.command import CommandLine

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_command(seed: int, tmp_path: Path) -> None:
    generator = Generator(seed, tmp_path)
    words = generator.command()
    arch = generator.arch
    kind = generator.random.choice(["auto", "auto", "pci", "virtio"])
    verdict = judge(
        CommandLine.from_words(words), here(arch), profile.unknown(arch), RepairPolicy(kind=kind)
    )
    again = judge(verdict.command, here(arch), profile.unknown(arch), RepairPolicy(kind=kind))
    assert [change.text for change in again.changes] == []
    before, said = starts(words)
    fails = [flaw for flaw in verdict.found if flaw.severity is Severity.FAILS]
    assert before or fails, said
    assert not (before and fails), fails
    if verdict.command.argv() != words:
        after, said = starts(verdict.command.argv())
        assert after or verdict.left, said
