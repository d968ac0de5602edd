"""Two devices at one address of the channel subsystem."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, Rule
from vmserial.sources.command.edits import RemoveKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the devices whose devno another one has."""
    if ctx.arch != "s390x":
        return
    taken: set[str] = set()
    for device in ctx.made:
        devno = device.get("devno").lower()
        if not devno:
            continue
        if devno in taken:
            name = device.id or device.driver
            repair = EditOptions(
                (RemoveKey(device.option, "devno"),), f"{name}: QEMU chooses its address"
            )
            yield RULE.finding(
                f"{device.option}: Device {devno} already exists", device.option, (), (repair,)
            )
        taken.add(devno)


RULE = Rule("ccw-address-taken", Severity.FAILS, PLACES, check)
