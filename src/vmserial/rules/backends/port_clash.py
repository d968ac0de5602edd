"""Two servers of one unix socket."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.context.listeners import Socket
from vmserial.model import Finding, Severity
from vmserial.rules.base import SOCKETS, Rule
from vmserial.sources.command.edits import ReplaceValue, SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the sockets whose path an earlier one has."""
    for socket in ctx.host_sides.sockets:
        if not socket.first:
            continue
        name = ctx.chardev_user(socket.id) if socket.id else ""
        second = socket.id or str(socket.option)
        yield RULE.finding(
            f"{socket.path} is the socket of {socket.first} and of {second}: QEMU starts, the "
            "second takes the path away, and the first is never reached", socket.option,
            (ctx.chardev_user(socket.first), *((name,) if name else ())),
            _moved(socket, name or second), assumed=True,
        )  # fmt: skip


def _moved(socket: Socket, name: str) -> tuple[EditOptions, ...]:
    """Return how the socket gets a path of its own; a monitor's is for its owner to choose."""
    option, text = socket.option, f"{name}: its socket is {socket.new}"
    if socket.own:
        return (EditOptions((SetKey(option, "path", socket.new),), text),)
    value = option.value or ""
    if option.name != "serial" or value.count(socket.path) != 1:
        return ()
    return (EditOptions((ReplaceValue(option, value.replace(socket.path, socket.new)),), text),)


RULE = Rule("port-clash", Severity.DEAD, SOCKETS, check)
