"""A usb-serial, and no USB bus."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that have no bus."""
    for collision in ctx.occupancy.of("usb-no-bus"):
        port = collision.port
        assert port is not None
        yield RULE.of_port(
            port, "No 'usb-bus' bus found for device 'usb-serial'",
            stays_as_it_is(port),
        )  # fmt: skip


RULE = Rule(
    "usb-no-bus",
    Severity.FAILS,
    PLACES,
    check,
    needs=(PLATFORM,),
    aliases={"libvirt": "libvirt-no-usb"},
)
