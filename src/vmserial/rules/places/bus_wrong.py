"""An ISA port on a bus of another kind, or another port on the ISA bus."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule
from vmserial.sources.command.edits import RemoveKey

_ISA = "isa.0"


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that QEMU refuses for the kind of the bus that they name."""
    assert ctx.platform is not None
    if not ctx.platform.isa:
        return
    for port in ctx.staying:
        device = port.device.device if port.device else None
        if (
            device is None
            or not device.bus
            or (port.driver == "isa-serial") == (device.bus == _ISA)
        ):
            continue
        if port.driver == "isa-serial":
            there = device.bus in ctx.root_buses
            words = (
                f"Device 'isa-serial' can't go on {'PCIE' if ctx.platform.pcie else 'PCI'} bus"
                if there else f"a serial port of the board can only be on {_ISA}, not {device.bus}"
            )  # fmt: skip
        elif device.bus == _ISA:
            words = f"Device '{port.driver}' can't go on ISA bus"
        else:
            continue
        yield RULE.of_port(
            port, words,
            EditOptions((RemoveKey(port.option, "bus"),), f"{port.name}: QEMU finds its bus"),
        )  # fmt: skip


RULE = Rule("bus-wrong", Severity.FAILS, PLACES, check, needs=(PLATFORM,))
