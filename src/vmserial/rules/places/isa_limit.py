"""A fifth isa-serial, or an index past the last."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, Relocate, RuleContext
from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.model import Finding, Severity
from vmserial.rules.base import ISA, PLATFORM, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that QEMU refuses."""
    for conflict in ctx.isa:
        if conflict.owner:
            continue
        port, free = conflict.port, conflict.free
        yield RULE.of_port(
            port, f"Max. supported number of ISA serial ports is {ISA_SERIAL_PORTS}.",
            Relocate(port, kind="virtio" if port.channel else "") if free is None
            else EditOptions((SetKey(port.option, "index", free),),
                             f"{port.name}: isa-serial index={free}"),
        )  # fmt: skip


RULE = Rule(
    "isa-limit",
    Severity.FAILS,
    ISA,
    check,
    needs=(PLATFORM,),
    aliases={"pve": "pve-isa-limit"},
)
