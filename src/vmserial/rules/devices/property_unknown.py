"""A serial device's chardev stands as two words: ``chardev,digi`` for ``chardev=digi``."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.chardevs import qom_name
from vmserial.context.ports import bare_chardev
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that QEMU reads as having two properties without a value."""
    for port in ctx.ports:
        meant = bare_chardev(port)
        if meant is None or port.device is None:
            continue
        says = f"write chardev={meant}" if meant in ctx.chardevs else "write chardev=ID"
        yield RULE.of_port(
            port, f"Property '{qom_name(port.driver)}.chardev' can't find value 'on'; QEMU reads "
            f"'chardev' and '{meant}' as two properties that are on", fix=says,
        )  # fmt: skip


RULE = Rule("property-unknown", Severity.FAILS, USES, check)
