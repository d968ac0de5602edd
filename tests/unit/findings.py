"""The golden inputs: one command line for each finding, and what it is judged with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from vmserial.guests import profile
from vmserial.judging import Judgement, RepairPolicy, judge
from vmserial.model import Capabilities
from vmserial.qemu.binary import from_json
from vmserial.sources.command import CommandLine, CommandView

DATA = Path(__file__).parents[1] / "data"
GOLDEN = Path(__file__).parents[1] / "golden" / "findings"

POLICIES = {
    "not-hot-pluggable": RepairPolicy(kind="pci", hotplug=True),
    "output-lost-while-detached": RepairPolicy(logs="/run/vm"),
}
"""What must be asked for, so that a finding is one and is mended."""

FAILING_STILL = frozenset(
    {"chardev-backend-unknown", "chardev-id", "machine-unknown", "pci-no-bus", "property-unknown"}
)
"""What fails to start and only its owner can mend."""

UNMENDED = FAILING_STILL | {"controller-unused"}
"""What only its owner can mend."""


GUESTS = frozenset({"aarch64", "x86_64"})
"""Architectures that there is a test guest for."""

INSTALLED = GUESTS | {"arm", "i386"}
"""Architectures whose QEMU the tests install; that of others only the long ones do."""


def arch(id: str) -> str:
    """Return the architecture of a finding's command line."""
    return CommandView.of(command(id)).arch


def run(ids: Iterable[str]) -> list[ParameterSet]:
    """Return findings whose commands are run, as parameters of a test."""
    return [
        pytest.param(id, id=id, marks=() if arch(id) in INSTALLED else pytest.mark.full)
        for id in ids
    ]


def ids() -> list[str]:
    """Return the findings that a command line can have."""
    return sorted(path.stem for path in (DATA / "findings").glob("*.txt"))


def command(id: str) -> CommandLine:
    """Return the command line that has a finding."""
    return CommandLine.parse((DATA / "findings" / f"{id}.txt").read_text(), f"{id}.txt")


def capabilities(arch: str, version: str = "7.2") -> Capabilities:
    """Return what a QEMU was recorded to have."""
    import json

    path = DATA / "capabilities" / f"qemu-{version}-{arch}.json"
    if not path.exists():
        # Nothing that is judged on it needs to know its devices.
        return Capabilities((7, 2, 0), arch, measured=False)
    return from_json(json.loads(path.read_text()))


def judged(
    id: str, of: CommandLine | None = None, on: Callable[[str], Capabilities] = capabilities
) -> Judgement:
    """Judge a finding's command line, or another with its wishes.

    Args:
        id: the finding.
        of: the other command line.
        on: gives what the binary of an architecture has.
    """
    what = of or command(id)
    its = CommandView.of(what).arch
    return judge(what, on(its), profile.unknown(its), POLICIES.get(id, RepairPolicy()))
