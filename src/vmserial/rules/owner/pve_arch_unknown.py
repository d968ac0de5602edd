"""An architecture that PVE cannot start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.context import RuleContext
from vmserial.limits import PVE_ARCHITECTURES
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the line that names it."""
    assert ctx.lowered is not None
    for gap in ctx.lowered.command.gaps:
        if gap.rule == RULE.id:
            fix = f"write `arch: {ctx.arch}`" if ctx.arch in PVE_ARCHITECTURES else ""
            yield replace(RULE.finding(gap.text, None, fix=fix), where=gap.where)


RULE = Rule("pve-arch-unknown", Severity.FAILS, KINDS, check, needs=(PVE,))
