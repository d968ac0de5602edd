"""The directory of a socket, file or log is not there."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import owners_own, parent, written
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield what cannot be made, because its directory is not there."""
    assert ctx.host is not None
    for option, id, backend, params in ctx.view.host_ends():
        for path in written(backend, params):
            directory = parent(path)
            if ctx.host.paths.get(directory) != "missing" or owners_own(ctx, path):
                continue
            happens = (
                f"Failed to bind socket to {path}: No such file or directory"
                if backend == "socket" and path == params.get("path")
                else f"Could not create '{path}': No such file or directory"
                if path == params.get("logfile")
                else f"Could not open '{path}': No such file or directory"
            )
            yield RULE.finding(
                f"{option}: {happens}", option, ctx.ports_at(option, id),
                fix=f"make it: mkdir -p {directory}",
            )  # fmt: skip


RULE = Rule("directory-missing", Severity.FAILS, ENDS, check, needs=(HOST,))
