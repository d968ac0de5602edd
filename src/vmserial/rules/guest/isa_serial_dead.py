"""isa-serial on a board whose ISA bus has ports where no guest looks."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield such ports."""
    assert ctx.platform is not None
    why = ctx.platform.unseen_isa
    for port in ctx.staying if why else ():
        if port.driver == "isa-serial" and not port.channel:
            yield RULE.of_port(port, f"the guest has no node for it: {why}", Relocate(port))


RULE = Rule(
    "isa-serial-dead", Severity.DEAD, KINDS, check, needs=(PLATFORM,), among=("isa-serial",)
)
