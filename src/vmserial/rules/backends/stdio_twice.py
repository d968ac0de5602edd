"""Two that want QEMU's own input and output."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import STDIO, Rule
from vmserial.sources.command.edits import ReplaceValue


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield all that want stdio, but the first."""
    for option, id in ctx.host_sides.stdio[1:]:
        name = ctx.chardev_user(id) if id else ""
        repairs: tuple[EditOptions, ...] = ()
        if option.name == "chardev" and id in ctx.host_sides.owner:
            repairs = (EditOptions((ReplaceValue(option, f"pty,id={id}"),),
                                   f"{name}: a pty instead of stdio"),)  # fmt: skip
        first = ctx.host_sides.stdio[0][0]
        yield RULE.finding(
            f"{option}: cannot use stdio by multiple character devices ({first} has it)", option,
            (name,) if name else (), repairs, assumed=True,
        )  # fmt: skip


RULE = Rule("stdio-twice", Severity.FAILS, STDIO, check)
