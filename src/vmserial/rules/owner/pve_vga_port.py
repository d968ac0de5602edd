"""A port that has to leave its line, and is the VM's screen there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import HOT_PLUG, PVE, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield it where what is wrong with it, or asked for, moves it into ``args:``."""
    assert ctx.lowered is not None
    screen = ctx.lowered.command.screen
    leaves = {port.name for port in ctx.leaving}
    leaves.update(asked.name for asked in ctx.lowered.command.asked)
    if screen is None or screen.name not in leaves:
        return
    name = screen.name
    found = RULE.finding(
        f"{name} cannot leave its line: 'vga: {name}' makes it the VM's screen", None, (name,),
        fix=f"install the shim ('vmserial fix --way shim'), or set 'vga: serial0' and "
        f"'serial0: socket', and call fix again for {name}",
    )  # fmt: skip
    yield replace(found, where=screen.where)


RULE = Rule("pve-vga-port", Severity.FAILS, HOT_PLUG, check, needs=(PVE,))
