"""A server that keeps QEMU waiting for its client."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import SOCKETS, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose socket waits for a client."""
    for socket in ctx.host_sides.sockets:
        if not socket.waits:
            continue
        said = socket.waits == "said"
        name = ctx.chardev_user(socket.id)
        repair = EditOptions((SetKey(socket.option, "wait", False),), f"{name}: wait=off")
        yield RULE.finding(
            f"{socket.option}: QEMU waiting for connection: the VM does not run, and no monitor "
            f"answers, until a client connects to {socket.path}", socket.option, (name,),
            () if said else (repair,), severity=Severity.NOTE if said else None, assumed=True,
        )  # fmt: skip


RULE = Rule("chardev-waits", Severity.FAILS, SOCKETS, check)
