"""Nobody listens where QEMU is to connect."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import nobody_listens, reconnects
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule
from vmserial.values import is_on


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the sockets that QEMU cannot reach as a client."""
    assert ctx.host is not None
    for option, id, backend, params in ctx.view.host_ends():
        if backend != "socket" or is_on(params.get("server")) or reconnects(params):
            continue
        path, port = params.get("path", ""), params.get("port", "")
        why = ""
        if path and not is_on(params.get("abstract")):
            if ctx.host.paths.get(path) == "missing":
                why = f"Failed to connect to '{path}': No such file or directory"
            elif ctx.host.paths.get(path) == "socket" and path not in ctx.host.listening:
                why = f"Failed to connect to '{path}': Connection refused"
        elif port.isdecimal() and nobody_listens(ctx.host, params.get("host", ""), int(port)):
            why = f"Failed to connect to '{params.get('host', '')}:{port}': Connection refused"
        if why:
            yield RULE.finding(f"{option}: {why}", option, ctx.ports_at(option, id))


RULE = Rule("socket-missing", Severity.FAILS, ENDS, check, needs=(HOST,))
