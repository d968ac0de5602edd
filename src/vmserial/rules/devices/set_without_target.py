"""A -set that names nothing, or what stands behind it."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.options import Option
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command.edits import InsertAfter, Remove
from vmserial.sources.command.sets import late_target_of, set_of, target_of


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the -set that QEMU refuses: it looks for their options as it reads them."""
    for option in ctx.view.options:
        if option.name != "set":
            continue
        said = set_of(option)
        if said is None:
            yield RULE.finding(
                f"{option}: can't parse: \"{option.value}\"", option,
                fix="write -set GROUP.ID.KEY=VALUE, such as -set device.serial0.chardev=serial0",
            )  # fmt: skip
        elif said.group in {"device", "chardev"} and target_of(said, ctx.view.options) is None:
            later = late_target_of(said, ctx.view.options)
            moved: tuple[EditOptions, ...] = ()
            if later is not None and not (option.in_file or later.in_file):
                again = InsertAfter(later, (Option("-set", raw=option.value or ""),))
                moved = (EditOptions((Remove(option), again), f"{option} stands behind it"),)
            yield RULE.finding(
                f'{option}: there is no {said.group} "{said.id}" defined', option, (), moved,
                fix=f"put it behind -{said.group} …,id={said.id}, which must be no JSON",
            )  # fmt: skip


RULE = Rule(
    "set-without-target",
    Severity.FAILS,
    IDS,
    check,
    needs=("readconfig",),
    among=("set",),
)
