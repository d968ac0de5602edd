"""A serial device without a chardev."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule

_REFUSED = {
    "usb-serial": "Property chardev is required",
    "spapr-vty": "chardev property not set",
}
"""What QEMU says of the devices that it does not make without one."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the devices that name no chardev."""
    for use in ctx.host_sides.uses:
        if use.kind != "chardev-required":
            continue
        refused = _REFUSED.get(use.port.driver)
        yield RULE.of_port(
            use.port, refused or "QEMU starts, and nothing on the host reaches this port",
            use.given("{name} got the chardev {new}"),
            severity=Severity.FAILS if refused else Severity.DEAD, assumed=True,
        )  # fmt: skip


RULE = Rule("chardev-required", Severity.FAILS, USES, check)
