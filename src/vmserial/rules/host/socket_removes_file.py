"""A server socket at whose path an ordinary file stands."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the files that QEMU would remove."""
    assert ctx.host is not None
    for socket in ctx.host_sides.sockets:
        if socket.server and not socket.abstract and ctx.host.paths.get(socket.path) == "file":
            yield RULE.finding(
                f"{socket.option}: {socket.path} is an ordinary file: QEMU removes it, without a "
                "word, and makes its socket there", socket.option,
                ctx.ports_at(socket.option, socket.id),
            )  # fmt: skip


RULE = Rule("socket-removes-file", Severity.LOST, ENDS, check, needs=(HOST,))
