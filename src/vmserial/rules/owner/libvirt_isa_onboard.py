"""isa-serial in a domain whose board has no ISA bus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import LIBVIRT, ONBOARD, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that libvirt makes the board's own."""
    assert ctx.lowered is not None
    assert ctx.platform is not None
    uart = ctx.platform.uart
    for dropped in ctx.lowered.command.dropped:
        if dropped.value != "isa-serial":
            continue
        finding = RULE.finding(
            f"{dropped.name} says isa-serial, and {ctx.arch} has no ISA bus: libvirt makes it "
            f"{f'a {uart.model}' if uart else 'a port'} of the board without a word",
            None, (dropped.name,),
        )  # fmt: skip
        yield replace(finding, where=dropped.where)


RULE = Rule("libvirt-isa-onboard", Severity.NOTE, ONBOARD, check, needs=(LIBVIRT, PLATFORM))
