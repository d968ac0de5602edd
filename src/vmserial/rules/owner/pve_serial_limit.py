"""A line for a serial port that PVE does not know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ASKED, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the lines for serial4 and beyond: they never reach the command."""
    assert ctx.lowered is not None
    for dropped in ctx.lowered.command.dropped:
        if dropped.reason == "no-such-line":
            name = dropped.name
            found = RULE.finding(
                f"{name} never reaches PVE's command line, and the line '{name}:' is gone at "
                "PVE's next write of this file", None, (name,),
            )  # fmt: skip
            yield replace(found, where=dropped.where)


RULE = Rule("pve-serial-limit", Severity.LOST, ASKED, check, needs=(PVE,))
