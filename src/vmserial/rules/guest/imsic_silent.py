"""A riscv64 board whose interrupt controllers keep Linux from starting."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule

_SEEN_LAST = (8, 0)
"""7.2 is the last that was seen to fail; 10.0 and 11.1 boot."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield it for ``aia=aplic-imsic`` of a QEMU that no Debian kernel starts on."""
    has = ctx.capabilities
    if (
        ctx.arch != "riscv64"
        or ctx.view.machine.get("aia") != "aplic-imsic"
        or not (0,) < has.version < _SEEN_LAST
        or not ctx.ports
    ):
        return
    yield RULE.finding(
        f"with aia=aplic-imsic of QEMU {has.version_text} Linux says nothing after OpenSBI's "
        "banner, and no port answers",
        next(iter(ctx.view.machine_options), None), tuple(port.name for port in ctx.ports),
        fix="aia=aplic or none of it, or QEMU 10.0 or later",
    )  # fmt: skip


RULE = Rule("imsic-silent", Severity.DEAD, KINDS, check)
