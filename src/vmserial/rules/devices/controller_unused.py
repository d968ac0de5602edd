"""A virtio-serial controller that no port is on."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.buses import found_by_themselves
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the controllers without a port; PVE adds its own without being asked."""
    if ctx.owner == "user" and ctx.is_pve:
        return
    if not any(device.is_virtio_serial for device in ctx.view.devices):
        return
    ports = [device for device in ctx.view.devices if device.virtio_port is not None]
    found = found_by_themselves(ctx) if ctx.platform is not None else {}
    buses = {found.get(id(port.option), port.bus) for port in ports}
    for device in ctx.view.devices:
        if not device.is_virtio_serial or (ports and not device.id):
            continue
        if ctx.owner_of(device.option) == "pve":
            continue
        if ports and (f"{device.id}.0" in buses or "" in buses):
            continue
        yield RULE.finding(
            f"{device.option}: a virtio-serial controller, and no port is on it: the guest gets "
            "no serial port from it", device.option,
        )  # fmt: skip


RULE = Rule("controller-unused", Severity.NOTE, KINDS, check)
