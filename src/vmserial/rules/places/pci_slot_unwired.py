"""A PCI slot that the board has no wires to."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import MovePci, RuleContext
from vmserial.model import VIRTIO_PORTS, Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule
from vmserial.sources.command.places import DeviceEntry

_ON_CONTROLLERS = VIRTIO_PORTS | {"usb-serial"}


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports, and what carries them, that no system will find."""
    assert ctx.platform is not None
    for collision in ctx.occupancy.of("pci-slot-unwired"):
        device, port = collision.device, collision.port
        if port is None and not _has_ports(ctx, device):
            continue
        names, name = (port.name,) if port else (), device.id or device.driver
        yield RULE.finding(
            f"-device {device.option.value}: QEMU starts, and the guest finds no device in slot "
            f"{collision.slot:x} of {ctx.platform.name}",
            device.option, names, (MovePci(device.option, port.name if port else name),),
        )  # fmt: skip


def _has_ports(ctx: RuleContext, device: DeviceEntry) -> bool:
    """Tell whether ports are, or may be, on a controller: on its bus, or on none that is named."""
    if not ctx.carries(device):
        return False
    buses = {port.device.device.bus for port in ctx.ports
             if port.device is not None and port.driver in _ON_CONTROLLERS}  # fmt: skip
    return "" in buses or not device.id or f"{device.id}.0" in buses


RULE = Rule("pci-slot-unwired", Severity.DEAD, PLACES, check, needs=(COLLISION,))
