"""A TCP port that somebody else has in one of the two families."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import families_taken
from vmserial.context.listeners import families
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the servers that would listen on IPv4 or on IPv6 alone."""
    assert ctx.host is not None
    for option, id, backend, params in ctx.view.host_ends():
        taken = families_taken(ctx.host, backend, params)
        if taken and taken < families(params) and not params.get("host"):
            own, other = ("IPv6", "IPv4") if taken == {4} else ("IPv4", "IPv6")
            yield RULE.finding(
                f"{option}: another process has TCP port {params['port']} on {other}: QEMU starts, "
                f"without a word, and listens on {own} alone; who connects by {other} reaches the "
                "other process", option, ctx.ports_at(option, id),
            )  # fmt: skip


RULE = Rule("address-half-taken", Severity.DEAD, ENDS, check, needs=(HOST,))
