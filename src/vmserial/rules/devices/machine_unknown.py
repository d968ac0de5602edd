"""No machine type, where the binary has no default."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield what the binary says before it looks at any device (arm and aarch64 do)."""
    if ctx.owner != "user" or not ctx.capabilities.machines or ctx.board:
        return
    usual = "virt" if "virt" in ctx.capabilities.machines else "TYPE"
    yield RULE.finding(
        f"qemu-system-{ctx.arch}: No machine specified, and there is no default",
        None,
        fix=f"name one: -machine {usual}",
    )


RULE = Rule("machine-unknown", Severity.FAILS, KINDS, check, needs=("readconfig",))
