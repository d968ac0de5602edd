"""A serial line whose value PVE takes for the path of a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ASKED, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the lines for which PVE refuses to start the VM."""
    assert ctx.lowered is not None
    for gap in ctx.lowered.command.gaps:
        if gap.rule == RULE.id and isinstance(gap.handle, str):
            found = RULE.finding(
                f"{gap.handle}: PVE reads the line, and at start it fails: no such serial device",
                None, (gap.handle,),
            )  # fmt: skip
            yield replace(found, where=gap.where)


RULE = Rule("pve-backend-unknown", Severity.FAILS, ASKED, check, needs=(PVE,))
