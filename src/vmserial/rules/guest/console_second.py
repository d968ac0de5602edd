"""Two consoles of one driver, of which the kernel serves one; or one whose driver comes late."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext, takes_hvc
from vmserial.model import PCI_UARTS, Finding, Severity
from vmserial.model.consoles import in_question
from vmserial.rules.base import PLACES, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the consoles of -append on which the kernel says nothing."""
    options = ctx.command.named("append")
    if not options:
        return
    option, said = options[-1], options[-1].value or ""
    counts = _counts(ctx)
    for one in in_question(said):
        name = _port_of(ctx, one.node) if one.first else ""
        why = one.why(name, ctx.guest.name, counts.get(one.driver))
        if one.first:
            yield RULE.finding(
                f"-append console={one.first} console={one.node}: {why}", option,
                (name,) if name else (), severity=Severity.NOTE,
            )  # fmt: skip
        elif one.late or one.number >= counts.get(one.driver, one.number + 1):
            yield RULE.finding(
                f"-append console={one.node}: {why}", option,
                assumed=one.late and ctx.guest.assumed,
            )  # fmt: skip


def _counts(ctx: RuleContext) -> dict[str, int]:
    """Return, by driver, how many ports can be its nodes, where that is certain and not 0.

    A driver of which there is none at all is another board's: ``console-not-there``.
    """
    if ctx.platform is None or not ctx.complete:
        return {}
    uarts = ctx.uarts
    found = {"hvc": sum(takes_hvc(port, ctx.platform) for port in ctx.ports)}
    cards = sum(PCI_UARTS[card] for card in (d.driver for d in ctx.made) if card in PCI_UARTS)
    if ctx.platform.isa:
        own = [port for port in ctx.ports if port.driver == "isa-serial" or port.onboard]
        placed = any({"index", "iobase"} & dict(p.device.device.params).keys()
                     for p in own if p.device is not None)  # fmt: skip
        if not placed:
            found["ttyS"] = cards + len(own) + (ctx.view.default_serial is not None)
    elif ctx.platform.uart is not None:
        node = "ttyS" if ctx.platform.uart.is_8250 else "ttyAMA"
        if ctx.platform.uart.is_8250 or ctx.architecture is None:
            return {name: count for name, count in found.items() if count}
        if ctx.architecture.console.startswith(node):
            found[node] = uarts
        if cards:
            found["ttyS"] = cards
    return {name: count for name, count in found.items() if count}


def _port_of(ctx: RuleContext, node: str) -> str:
    """Return the board's port that is a node for certain; empty where the kernel numbers it."""
    if ctx.platform is None:
        return ""
    onboard = [port for port in ctx.ports if port.onboard is not None]
    fits = ctx.platform.isa or ctx.platform.uart is not None
    number = int(node.lstrip("tySAM"))
    right = ctx.architecture is not None and node.startswith(
        ctx.architecture.console.rstrip("0123456789")
    )
    return onboard[number].name if fits and right and number < len(onboard) else ""


RULE = Rule(
    "console-second",
    Severity.DEAD,
    PLACES,
    check,
    needs=(PLATFORM,),
    among=("append",),
)
