"""A usb-serial that is unplugged until its client comes."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.context.ports import bare_chardev
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule
from vmserial.sources.command.edits import SetKey
from vmserial.values import is_on


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that the guest does not see from its start."""
    known = ctx.capabilities.devices.get("usb-serial")
    can = known is None or "always-plugged" in known.properties
    for port in ctx.occupancy.on_usb:
        assert port.device is not None
        entry = ctx.chardevs.get(port.chardev_id)
        open_at_once = entry is not None and entry.backend not in {"socket", "pty"}
        if bare_chardev(port) is not None:
            continue
        if open_at_once or is_on(port.device.device.get("always-plugged")):
            continue
        repair = EditOptions((SetKey(port.option, "always-plugged", True),),
                             f"{port.name}: always-plugged=on")  # fmt: skip
        yield RULE.of_port(
            port, "the guest has no ttyUSB for it until a client opens "
            f"{port.chardev_id} for the first time", *((repair,) if can else ()),
        )  # fmt: skip


RULE = Rule("usb-not-plugged", Severity.DEAD, PLACES, check, needs=(PLATFORM,))
