"""Virtconsoles past the hvc nodes that Linux has."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.limits import HVC_NODES
from vmserial.model import Finding, Severity
from vmserial.rules.base import CONSOLES, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the consoles that get no node."""
    consoles = [port for port in ctx.staying if port.driver == "virtconsole"]
    for port in consoles[HVC_NODES:]:
        yield RULE.of_port(
            port, f"Linux has {HVC_NODES} hvc nodes and all are taken: this console has none",
            Relocate(port, kind="virtio"),
        )  # fmt: skip


RULE = Rule("hvc-limit", Severity.DEAD, CONSOLES, check, needs=(PLATFORM,))
