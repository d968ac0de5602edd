"""Two PCI devices at one address."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import MovePci, Relocate, RuleContext
from vmserial.context.occupancy import Collision
from vmserial.model import Finding, Repair, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the devices whose address another one has; only serial ones are moved."""
    for collision in ctx.occupancy.of("pci-slot-taken"):
        device, other, function = collision.device, collision.other, collision.function
        ports, repairs = _repairs(ctx, collision)
        if other is None:
            yield RULE.finding(
                f"-device {device.option.value}: PCI: slot {collision.slot:x} function "
                f"{function} not available for {device.driver}, in use by",
                device.option, ports, repairs,
                fix="the board itself, or QEMU's own card, is there: choose another address",
            )  # fmt: skip
        else:
            yield RULE.finding(
                f"-device {device.option.value}: PCI: slot {collision.slot:x} function {function} "
                f"not available for {device.driver}, in use by "
                f"{other.driver},id={other.id or '(null)'}", device.option, ports, repairs,
            )  # fmt: skip


def _repairs(ctx: RuleContext, collision: Collision) -> tuple[tuple[str, ...], tuple[Repair, ...]]:
    """Return the port that is moved, and how."""
    assert ctx.platform is not None
    device, port, other = collision.device, collision.port, collision.other
    names = (port.name,) if port else ()
    if port is not None and collision.bus != ctx.platform.root_bus:
        return names, (Relocate(port),)
    if port is not None or ctx.carries(device):
        name = port.name if port else device.id or device.driver
        return names, (MovePci(device.option, name),)
    if other is None:
        return names, ()
    # It is not ours to move; the one that was there first may be.
    there = ctx.occupancy.port_of.get(id(other.option))
    if there is None and not ctx.carries(other):
        return names, ()
    moved = MovePci(other.option, there.name if there else other.id)
    return (there.name,) if there else (), (moved,)


RULE = Rule("pci-slot-taken", Severity.FAILS, PLACES, check, needs=(COLLISION,))
