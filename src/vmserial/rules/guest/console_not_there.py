"""The kernel is told a console that the board does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import PCI_UARTS, Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule
from vmserial.sources.command.edits import ReplaceValue

_CONSOLE = re.compile(r"(?<!\S)console=(ttyS|ttyAMA|hvc|ttysclp)(\d+)")


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield an -append whose consoles are all of another board."""
    assert ctx.architecture is not None
    right = re.sub(r"\d+\Z", "", ctx.architecture.console)
    options = ctx.command.named("append")
    if not options or right not in {"ttyS", "ttyAMA"} or ctx.console is None:
        return
    option = options[-1]
    found = list(_CONSOLE.finditer(option.value or ""))
    wrong = [match for match in found if match[1] in {"ttyS", "ttyAMA"} and match[1] != right]
    cards = any(port.driver in PCI_UARTS for port in ctx.ports)
    if not wrong or len(wrong) != len(found) or (cards and right == "ttyAMA"):
        # The kernel writes to each console that it is told: one that is there will do.
        return
    said, better = wrong[-1].group(), f"console={ctx.architecture.console}"
    value = option.value or ""
    start, end = wrong[-1].span()
    yield RULE.finding(
        f"-append {said}: {ctx.arch} has no {wrong[-1][1]} for {ctx.console.name}, which is "
        f"{ctx.architecture.console}: the kernel says nothing on it", option,
        (ctx.console.name,),
        (EditOptions((ReplaceValue(option, f"{value[:start]}{better}{value[end:]}"),),
                     f"-append {better}"),), assumed=True,
    )  # fmt: skip


RULE = Rule(
    "console-not-there",
    Severity.DEAD,
    PLACES,
    check,
    needs=(PLATFORM,),
    among=("append",),
)
