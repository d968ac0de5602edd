"""``chardev=`` on a card of several ports."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command.edits import RemoveKey, SetKey
from vmserial.sources.command.view import SERIAL_DRIVERS


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the cards that have chardev1, chardev2, … and were given a chardev."""
    for device in ctx.made:
        keys = SERIAL_DRIVERS.get(device.driver, ("chardev",))
        if "chardev" in keys or "chardev" not in device.option.params.values:
            continue
        option, value = device.option, device.get("chardev")
        free = next((key for key in keys if not device.get(key)), "")
        repairs: tuple[EditOptions, ...] = ()
        if free and value in ctx.chardevs:
            edits = (RemoveKey(option, "chardev"), SetKey(option, free, value))
            repairs = (EditOptions(edits, f"{device.id or device.driver}: {free}={value}"),)
        yield RULE.finding(
            f"{option}: Property '{device.driver}.chardev' not found", option,
            (ctx.chardev_user(value),), repairs,
        )  # fmt: skip


RULE = Rule(
    "pci-card-chardev", Severity.FAILS, IDS, check, among=("pci-serial-2x", "pci-serial-4x")
)
