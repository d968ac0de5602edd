"""The inputs of each rule, in ``tests/rules/ID/``, and what they are judged with.

``bad.*`` has the finding and ``good.*`` has not (``.args`` a command, ``.conf`` of PVE, ``.xml``
of libvirt; ``bad-2.args`` and so on where a rule has more than one); ``mended.args`` is what
the repair makes of ``bad.args``, and there is none where only the owner can mend it.
``policy.toml`` says what must be asked for, ``host.toml`` what the host has at the places,
``guest.txt`` which guest is named.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from vmserial.guests import profile
from vmserial.judging import Judgement, RepairPolicy, domain, judge
from vmserial.model import Capabilities, Finding, GuestProfile, Severity
from vmserial.model.host import HostFacts, TcpListener
from vmserial.model.origin import LoweredCommand
from vmserial.pve.judged import PveVm
from vmserial.qemu.binary import from_json
from vmserial.rules.index import PHASES
from vmserial.sources.command import CommandLine, CommandView
from vmserial.sources.libvirt import Document as DomainDocument
from vmserial.sources.libvirt import Domain
from vmserial.sources.pve import Document as PveDocument
from vmserial.sources.pve import machine as read_machine

DATA = Path(__file__).parents[1] / "data"
RULES = Path(__file__).parents[1] / "rules"

FILE = re.compile(
    r"(bad|good)(-[0-9]+)?\.(args|conf|xml)|mended\.args|policy\.toml|host\.toml|guest\.txt"
)  # fmt: skip
"""What stands in a rule's directory."""

POLICIES = {
    path.parent.name: RepairPolicy(**tomllib.loads(path.read_text()))
    for path in sorted(RULES.glob("*/policy.toml"))
}
"""What must be asked for, so that a finding is one and is mended."""


def ids() -> list[str]:
    """Return the findings that a command line alone can have, whatever host and guest are."""
    return sorted(
        path.parent.name for path in RULES.glob("*/bad.args")
        if not (path.parent / "host.toml").exists() and not (path.parent / "guest.txt").exists()
    )  # fmt: skip


def inputs(id: str, which: str) -> list[Path]:
    """Return the ``bad`` or ``good`` inputs of a rule; what was mended is good."""
    found = [*(RULES / id).glob(f"{which}*.*")]
    if which == "good":
        found += (RULES / id).glob("mended*.*")
    return sorted(found)


def mended(id: str) -> Path:
    """Return where it stands what the repair of a rule makes of its command."""
    return RULES / id / "mended.args"


_NOTES = {rule.id for phase in PHASES for rule in phase if rule.severity is Severity.NOTE}

UNMENDED = frozenset(id for id in ids() if not mended(id).exists())
"""What only its owner can mend."""

FAILING_STILL = UNMENDED - _NOTES
"""What fails to start and only its owner can mend."""


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


def command(id: str) -> CommandLine:
    """Return the command line that has a finding."""
    return CommandLine.parse((RULES / id / "bad.args").read_text(), f"{id}.args")


@functools.cache
def capabilities(arch: str, version: str = "7.2") -> Capabilities:
    """Return what a QEMU was recorded to have."""
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
    return judge(what, on(its), guest(id, its), POLICIES.get(id, RepairPolicy()))


def guest(id: str, arch: str) -> GuestProfile:
    """Return the guest that a rule's inputs are judged with: the one that is named, if any."""
    path = RULES / id / "guest.txt"
    return profile.resolve(path.read_text().strip()) if path.exists() else profile.unknown(arch)


def host_facts(path: Path) -> HostFacts:
    """Return what a file says of a host."""
    said = tomllib.loads(path.read_text())
    return HostFacts(
        said.get("paths", {}), frozenset(said.get("listening", ())),
        tuple(TcpListener(**each) for each in said.get("tcp", ())), tcp_seen=True,
    )  # fmt: skip


def host(id: str) -> HostFacts | None:
    """Return what the host has at the places of a rule's inputs; None: nobody looked."""
    path = RULES / id / "host.toml"
    return host_facts(path) if path.exists() else None


def found(path: Path) -> tuple[Finding, ...]:
    """Return what is found in an input of a rule, whose directory it stands in."""
    id = path.parent.name
    policy, seen = POLICIES.get(id, RepairPolicy()), host(id)
    text = path.read_text()
    if path.suffix == ".xml":
        document = DomainDocument.parse(text.encode(), path.name)
        arch = Domain.of(document).arch
        named = guest(id, arch)
        return domain.judge(document, capabilities(arch), named, policy, host=seen).findings
    source: CommandLine | LoweredCommand
    if path.suffix == ".conf":
        conf = PveDocument.parse(text, path.name)
        vm = read_machine(conf, 100)
        arch = vm.arch
        source = PveVm(vm, capabilities(arch), guest(id, arch)).lowered(conf)
    else:
        source = CommandLine.parse(text, path.name)
        arch = CommandView.of(source).arch
    return judge(source, capabilities(arch), guest(id, arch), policy, host=seen).findings
