"""A number past the last of a virtio-serial controller."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose number is not there."""
    for collision in ctx.occupancy.of("virtio-port-range"):
        port = collision.port
        assert port is not None
        yield RULE.of_port(
            port, "virtio-serial-bus: Out-of-range port id specified, max. allowed: "
            f"{collision.limit - 1}",
            stays_as_it_is(port),
        )  # fmt: skip


RULE = Rule("virtio-port-range", Severity.FAILS, PLACES, check, needs=(COLLISION,))
