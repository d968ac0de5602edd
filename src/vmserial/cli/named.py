"""What is wrong with an input as its owner starts it, named by the verbs that plan it anew.

`plan`, `showcmd` and `run` are about what vmserial starts, in which every port has a device
that works.  That its owner's own command would not start, or leave a port dead, is said all
the same: in the words of `doctor`, one line each, on stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from vmserial.cli.output import complain, ranges, silently
from vmserial.cli.subject import FixWords, input_of, module_of
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.model import Finding, Plan


def named(asked: VmOptions, words: FixWords | None = None) -> list[Finding]:
    """Say what `doctor` finds wrong with an input that somebody else starts; return it.

    Args:
        asked: with its input read.
        words: what is asked of it; unnamed: only what is wrong, without what mends it.

    Raises:
        VmserialError: the input cannot be read or judged.
    """
    from vmserial.model import Severity

    given = input_of(asked)
    if given.kind == "machine":
        return []  # what is wrong with a plan of ours the plan says
    owners = _as_its_owner_starts_it(asked)
    asked_of = words or FixWords(named=True)
    found, _ = silently(lambda: module_of(given.kind).doctor(owners, asked_of))
    wrong = [finding for finding in found if finding.severity is not Severity.NOTE]
    for finding in wrong:
        place = f"{finding.where}: " if finding.where else ""
        complain(
            f"vmserial: {finding.severity}: {place}{ranges(finding.ports) or 'the VM'} "
            f"[{finding.id}] (vmserial doctor says why)"
        )
    return wrong


def _as_its_owner_starts_it(asked: VmOptions) -> VmOptions:
    """Return what was asked without the options that are laid over the input for the plan."""
    return VmOptions(
        input=asked.input, given=asked.given, command=asked.command, root=asked.root,
        connect=asked.connect, arch=asked.arch, archs=asked.archs, qemu=asked.qemu,
        guest=asked.guest, append=asked.append, vmid=asked.vmid, snapshot=asked.snapshot,
        pending=asked.pending,
    )  # fmt: skip


def named_and_planned(asked: VmOptions, name: Callable[[VmOptions], object] = named) -> Plan:
    """Plan an input, and say what is wrong with it as its owner starts it.

    Raises:
        VmserialError: as :func:`vmserial.cli.gather.gather`; what is wrong is said all the same.
    """
    from vmserial.cli.gather import gather, planned
    from vmserial.errors import VmserialError

    try:
        made = planned(gather(asked))
    except VmserialError:
        name(asked)
        raise
    name(asked)
    return made


def ids(findings: Iterable[Finding]) -> list[str]:
    """Return what is wrong by its ids, each once; what is only to be known is left out."""
    from vmserial.model import Severity

    return list(dict.fromkeys(f.id for f in findings if f.severity is not Severity.NOTE))


def as_data(finding: Finding) -> dict[str, object]:
    """Return a finding as ``--json`` gives it."""
    return {
        "id": finding.id,
        "severity": str(finding.severity),
        "ports": list(finding.ports),
        "happens": finding.happens,
        "why": finding.why,
        "fix": finding.fix,
        "where": str(finding.where) if finding.where else "",
    }
