"""Two spapr-vty at one address."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule
from vmserial.sources.command.edits import RemoveKey
from vmserial.values import integer

_NVRAM = 0x71000000
"""Where QEMU counts from for what names no address: its NVRAM, and each -serial (spapr_vio.c)."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose address another one has."""
    taken: dict[int, str] = {}
    if ctx.arch == "ppc64":
        count = len(ctx.view.onboard) or int(ctx.view.default_serial is not None)
        taken = {_NVRAM + place: "spapr-vty" for place in range(count)}
        taken[_NVRAM + count] = "spapr-nvram"
    mine = [port for port in ctx.ports if port.driver == "spapr-vty"]
    for port in sorted(mine, key=lambda port: ctx.order.get(id(port.option), 0)):
        place = integer(port.device.device.get("reg")) if port.device else None
        if place is None:
            continue
        if place not in taken:
            taken[place] = "spapr-vty"
            continue
        yield RULE.of_port(
            port, f"spapr-vty and {taken[place]} devices conflict at address {place:#x}",
            EditOptions((RemoveKey(port.option, "reg"),), f"{port.name}: QEMU chooses its address"),
        )  # fmt: skip


RULE = Rule("spapr-vty-clash", Severity.FAILS, PLACES, check, needs=(PLATFORM,))
