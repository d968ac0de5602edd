"""Two spapr-vty at one address."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from vmserial.context import EditOptions, Port, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule
from vmserial.sources.command.edits import RemoveKey
from vmserial.values import integer

_ON_VIO = frozenset({"spapr-nvram", "spapr-vlan", "spapr-vscsi", "spapr-vty"})
"""Devices of the spapr-vio bus: each has an address of its own on it."""

_NVRAM = 0x71000000
"""Where QEMU counts from for what names no address: its NVRAM, and each -serial (spapr_vio.c)."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose address another one has."""
    taken: dict[int, str] = {}
    owner: dict[int, Port] = {}
    if ctx.arch == "ppc64":
        # At the first -serial none the board stops counting (hw/ppc/spapr.c; run with 7.2).
        onboard = takewhile(lambda port: port.host.form != "none", ctx.view.onboard)
        count = len([*onboard]) or int(ctx.view.default_serial is not None)
        taken = {_NVRAM + place: "spapr-vty" for place in range(count)}
        taken[_NVRAM + count] = "spapr-nvram"
    if not any(device.driver == "spapr-vty" for device in ctx.made):
        return
    by_option = {id(port.option): port for port in ctx.ports if port.driver == "spapr-vty"}
    for device in ctx.made:
        place = integer(device.get("reg"))
        if device.driver not in _ON_VIO or place is None:
            continue
        port = by_option.get(id(device.option)) or owner.get(place)
        if place not in taken:
            taken[place] = device.driver
            if port is not None:
                owner[place] = port
        elif port is not None:
            # Of a port and another device it is the port that can be anywhere.
            yield RULE.of_port(
                port,
                f"{device.driver} and {taken[place]} devices conflict at address {place:#x}",
                EditOptions(
                    (RemoveKey(port.option, "reg"),), f"{port.name}: QEMU chooses its address"
                ),
            )


RULE = Rule(
    "spapr-vty-clash",
    Severity.FAILS,
    PLACES,
    check,
    needs=(PLATFORM,),
    among=("spapr-vty",),
)
