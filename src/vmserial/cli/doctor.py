"""``vmserial doctor``: what is wrong with a VM's serial ports, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from vmserial.cli.gather import gather, planned
from vmserial.cli.options import Asked, json_option, machine_options
from vmserial.cli.output import RED, alike, headline, item, print_json, ranges, say

if TYPE_CHECKING:
    from vmserial.doctor import Finding
    from vmserial.model import Plan


@click.command(
    "doctor",
    epilog="""\b
Examples:
  vmserial doctor 142.conf
  vmserial doctor 142.conf --type pci --guest debian-12-arm64
  vmserial doctor --arch aarch64 --ports 10 --type pci --json

Exit code 0: nothing is wrong; 1: there is something.""",
)
@machine_options()
@json_option
def command(asked: Asked, as_json: bool) -> int:
    """Say what would fail to start, what would be silently dead, why, and what to do."""
    from vmserial import doctor

    situation = gather(asked)
    made = planned(situation)
    findings = [
        *doctor.diagnose(situation.machine, situation.capabilities, situation.guest),
        *_host_findings(made),
    ]
    findings.sort(key=lambda finding: list(doctor.Severity).index(finding.severity))
    wrong = [f for f in findings if f.severity is not doctor.Severity.NOTE]
    if as_json:
        print_json([_json(finding) for finding in findings])
        return 1 if wrong else 0
    groups = alike(wrong, lambda f: (f.id, f.happens, f.why, f.fix))
    for group in groups:
        _show(group)
    notes = [f.happens for f in findings if f.severity is doctor.Severity.NOTE]
    if notes:
        headline("Know")
        for note in dict.fromkeys(notes):
            item(note)
        say()
    count = len(situation.machine.ports)
    about = f"{situation.machine.name}: {count} serial port{'' if count == 1 else 's'}"
    if not groups:
        say(f"{about}: nothing is wrong")
        return 0
    things = "one thing is" if len(groups) == 1 else f"{len(groups)} things are"
    say(f"{about}: {things} wrong")
    return 1


def _host_findings(plan: Plan) -> Iterator[Finding]:
    """Yield what the host's own files have against it.

    A missing directory of a socket is only a note: `vmserial run` and `verify`
    make it, and PVE has made its own.
    """
    from vmserial import host
    from vmserial.doctor import Severity
    from vmserial.model import UnixSocket

    sockets = {
        a.port.name
        for a in plan.assignments
        if isinstance(a.port.chardev.backend, UnixSocket) and not a.port.chardev.logfile
    }
    for finding in host.check(plan):
        if finding.id == "directory-missing" and sockets.issuperset(finding.ports):
            text = f"{finding.happens.partition(': ')[2]}; before 'showcmd | sh': {finding.fix}"
            yield replace(finding, severity=Severity.NOTE, happens=text)
        else:
            yield finding


def _show(group: list[Finding]) -> None:
    finding = group[0]
    ports = [name for each in group for name in each.ports]
    places = dict.fromkeys(str(each.where) for each in group if each.where)
    place = f" ({', '.join(places)})" if places else ""
    headline(str(finding.severity), f": {ranges(ports) or 'the VM'}{place}  [{finding.id}]", RED)
    item(finding.happens, "  what: ")
    if len(group) > 1:
        item(f"and the same for {ranges(ports[1:])}", "        ")
    item(finding.why, "  why:  ")
    item(finding.fix, "  do:   ")
    item(f"vmserial explain {finding.id}", "  more: ")
    say()


def _json(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "severity": str(finding.severity),
        "ports": list(finding.ports),
        "happens": finding.happens,
        "why": finding.why,
        "fix": finding.fix,
        "where": str(finding.where) if finding.where else "",
    }
