"""A configuration that is planned: our own TOML, or options alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from vmserial.cli.gather import gather, planned
from vmserial.cli.subject import FixWords
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError

if TYPE_CHECKING:
    from vmserial.model import Finding, Plan


def doctor(asked: VmOptions, words: FixWords) -> tuple[list[Finding], str]:
    """Return what is wrong with a configuration, on this binary, this guest and this host."""
    from vmserial import doctor as judge

    del words
    situation = gather(asked)
    made = planned(situation)
    findings = [
        *judge.diagnose(situation.machine, situation.capabilities, situation.guest),
        *host_findings(made),
    ]
    count = len(situation.machine.ports)
    return findings, f"{situation.machine.name}: {count} serial port{'' if count == 1 else 's'}"


def fix(asked: VmOptions, words: FixWords) -> int:
    """Refuse: what vmserial plans itself is right from the start."""
    del words
    raise UsageError(
        "there is nothing to mend: vmserial plans this itself",
        hint="fix takes a PVE configuration, a libvirt domain or a QEMU command; "
        "`vmserial showcmd` prints the command that is right",
        where=asked.input,
    )


def host_findings(plan: Plan) -> Iterator[Finding]:
    """Yield what the judge has against the plan's command on this host.

    A missing directory of a socket is only a note: `vmserial run` and `verify`
    make it, and PVE has made its own.
    """
    from vmserial.cli.host_facts import of_plan
    from vmserial.model import Severity, UnixSocket

    sockets = {
        a.port.name
        for a in plan.assignments
        if isinstance(a.port.chardev.backend, UnixSocket) and not a.port.chardev.logfile
    }
    for finding in of_plan(plan):
        if (
            finding.id == "directory-missing"
            and finding.ports
            and sockets.issuperset(finding.ports)
        ):
            text = f"{finding.happens.partition(': ')[2]}; before 'showcmd | sh': {finding.fix}"
            yield replace(finding, severity=Severity.NOTE, happens=text)
        else:
            yield finding
