"""Two that want QEMU's own input and output."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.options import Option
from vmserial.rules.base import STDIO, Rule
from vmserial.sources.command import CommandOption
from vmserial.sources.command.edits import InsertAfter, ReplaceValue


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield all that want stdio, but the first; -nographic is one of them."""
    sides = ctx.host_sides
    if sides.default_stdio and sides.stdio:
        option, id = sides.stdio[0]
        words = " and the ".join(_WORDS[what] for what in sides.default_stdio)
        yield RULE.finding(
            f"{option}: cannot use stdio by multiple character devices (-nographic puts the "
            f"{words} there)", option, (ctx.chardev_user(id),) if id else (),
            (_shared(option, sides.default_stdio),), assumed=True,
        )  # fmt: skip
    for option, id in sides.stdio[1:]:
        name = ctx.chardev_user(id) if id else ""
        repairs: tuple[EditOptions, ...] = ()
        if option.name == "chardev" and id in sides.owner:
            repairs = (EditOptions((ReplaceValue(option, f"pty,id={id}"),),
                                   f"{name}: a pty instead of stdio"),)  # fmt: skip
        yield RULE.finding(
            f"{option}: cannot use stdio by multiple character devices ({sides.stdio[0][0]} has "
            "it)", option, (name,) if name else (), repairs, assumed=True,
        )  # fmt: skip


_WORDS = {"serial": "serial port", "monitor": "monitor"}


def _shared(option: CommandOption, default: tuple[str, ...]) -> EditOptions:
    """Return how stdio is shared with what -nographic puts there, or kept for the option."""
    if option.name == "serial":
        return EditOptions(
            (ReplaceValue(option, "mon:stdio"),),
            f"{option} became -serial mon:stdio: the monitor shares it",
        )
    if option.name == "monitor":
        return EditOptions(
            (ReplaceValue(option, "none"),
             InsertAfter(option, (Option("-serial", raw="mon:stdio"),))),
            f"{option} became -serial mon:stdio: the monitor and the serial port share it",
        )  # fmt: skip
    values = {"serial": "null", "monitor": "none"}
    added = tuple(Option(f"-{what}", raw=values[what]) for what in default)
    words = " ".join(f"-{what} {values[what]}" for what in default)
    return EditOptions((InsertAfter(None, added),), f"{words}: {option} has stdio for itself")


RULE = Rule("stdio-twice", Severity.FAILS, STDIO, check)
