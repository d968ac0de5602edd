"""A look at this host for the judge, as far as a command is one that this host starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmserial.model import Finding, Plan
    from vmserial.model.host import HostFacts
    from vmserial.model.origin import LoweredCommand
    from vmserial.sources.command import CommandView


def facts(view: CommandView) -> HostFacts:
    """Look at what a command names."""
    from vmserial import host
    from vmserial.context.hostends import opened

    sides = [(backend, params) for _, _, backend, params in view.host_ends()]
    return host.look(sides, [path for _, path in opened(view)])


def here(program: str) -> bool:
    """Tell whether an emulator is on this machine; a command without one is this machine's."""
    from vmserial.qemu.binary import which

    return not program or which(program) != ""


def of_lowered(command: LoweredCommand) -> HostFacts:
    """Look at what the command of another source names."""
    from vmserial.context.origins import Origins
    from vmserial.sources.command import CommandView

    return facts(CommandView.of(Origins.of_command(command).line, arch=command.arch))


def of_plan(made: Plan) -> list[Finding]:
    """Return what the judge has against a plan on this host.

    What is only to be known the plan says itself.
    """
    from vmserial.judging import judge
    from vmserial.judging.plans import lowered
    from vmserial.model import Severity

    command = lowered(made)
    verdict = judge(command, made.qemu, made.guest, host=of_lowered(command))
    if all(finding.severity is Severity.NOTE for finding in verdict.found):
        return []  # without a look into the documents
    return [f for f in verdict.findings if f.severity is not Severity.NOTE]
