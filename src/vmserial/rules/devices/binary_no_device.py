"""A device with a chardev that the binary does not have."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.machines import BOARD_UARTS
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule
from vmserial.sources.command.view import SERIAL_DRIVERS


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the -device whose name is none; those of ports on a planned board have their rule."""
    known = ctx.capabilities.devices
    for device in ctx.made:
        driver = device.driver
        if not driver or driver in known or not device.params.get("chardev"):
            continue
        if driver in BOARD_UARTS:
            lacks = ctx.arch not in BOARD_UARTS[driver]
        elif driver in SERIAL_DRIVERS and ctx.platform is not None:
            continue
        else:
            lacks = bool(known) and not ctx.capabilities.trimmed
        if lacks:
            yield RULE.finding(
                f"{device.option}: '{driver}' is not a valid device model name", device.option,
                (ctx.chardev_user(device.get("chardev")),), fix=_way_out(ctx, driver),
            )  # fmt: skip


def _way_out(ctx: RuleContext, driver: str) -> str:
    import difflib  # only the way to an error needs it

    there = [each for each in SERIAL_DRIVERS if ctx.knows(each)]
    near = difflib.get_close_matches(driver, there, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"see what there is: qemu-system-{ctx.arch} -device help"


RULE = Rule("binary-no-device", Severity.FAILS, KINDS, check, needs=("readconfig", "devices"))
