"""A USB port that is taken, or not there."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that do not get the USB port that they ask for."""
    for collision in ctx.occupancy.of("usb-port-taken"):
        port = collision.port
        assert port is not None
        words = f"usb port {collision.place} (bus {collision.bus}) not found (in use?)"
        if not collision.place:
            words = "tried to attach usb device QEMU USB Serial to a bus with no free ports"
        yield RULE.of_port(port, words, stays_as_it_is(port))


RULE = Rule("usb-port-taken", Severity.FAILS, PLACES, check, needs=(COLLISION,))
