"""A UART of boards, asked for with -device."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.machines import BOARD_UARTS
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the -device that QEMU refuses although it knows the device."""
    for device in ctx.made:
        if ctx.arch not in BOARD_UARTS.get(device.driver, ()):
            continue
        if ctx.capabilities.devices and device.driver in ctx.capabilities.devices:
            continue
        what = "a pluggable" if ctx.capabilities.version >= (6, 0, 0) else "pluggable"
        yield RULE.finding(
            f"{device.option}: Parameter 'driver' expects {what} device type", device.option,
            (ctx.chardev_user(device.get("chardev")),) if device.get("chardev") else (),
            fix="use -serial chardev:ID for the board's own UART, and usb-serial, pci-serial or "
            "virtserialport for more",
        )  # fmt: skip


RULE = Rule("device-not-pluggable", Severity.FAILS, KINDS, check, among=BOARD_UARTS)
