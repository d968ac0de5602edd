"""A generation id that PVE gives a VM whose QEMU has no such device."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield PVE's vmgenid on aarch64."""
    if ctx.arch != "aarch64":
        return
    for device in ctx.view.devices:
        if device.driver == "vmgenid":
            yield RULE.finding(
                f"-device {device.option.value}: 'vmgenid' is not a valid device model name",
                device.option,
            )


RULE = Rule(
    "pve-vmgenid-on-aarch64",
    Severity.FAILS,
    PLACES,
    check,
    needs=(PVE,),
    among=("vmgenid",),
)
