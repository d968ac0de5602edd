"""A device on a bus that nothing makes."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import MovePci, Relocate, RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Repair, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule

_PVES = (
    "PVE's command for this configuration has no {}: name a bus that it has, or add the "
    "controller to args before it"
)


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the devices on a bus that is not there; what is no port is its owner's to move."""
    for collision in ctx.occupancy.of("bus-missing"):
        device, port = collision.device, collision.port
        repair: Repair | None = None
        if port is None:
            if ctx.carries(device):
                repair = MovePci(device.option, device.id or device.driver)
        elif device.is_usb or device.virtio_port is not None:
            repair = stays_as_it_is(port)
        else:
            repair = Relocate(port)
        yield RULE.finding(
            f"-device {device.option.value}: Bus '{collision.bus}' not found", device.option,
            (port.name,) if port else (), (repair,) if repair else (),
            fix=_PVES.format(collision.bus) if ctx.owner == "pve" and not repair else "",
        )  # fmt: skip


RULE = Rule("bus-missing", Severity.FAILS, PLACES, check, needs=(COLLISION,))
