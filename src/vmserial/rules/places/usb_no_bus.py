"""A usb-serial, and no USB bus."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, Port, RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.machines import WITHOUT_USB
from vmserial.model import Finding, Repair, Severity
from vmserial.rules.base import PLACES, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that have no bus."""
    if ctx.platform is None:
        yield from _unplanned(ctx)
        return
    for collision in ctx.occupancy.of("usb-no-bus"):
        port = collision.port
        assert port is not None
        repair = _by_a_property(ctx, port) or stays_as_it_is(port)
        yield RULE.of_port(port, "No 'usb-bus' bus found for device 'usb-serial'", repair)


def _by_a_property(ctx: RuleContext, port: Port) -> Repair | None:
    """Return what brings microvm's own USB; None on other boards."""
    options = ctx.view.machine_options
    if ctx.platform is None or ctx.platform.name != "microvm" or not options:
        return None
    if ctx.platform.unseen:
        # Without ACPI it makes none.
        return None
    edit = SetKey(options[-1], "usb", True)
    return EditOptions((edit,), f"{port.name}: the machine has USB: usb=on")


def _unplanned(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports on a machine type that is not planned on and makes no USB bus."""
    if not ctx.complete or ctx.board not in WITHOUT_USB:
        return
    ports = {id(port.option): port for port in ctx.ports}
    for device in ctx.made:
        if device.is_usb_controller:
            return
        port = ports.get(id(device.option))
        if port is None or port.driver != "usb-serial" or device.bus:
            continue
        yield RULE.of_port(
            port, "No 'usb-bus' bus found for device 'usb-serial'",
            fix=f"{ctx.board} has no USB: put -device with a USB controller "
            "before it where the machine has PCI, else use -serial",
        )  # fmt: skip


RULE = Rule(
    "usb-no-bus",
    Severity.FAILS,
    PLACES,
    check,
    aliases={"libvirt": "libvirt-no-usb"},
)
