"""A fourth -parallel."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.limits import PARALLEL_PORTS
from vmserial.model import Finding, Severity
from vmserial.rules.base import ONBOARD, Rule
from vmserial.sources.command.edits import ReplaceValue


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the parallel ports past the third; one that is none is not counted."""
    there = [
        port for port in ctx.view.ports if port.kind == "parallel" and port.host.form != "none"
    ]
    for port in there[PARALLEL_PORTS:]:
        edit = ReplaceValue(port.option, "none")
        null = port.host.backend == "null"
        yield RULE.finding(
            f"{port.option}: too many parallel ports", port.option, (),
            (EditOptions((edit,), f"{port.option} became -parallel none"),) if null else (),
        )  # fmt: skip


RULE = Rule("parallel-limit", Severity.FAILS, ONBOARD, check)
