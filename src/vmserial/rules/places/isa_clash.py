"""Two isa-serial of one index."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ISA, PLATFORM, Rule
from vmserial.sources.command.edits import Edit, RemoveKey, SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose index another one has."""
    # microvm writes each into its device tree, where a name can be once (7.2, 10.0, 11.1: run).
    starts = ctx.platform is None or ctx.platform.name != "microvm"
    for conflict in ctx.isa:
        if not conflict.owner:
            continue
        port, free, owner = conflict.port, conflict.free, conflict.owner
        what = f"index is {conflict.index}"
        edits: list[Edit] = [SetKey(port.option, "index", free)] if free is not None else []
        if conflict.iobase is not None:
            what = f"I/O port is {conflict.iobase:#x}"
            edits.append(RemoveKey(port.option, "iobase"))
        yield RULE.finding(
            f"{port.subject}: its {what}, which {owner} has: "
            + ("QEMU starts, and one of the two is dead" if starts
               else "Failed to create subnode: FDT_ERR_EXISTS"), port.option,
            (owner, port.name) if owner.startswith("serial") else (port.name,),
            (Relocate(port, kind="virtio" if port.channel else "") if free is None
             else EditOptions(tuple(edits),
                              f"{port.name}: isa-serial index={free}"),),
            severity=None if starts else Severity.FAILS,
        )  # fmt: skip


RULE = Rule("isa-clash", Severity.DEAD, ISA, check, needs=(PLATFORM,))
