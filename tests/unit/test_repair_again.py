"""Command lines whose first mending left, or made, something to mend; found by the fuzzer."""

from __future__ import annotations

import pytest

from vmserial.formats.argv import CommandLine
from vmserial.guests import profile
from vmserial.model import Capabilities
from vmserial.repair import Verdict, judge


def judged(command: CommandLine, arch: str) -> Verdict:
    capabilities = Capabilities((7, 2, 0), arch, onboard_uarts={"virt": 1})
    return judge(command, capabilities, profile.unknown(arch))


@pytest.mark.parametrize(
    ("arch", "serials", "kept"),
    [
        # "-serial none" takes the only UART's place: the port cannot go there again.
        ("aarch64", "none pty", "-serial none -device"),
        # The last one comes to the place that the moved one had: its chardev is "serial4" then.
        ("x86_64", "null null null vc vc null", "serial=serial4 -serial null"),
        ("aarch64", "null pty null pty null", "serial=serial3 -serial null"),
        ("x86_64", "none none pty pty pty pty", "-serial none -serial none -serial pty"),
    ],
)
def test_once_is_enough(arch: str, serials: str, kept: str) -> None:
    board = "virt" if arch == "aarch64" else "q35"
    words = " ".join(f"-serial {word}" for word in serials.split())
    verdict = judged(CommandLine.parse(f"qemu-system-{arch} -M {board} {words}"), arch)
    assert verdict.changes
    assert len({change.text for change in verdict.changes}) == len(verdict.changes)
    assert kept in verdict.command.text()
    again = judged(verdict.command, arch)
    assert again.changes == ()
    assert [flaw.id for flaw in again.flaws if flaw.severity.name != "NOTE"] == []
