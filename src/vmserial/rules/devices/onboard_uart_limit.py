"""``-serial`` past the UARTs that the machine type wires up."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Port, Relocate, RuleContext
from vmserial.limits import UARTS_MEASURED
from vmserial.model import Finding, Severity
from vmserial.rules.base import ONBOARD, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that QEMU ignores without a word."""
    yield from _planned(ctx) if ctx.platform is not None else _measured(ctx)


def _planned(ctx: RuleContext) -> Iterator[Finding]:
    assert ctx.platform is not None
    limit, board = ctx.uarts_wired, ctx.platform.name
    older = ctx.capabilities.version < (9, 1, 0) and ctx.arch == "aarch64"
    default = ctx.view.default_serial
    if not limit and default is not None and default.backend == "stdio" and not ctx.ports:
        yield RULE.finding(
            f"-nographic puts serial0 on the terminal, and {board} has no UART that it could be "
            "of: the guest has no node for it", next(iter(ctx.view.machine_options), None),
            fix="leave isa-serial=off away" if ctx.platform.isa else "give it another device",
        )  # fmt: skip
    for port in ctx.ports:
        if _ignored(ctx, port, limit):
            yield RULE.of_port(
                port,
                f"QEMU {ctx.capabilities.version_text} wires up {limit} on-board "
                f"UART{'' if limit == 1 else 's'} of {board} and ignores this one "
                "without a word: the guest has no node for it"
                + ("; 9.1 and later wire up two" if older else ""), Relocate(port),
            )  # fmt: skip


def _measured(ctx: RuleContext) -> Iterator[Finding]:
    """Judge a machine type that is not planned by what was measured; its owner must mend it."""
    machine = ctx.board
    limit = ctx.capabilities.onboard_uarts.get(machine)
    if limit is None or limit >= UARTS_MEASURED:
        return
    for port in ctx.ports:
        if _ignored(ctx, port, limit):
            yield RULE.of_port(
                port,
                f"QEMU {ctx.capabilities.version_text} wires up {limit} on-board "
                f"UART{'' if limit == 1 else 's'} of {machine} and ignores this one without a word",
                fix=f"use another device that {ctx.arch} {machine} has",
            )  # fmt: skip


def _ignored(ctx: RuleContext, port: Port, limit: int) -> bool:
    if port.onboard is None or port.onboard.index < limit:
        return False
    # One that goes nowhere keeps a number free: nobody misses it.
    entry = ctx.chardevs.get(port.chardev_id)
    return (entry.backend if entry else port.onboard.host.backend) != "null"


RULE = Rule("onboard-uart-limit", Severity.DEAD, ONBOARD, check)
