"""Judging and repairing a QEMU command line.  Pure; also run by the emulator shim.

A source that is no command line (a PVE configuration, a libvirt domain) is lowered to one,
judged, and the answers are raised back, round by round, because what a change makes
possible, or uncovers, is seen only then::

    for _ in range(ROUNDS):
        lowered = lower(document, facts)                      # a LoweredCommand
        verdict = judge(lowered, capabilities, guest, policy)
        raised = raise_(document, verdict)
        if raised.document == document: break
        document = raised.document

``verdict.found`` are the findings; each ``where`` is the origin's, and
``verdict.origin(option).origin.handle`` of each of its ``options`` is what the lowerer put
there.  ``verdict.answers`` pairs a finding with the edits (of :mod:`vmserial.sources.command`)
that answer it; ``verdict.origin(edit.option)`` tells what each of them is to change.  An
answer is raised whole, with those of ``verdict.support`` that it needs (controllers; they
are new options and have no origin), or refused whole.  A lowered command is judged for one
round only: the next one is the raiser's to ask for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from vmserial.context import Relocate, RepairPolicy, RuleContext
from vmserial.judging.base import Judgement, Looked
from vmserial.limits import PCI_SLOTS
from vmserial.model import Capabilities, Finding, GuestProfile
from vmserial.rules.base import Rule
from vmserial.rules.index import PHASES
from vmserial.sources.command import CommandLine, CommandOption, CommandView
from vmserial.sources.command.view import ReadFile

if TYPE_CHECKING:
    from vmserial.context.origins import Origins
    from vmserial.model.host import HostFacts
    from vmserial.model.origin import LoweredCommand

ROUNDS = PCI_SLOTS
"""A repaired command is judged again, so often at most; one that has nothing more ends it.

As many as a PCI bus has slots: where a device that names none is moved away, the next one
of that sort gets its slot, and may be as much in the way there."""

IN_VAIN = 4
"""How often one finding of one port may come back after its repair."""

Key = tuple[str, tuple[str, ...], str]


def key(finding: Finding) -> Key:
    """Return what tells a finding from the others, round for round: its id, ports and words."""
    return finding.id, finding.ports, "" if finding.ports else finding.happens


def judge(
    source: CommandLine | LoweredCommand,
    capabilities: Capabilities,
    guest: GuestProfile,
    policy: RepairPolicy | None = None,
    *,
    host: HostFacts | None = None,
    read_file: ReadFile | None = None,
) -> Judgement:
    """Say what is wrong with a command line's serial ports, and repair what can be repaired.

    What is not wrong keeps every byte, and a repaired command line has nothing left to repair.

    Args:
        source: the command line, or what another source was lowered to.
        capabilities: the binary's; an empty device list means "unknown, has all".
        guest: what the guest's kernel carries.
        policy: what its owner prefers.
        host: what was seen of the host; None: nothing that depends on it is said.
        read_file: reads the files of -readconfig.

    Raises:
        ConfigError: a value of the command line is broken.
    """
    origins: Origins | None = None
    if not isinstance(source, CommandLine):
        # The shim, which judges command lines alone, does not have it.
        from vmserial.context.origins import Origins

        origins = Origins.of_command(source)
    arch = origins.command.arch if origins else capabilities.target

    def judged(command: CommandLine) -> Judgement:
        """Judge and repair once."""
        view = CommandView.of(command, arch=arch, read_file=read_file)
        if origins is not None and view.arch != arch:
            # qemu-system-aarch64 runs an arm domain too.
            view = replace(view, arch=arch)
        asked = policy or RepairPolicy()
        ctx = RuleContext(command, view, capabilities, guest, asked, origins, host)
        found = findings_of(ctx)
        if vain:
            found = tuple(each.but(repairs=()) if key(each) in vain else each for each in found)
        if not any(finding.repairs for finding in found):
            # No board is laid out where nobody moves.
            return Judgement(found, (), command, found, (), (), origins, ())
        if origins is not None:
            return Looked(found, command, origins, lambda: _mended(ctx, found, origins))
        return _mended(ctx, found, None)

    vain: set[Key] = set()
    if not isinstance(source, CommandLine):
        assert origins is not None
        return judged(origins.line)
    first = last = judged(source)
    changes = list(first.changes)
    tried = Counter({key(answer.finding) for answer in first.answers})
    for _ in range(ROUNDS):
        if not last.changes:
            break
        # What a change made possible, or uncovered, is seen only now.
        last = judged(last.command)
        tried.update({key(answer.finding) for answer in last.answers})
        if again := {each for each, times in tried.items() if times > IN_VAIN}:
            # It does not help: nothing of it is kept, and its owner is told.
            vain |= again
            last = judged(source)
            changes = []
            tried.clear()
        changes += last.changes
    return replace(
        first, changes=tuple(changes), given=last.command, edits=(), unmended=last.unmended
    )  # fmt: skip


def _mended(ctx: RuleContext, found: tuple[Finding, ...], origins: Origins | None) -> Judgement:
    """Repair what can be repaired."""
    from vmserial.judging.apply import applied  # who only looks does without it

    done = applied(ctx, found)
    return Judgement(
        found, tuple(done.changes), ctx.command, tuple(done.unmended), tuple(done.answers),
        tuple(done.support), origins, done.edits,
    )  # fmt: skip


def findings_of(ctx: RuleContext) -> tuple[Finding, ...]:
    """Run all rules, phase by phase; what one phase moves away does not count in the next."""
    found: list[Finding] = []
    for phase in PHASES:
        now = [each for rule in phase if rule.applies(ctx) for each in _of_rule(rule.rule, ctx)]
        if not now:
            continue
        if len(now) > 1 and len(phase) > 1:
            now.sort(key=lambda finding: _place(ctx, finding))
        found += now
        leaving = {r.port for each in now for r in each.repairs if isinstance(r, Relocate)}
        if not leaving <= ctx.leaving:
            ctx = ctx.after(ctx.leaving | leaving)
    return tuple(found)


def _of_rule(rule: Rule, ctx: RuleContext) -> list[Finding]:
    """Return what one rule finds, under the id that its owner knows and as far as is allowed."""
    found = [*rule.check(ctx)]
    if not found:
        return found
    made: list[Finding] = []
    for finding in found:
        option = finding.options[0] if finding.options else None
        if rule.aliases and isinstance(option, CommandOption):
            finding = finding.but(id=rule.id_for(ctx, option))
        if finding.assumed and ctx.policy.cautious:
            finding = finding.but(repairs=())
        made.append(finding)
    return made


def _place(ctx: RuleContext, finding: Finding) -> tuple[int, int]:
    """Return where a finding stands: as QEMU comes to its option; on a card, its port."""
    port = ctx.named.places.get(finding.ports[-1], -1) if finding.ports else -1
    return ctx.order.get(id(finding.options[0]), -1) if finding.options else -1, port
