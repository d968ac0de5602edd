"""A port that PVE does not start, or starts otherwise than a ``#vmserial`` line asks."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ASKED, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that are asked for so."""
    yield from RULE.of_asked(ctx, "PVE starts the VM without this port, or with another device")


RULE = Rule("pve-directive-only", Severity.DEAD, ASKED, check, needs=(PVE,))
