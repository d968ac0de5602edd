"""A port in ``args:`` that the lines about it ask for otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ASKED, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that are asked for so."""
    assert ctx.lowered is not None
    for asked in ctx.lowered.command.asked:
        if asked.rule == RULE.id:
            happens = f"{asked.name}: what args has for it is not what the configuration asks for"
            yield replace(RULE.finding(happens, None, (asked.name,)), where=asked.where)


RULE = Rule("pve-args-stale", Severity.DEAD, ASKED, check, needs=(PVE,))
