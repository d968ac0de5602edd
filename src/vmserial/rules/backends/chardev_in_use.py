"""A chardev that another port, a monitor or something else has."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.chardevs import in_use
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield who does not get a chardev that somebody has; only a port is given another one."""
    version = ctx.capabilities.version
    for use in ctx.host_sides.uses:
        if use.kind == "chardev-in-use":
            port, id = use.port, use.port.chardev_id
            key = port.device.key if port.device else ""
            yield RULE.finding(
                f"{port.subject}: {in_use(version, id, port.driver, key)}", port.option,
                (use.owner.name, port.name) if use.owner else (port.name,),
                (use.given("{name} got the chardev {new} of its own"),), assumed=True,
            )  # fmt: skip
    for refusal in ctx.host_sides.refused:
        claim = refusal.claim
        if refusal.by is not None:
            words = in_use(version, claim.chardev_id, claim.driver, claim.key)
            yield RULE.finding(f"{claim.option}: {words}", claim.option)


RULE = Rule("chardev-in-use", Severity.FAILS, USES, check)
