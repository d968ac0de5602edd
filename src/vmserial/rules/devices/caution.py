"""A machine type on which serial ports are not planned: less is known."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield what cannot be judged of a machine type that is not planned."""
    if ctx.platform is None and ctx.ports:
        yield RULE.finding(
            f"{ctx.arch or 'this architecture'}, machine type {ctx.machine_type or 'default'}: of "
            "the guest's side only what -serial reaches was judged; `vmserial doctor --live-probe` "
            "asks QEMU about the rest", None,
        )  # fmt: skip


RULE = Rule("caution", Severity.NOTE, KINDS, check)
