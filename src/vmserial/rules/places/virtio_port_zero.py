"""Number 0 of a virtio-serial controller is for a console."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that ask for number 0."""
    for collision in ctx.occupancy.of("virtio-port-zero"):
        port = collision.port
        assert port is not None
        yield RULE.of_port(
            port, "Port number 0 on virtio-serial devices reserved for virtconsole devices for "
            "backward compatibility.",
            stays_as_it_is(port),
        )  # fmt: skip


RULE = Rule("virtio-port-zero", Severity.FAILS, PLACES, check, needs=(COLLISION,))
