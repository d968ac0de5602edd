"""A socket's path that somebody listens on."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import owners_own
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the paths that QEMU would take away from a process that listens there."""
    assert ctx.host is not None
    for socket in ctx.host_sides.sockets:
        # PVE and libvirt never start a VM twice: what listens there is this one, running.
        if not socket.server or socket.abstract or owners_own(ctx, socket.path):
            continue
        if socket.path in ctx.host.listening:
            yield RULE.finding(
                f"{socket.option}: somebody listens on {socket.path}: if that is not this VM, "
                "running already, QEMU takes the path away from it", socket.option,
                ctx.ports_at(socket.option, socket.id),
                severity=Severity.FAILS if ctx.owner == "plan" else Severity.NOTE,
            )  # fmt: skip


RULE = Rule("socket-in-use", Severity.NOTE, ENDS, check, needs=(HOST,))
