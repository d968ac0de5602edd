"""A pipe that nobody made."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the pipes that are not there: QEMU opens PATH.in and PATH.out, else PATH itself."""
    assert ctx.host is not None
    paths = ctx.host.paths
    for option, id, backend, params in ctx.view.host_ends():
        path = params.get("path", "")
        if backend != "pipe" or paths.get(path) != "missing":
            continue
        halves = [end for end in (".in", ".out") if paths.get(path + end) == "missing"]
        if halves:
            yield RULE.finding(
                f"{option}: Could not open '{path}': No such file or directory", option,
                ctx.ports_at(option, id),
                fix="make it: mkfifo " + " ".join(path + end for end in halves),
            )  # fmt: skip


RULE = Rule("pipe-missing", Severity.FAILS, ENDS, check, needs=(HOST,))
