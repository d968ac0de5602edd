"""A serial device that the host does not have."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import TTYS
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ttys that are not there."""
    assert ctx.host is not None
    for option, id, backend, params in ctx.view.host_ends():
        path = params.get("path", "")
        if backend in TTYS and ctx.host.paths.get(path) == "missing":
            yield RULE.finding(
                f"{option}: Could not open '{path}': No such file or directory",
                option, ctx.ports_at(option, id),
            )  # fmt: skip


RULE = Rule("tty-missing", Severity.FAILS, ENDS, check, needs=(HOST,))
