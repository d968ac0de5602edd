"""A usb-serial, and no USB bus."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.machines import WITHOUT_USB
from vmserial.model import Finding, Repair, Severity
from vmserial.rules.base import PLACES, Rule
from vmserial.sources.command.edits import SetKey
from vmserial.values import is_on


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that have no bus."""
    if ctx.platform is None:
        yield from _unplanned(ctx)
        return
    for collision in ctx.occupancy.of("usb-no-bus"):
        port = collision.port
        assert port is not None
        yield RULE.of_port(
            port, "No 'usb-bus' bus found for device 'usb-serial'",
            stays_as_it_is(port),
        )  # fmt: skip


def _unplanned(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports on a machine type that is not planned on and makes no USB bus."""
    asked = is_on(ctx.view.machine.get("usb")) or any(o.name == "usb" for o in ctx.view.options)
    microvm = ctx.machine_type.startswith("microvm")
    if not ctx.complete or not (ctx.board in WITHOUT_USB or (microvm and not asked)):
        return
    ports = {id(port.option): port for port in ctx.ports}
    for device in ctx.made:
        if device.is_usb_controller:
            return
        port = ports.get(id(device.option))
        if port is None or port.driver != "usb-serial" or device.bus:
            continue
        repairs: tuple[Repair, ...] = ()
        if microvm and ctx.view.machine_options:
            edit = SetKey(ctx.view.machine_options[-1], "usb", True)
            repairs = (EditOptions((edit,), f"{port.name}: the machine has USB: usb=on"),)
        yield RULE.of_port(
            port, "No 'usb-bus' bus found for device 'usb-serial'", *repairs,
            fix="" if microvm else f"{ctx.board} has no USB: put -device with a USB controller "
            "before it where the machine has PCI, else use -serial",
        )  # fmt: skip


RULE = Rule(
    "usb-no-bus",
    Severity.FAILS,
    PLACES,
    check,
    aliases={"libvirt": "libvirt-no-usb"},
)
