"""A serial device without a chardev."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the devices that name no chardev."""
    for use in ctx.host_sides.uses:
        if use.kind != "chardev-required":
            continue
        fails = use.port.driver == "usb-serial"
        yield RULE.of_port(
            use.port,
            "Property chardev is required" if fails
            else "QEMU starts, and nothing on the host reaches this port",
            use.given("{name} got the chardev {new}"),
            severity=Severity.FAILS if fails else Severity.DEAD, assumed=True,
        )  # fmt: skip


RULE = Rule("chardev-required", Severity.FAILS, USES, check)
