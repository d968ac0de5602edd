"""A path that is to be a file or a socket, and is a directory."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import written
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the paths of sockets, files and logs at which a directory stands."""
    assert ctx.host is not None
    for option, id, backend, params in ctx.view.host_ends():
        for path in written(backend, params):
            if ctx.host.paths.get(path) == "directory":
                did = "unlink socket" if backend == "socket" and path != params.get("logfile") \
                    else "open"  # fmt: skip
                yield RULE.finding(
                    f"{option}: Failed to {did} {path}: Is a directory", option,
                    ctx.ports_at(option, id),
                )  # fmt: skip


RULE = Rule("path-is-directory", Severity.FAILS, ENDS, check, needs=(HOST,))
