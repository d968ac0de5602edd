"""More devices for virtio-mmio than the board has transports."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.allocator import is_on_mmio
from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the virtio-serial controllers that find none."""
    assert ctx.platform is not None
    left = ctx.platform.virtio_mmio
    if not left:
        # pci-no-bus says it.
        return
    for device in ctx.made:
        if not is_on_mmio(device.driver):
            continue
        left -= 1
        if left < 0 and device.is_virtio_serial:
            names = tuple(
                port.name for port in ctx.ports
                if port.device is not None and device.id
                and port.device.device.bus == f"{device.id}.0"
            )  # fmt: skip
            yield RULE.finding(
                f"{device.option}: No 'virtio-bus' bus found for device '{device.driver}'; the "
                f"{ctx.platform.virtio_mmio} transports of {ctx.platform.name} are taken",
                device.option, names,
                fix="put the ports on fewer controllers, 15 on each",
            )  # fmt: skip


RULE = Rule("virtio-mmio-full", Severity.FAILS, PLACES, check, needs=(PLATFORM,))
