"""A chardev of a port's name that no device uses."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ASKED, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that were asked for and got no device."""
    for port in ctx.staying:
        used = port.device is not None or port.onboard is not None
        if not used and port.chardev_id not in ctx.host_sides.adopted:
            yield RULE.of_port(
                port, "no -serial and no -device uses this chardev: QEMU starts, and the guest "
                "has no such port", Relocate(port),
            )  # fmt: skip


RULE = Rule("port-without-device", Severity.DEAD, ASKED, check, needs=(PLATFORM,))
