"""A function of a PCI slot that does not go with its function 0."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, MovePci, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the functions that QEMU refuses, and those that no system looks at."""
    for collision in ctx.occupancy.of("pci-function"):
        device, port, first = collision.device, collision.port, collision.other
        slot, function = collision.slot, collision.function
        names, name = (port.name,) if port else (), device.id or device.driver
        severity, repair = Severity.FAILS, None
        alone = f"PCI: single function device can't be populated in function {slot:x}.{function}"
        if first is not None:
            happens = alone
            repair = EditOptions((SetKey(first.option, "multifunction", True),),
                                 f"{first.id or first.driver}: multifunction=on")  # fmt: skip
        elif collision.place:
            happens = (
                f"PCI: {slot:x}.0 indicates single function, but {slot:x}.{collision.place} is "
                "already populated."
            )
            repair = EditOptions((SetKey(device.option, "multifunction", True),),
                                 f"{name}: multifunction=on")  # fmt: skip
        elif collision.board:
            happens = alone
        else:
            severity = Severity.DEAD
            happens = (
                f"slot {slot:x} has no function 0: QEMU starts, and the guest never looks at "
                f"function {function}"
            )
        yield RULE.finding(
            f"-device {device.option.value}: {happens}", device.option, names,
            (repair or MovePci(device.option, port.name if port else name),), severity=severity,
        )  # fmt: skip


RULE = Rule("pci-function", Severity.FAILS, PLACES, check, needs=(COLLISION,))
