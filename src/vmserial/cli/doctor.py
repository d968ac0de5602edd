"""``vmserial doctor``: what is wrong with a VM's serial ports, why, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vmserial.cli.gather import gather, planned
from vmserial.cli.options import Asked, json_option, machine_options
from vmserial.cli.output import RED, headline, print_json, ranges, say

if TYPE_CHECKING:
    from vmserial.doctor import Finding


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
    from vmserial import doctor, host

    situation = gather(asked)
    made = planned(situation)
    findings = [
        *doctor.diagnose(situation.machine, situation.capabilities, situation.guest),
        *host.check(made),
    ]
    findings.sort(key=lambda finding: list(doctor.Severity).index(finding.severity))
    wrong = [f for f in findings if f.severity is not doctor.Severity.NOTE]
    if as_json:
        print_json([_json(finding) for finding in findings])
        return 1 if wrong else 0
    for finding in wrong:
        _show(finding)
    notes = [f.happens for f in findings if f.severity is doctor.Severity.NOTE]
    if notes:
        headline("Know")
        for note in notes:
            say(f"  {note}")
        say()
    count = len(situation.machine.ports)
    about = f"{situation.machine.name}: {count} serial port{'' if count == 1 else 's'}"
    if not wrong:
        say(f"{about}: nothing is wrong")
        return 0
    things = "one thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
    say(f"{about}: {things} wrong")
    return 1


def _show(finding: Finding) -> None:
    about = ranges(finding.ports) if finding.ports else "the VM"
    place = f" ({finding.where})" if finding.where else ""
    headline(str(finding.severity), f": {about}{place}  [{finding.id}]", RED)
    say(f"  what: {finding.happens}")
    say(f"  why:  {finding.why}")
    say(f"  do:   {finding.fix}\n")


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
