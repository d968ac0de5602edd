"""A port in ``args:`` that the lines about it ask for otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ASKED, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that are asked for so."""
    yield from RULE.of_asked(ctx, "what args has for it is not what the configuration asks for")


RULE = Rule("pve-args-stale", Severity.DEAD, ASKED, check, needs=(PVE,))
