"""A host tty that is an ordinary file."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import TTYS
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ttys that are something else."""
    assert ctx.host is not None
    for option, id, backend, params in ctx.view.host_ends():
        path = params.get("path", "")
        if backend in TTYS and ctx.host.paths.get(path) in {"file", "directory"}:
            what = ctx.host.paths[path]
            yield RULE.finding(
                f"{option}: {path} is a {what}, not a character device"
                + (": QEMU starts, and what the guest says goes into it" if what == "file" else ""),
                option, ctx.ports_at(option, id),
                severity=Severity.DEAD if what == "file" else Severity.FAILS,
            )  # fmt: skip


RULE = Rule("tty-not-a-device", Severity.FAILS, ENDS, check, needs=(HOST,))
