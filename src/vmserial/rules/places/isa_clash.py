"""Two isa-serial of one index."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ISA, PLATFORM, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose index another one has."""
    for conflict in ctx.isa:
        if not conflict.owner:
            continue
        port, free, owner = conflict.port, conflict.free, conflict.owner
        yield RULE.finding(
            f"{port.subject}: its index is {conflict.index}, which {owner} has: QEMU starts, and "
            "one of the two is dead", port.option,
            (owner, port.name) if owner.startswith("serial") else (port.name,),
            (Relocate(port, kind="virtio" if port.channel else "") if free is None
             else EditOptions((SetKey(port.option, "index", free),),
                              f"{port.name}: isa-serial index={free}"),),
        )  # fmt: skip


RULE = Rule("isa-clash", Severity.DEAD, ISA, check, needs=(PLATFORM,))
