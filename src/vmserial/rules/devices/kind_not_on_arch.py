"""A serial device that the binary or the board does not have."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose device is not there."""
    assert ctx.platform is not None
    for port in ctx.unsupported:
        if not port.channel:
            yield RULE.of_port(
                port, f"'{port.driver}' is not a valid device model name", Relocate(port),
                fix=f"use a device that {ctx.arch} {ctx.platform.name} has: usb-serial, "
                "pci-serial or virtserialport",
            )  # fmt: skip


RULE = Rule(
    "kind-not-on-arch",
    Severity.FAILS,
    KINDS,
    check,
    needs=(PLATFORM,),
    aliases={"pve": "pve-isa-on-aarch64"},
)
