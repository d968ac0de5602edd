"""A fifth user of one multiplexed chardev."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.chardevs import in_use
from vmserial.limits import MUX_FRONTENDS
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield who comes too late; only a port is given a chardev of its own."""
    for use in ctx.host_sides.uses:
        if use.kind == "mux-full":
            port = use.port
            key = port.device.key if port.device else ""
            yield RULE.of_port(
                port, _words(ctx, port.chardev_id, port.driver, key),
                use.given("{name} got the chardev {new} of its own"), assumed=True,
            )  # fmt: skip
    for refusal in ctx.host_sides.refused:
        claim = refusal.claim
        if refusal.by is None:
            words = _words(ctx, claim.chardev_id, claim.driver, claim.key)
            yield RULE.finding(f"{claim.option}: {words}", claim.option)


def _words(ctx: RuleContext, id: str, driver: str, key: str) -> str:
    version = ctx.capabilities.version
    if version >= (10, 0, 0):
        return f"too many uses of multiplexed chardev '{id}' (maximum is {MUX_FRONTENDS})"
    return in_use(version, id, driver, key)


RULE = Rule("mux-full", Severity.FAILS, USES, check)
