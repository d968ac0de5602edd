"""A usb-serial on a bus that only has high speed."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports on an ehci without companions, and on the fast ports of an xhci."""
    for collision in ctx.occupancy.of("usb-speed"):
        port = collision.port
        assert port is not None
        yield RULE.of_port(
            port, 'Warning: speed mismatch trying to attach usb device "QEMU USB Serial" '
            f'(full speed) to bus "{collision.bus}", port "{collision.place}" '
            f"({collision.speed} speed)",
            stays_as_it_is(port),
        )  # fmt: skip


RULE = Rule("usb-speed", Severity.FAILS, PLACES, check, needs=(COLLISION,))
