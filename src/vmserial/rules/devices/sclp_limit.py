"""A second console of one sclp kind."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, PLATFORM, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the consoles that QEMU refuses: s390x has one of each kind."""
    if ctx.arch != "s390x":
        return
    kinds = {"sclpconsole": "VT220", "sclplmconsole": "line-mode"}
    # The board makes the first -serial the one, the second the other; of "none" it makes none.
    drivers = [*kinds]
    taken = {
        drivers[port.index]
        for port in ctx.view.onboard
        if port.index < len(kinds) and port.host.form != "none"
    }
    if ctx.view.default_serial is not None:
        taken.add(drivers[0])
    for port in sorted(ctx.ports, key=lambda port: ctx.order.get(id(port.option), 0)):
        driver = port.driver
        if driver not in kinds:
            continue
        if driver not in taken:
            taken.add(driver)
            continue
        free = next((each for each in drivers if each not in taken), "")
        if free:
            taken.add(free)
        yield RULE.of_port(
            port, f"Multiple {kinds[driver]} operator consoles are not supported",
            EditOptions((SetKey(port.option, "driver", free),), f"{port.name}: {driver} -> {free}")
            if free else Relocate(port, kind="virtio"),
        )  # fmt: skip


RULE = Rule(
    "sclp-limit",
    Severity.FAILS,
    KINDS,
    check,
    needs=(PLATFORM,),
    among=("sclpconsole", "sclplmconsole"),
)
