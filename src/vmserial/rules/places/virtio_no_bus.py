"""A virtio port, and no virtio-serial controller."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that have no controller."""
    for collision in ctx.occupancy.of("virtio-no-bus"):
        port = collision.port
        assert port is not None
        yield RULE.of_port(
            port, f"No 'virtio-serial-bus' bus found for device '{port.driver}'",
            stays_as_it_is(port),
        )  # fmt: skip


RULE = Rule("virtio-no-bus", Severity.FAILS, PLACES, check, needs=(COLLISION,))
