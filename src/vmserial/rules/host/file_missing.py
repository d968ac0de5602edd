"""A kernel, a firmware or a disk that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.hostends import opened
from vmserial.model import Finding, Severity
from vmserial.rules.base import ENDS, HOST, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the files that QEMU reads and the host does not have."""
    assert ctx.host is not None
    for option, path in opened(ctx.view):
        if ctx.host.paths.get(path) == "missing":
            yield RULE.finding(f"{option}: {path} does not exist", option)


RULE = Rule("file-missing", Severity.FAILS, ENDS, check, needs=(HOST,))
