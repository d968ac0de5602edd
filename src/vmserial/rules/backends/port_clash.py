"""Two servers of one socket."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import SOCKETS, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the sockets whose path an earlier one has."""
    for socket in ctx.host_sides.sockets:
        if not socket.first:
            continue
        name = ctx.chardev_user(socket.id) if socket.id else ""
        yield RULE.finding(
            f"{socket.path} is the socket of {socket.first} and of {socket.id}: QEMU starts, the "
            "second takes the path away, and the first is never reached", socket.option,
            (ctx.chardev_user(socket.first), *((name,) if name else ())),
            (EditOptions((SetKey(socket.option, "path", socket.new),),
                         f"{name}: its socket is {socket.new}"),), assumed=True,
        )  # fmt: skip


RULE = Rule("port-clash", Severity.DEAD, SOCKETS, check)
