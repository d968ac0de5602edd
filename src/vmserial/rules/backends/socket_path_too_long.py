"""A unix socket whose path is longer than the system takes."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.context.sockets import shorter
from vmserial.limits import SUN_PATH_MAX
from vmserial.model import Finding, Severity
from vmserial.rules.base import SOCKETS, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the sockets whose path is too long."""
    for socket in ctx.host_sides.sockets:
        if not socket.too_long:
            continue
        name = ctx.chardev_user(socket.id) if socket.id else ""
        short = shorter(socket.path, socket.id) if socket.server and socket.own else ""
        repair = EditOptions((SetKey(socket.option, "path", short),),
                             f"{name}: its socket is {short}")  # fmt: skip
        yield RULE.finding(
            f"{socket.option}: UNIX socket path '{socket.path}' is too long; "
            f"Path must be less than {SUN_PATH_MAX + (not socket.abstract)} bytes", socket.option,
            (name,) if name else (), (repair,) if short else (), assumed=True,
        )  # fmt: skip


RULE = Rule("socket-path-too-long", Severity.FAILS, SOCKETS, check)
