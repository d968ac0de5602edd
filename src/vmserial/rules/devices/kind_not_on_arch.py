"""A serial device that the binary or the board does not have."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose device is not there."""
    if ctx.platform is None:
        yield from _unplanned(ctx)
        return
    for port in ctx.unsupported:
        # Where the board has the bus, and no guest looks at it, QEMU starts: isa-serial-dead.
        if not port.channel and not (port.driver == "isa-serial" and ctx.platform.unseen_isa):
            words = f"'{port.driver}' is not a valid device model name"
            if port.driver in ctx.capabilities.devices:
                words = f"No 'ISA' bus found for device '{port.driver}'"
            yield RULE.of_port(
                port, words, Relocate(port),
                fix=f"use a device that {ctx.arch} {ctx.platform.name} has: usb-serial, "
                "pci-serial or virtserialport",
            )  # fmt: skip


def _unplanned(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the spapr-vty of ppc64's machine types that are not pseries."""
    if ctx.arch != "ppc64" or not ctx.board:
        return
    for port in ctx.ports:
        if port.driver == "spapr-vty":
            yield RULE.of_port(
                port, "No 'spapr-vio-bus' bus found for device 'spapr-vty'",
                fix=f"{ctx.board} has no such bus: use -serial, or -machine pseries",
            )  # fmt: skip


RULE = Rule(
    "kind-not-on-arch",
    Severity.FAILS,
    KINDS,
    check,
    aliases={"pve": "pve-isa-on-aarch64"},
)
