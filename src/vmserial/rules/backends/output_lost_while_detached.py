"""Backends that take nothing while nobody is attached, and keep no log."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import LOSSES, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield one finding for all ports whose output can be lost."""
    found = ctx.host_sides.losing()
    if not found:
        return
    logs = ctx.policy.logs.rstrip("/")
    repairs = [
        EditOptions(
            (SetKey(entry.option, "logfile", f"{logs}/{port.name}.log"),
             SetKey(entry.option, "logappend", True)),
            f"{port.name}: what the guest says is kept in {logs}/{port.name}.log",
        )
        for port, entry in (found if ctx.policy.logs else ())
    ]  # fmt: skip
    yield RULE.finding(
        "what the guest says while nobody is attached is lost: no chardev here has a logfile",
        found[0][1].option, tuple(port.name for port, _ in found),
        repairs if ctx.policy.logs else (),
        fix="add logfile=/var/log/vm/serialN.log to the chardev; `vmserial fix --logs DIR` does it",
    )  # fmt: skip


RULE = Rule("output-lost-while-detached", Severity.NOTE, LOSSES, check)
