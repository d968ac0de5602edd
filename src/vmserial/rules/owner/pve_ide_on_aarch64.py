"""An IDE drive of a PVE VM whose board has no IDE controller."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield PVE's IDE drives on aarch64, whatever their volume is."""
    if ctx.arch != "aarch64":
        return
    for device in ctx.view.devices:
        if device.driver in {"ide-cd", "ide-hd"} and device.bus.startswith("ide."):
            name = device.id or device.driver
            yield RULE.finding(
                f"-device {device.option.value}: Bus '{device.bus}' not found: {name} has no bus "
                "to sit on", device.option, fix=f"move {name} to scsi or virtio",
            )  # fmt: skip


RULE = Rule(
    "pve-ide-on-aarch64",
    Severity.FAILS,
    PLACES,
    check,
    needs=(PVE,),
    among=("ide-cd", "ide-hd"),
)
