"""A property that a serial device lacks; mostly ``chardev,digi`` for ``chardev=digi``."""

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
    yield from _others(ctx)


_OF_ALL = frozenset({"driver", "id", "bus"})


def _others(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the first key of each port that this binary's device does not have."""
    seen: set[int] = set()
    for port in ctx.ports:
        known = ctx.capabilities.devices.get(port.driver)
        if known is None or not known.properties or id(port.option) in seen or bare_chardev(port):
            continue
        seen.add(id(port.option))
        there = known.properties | _OF_ALL
        key = next((key for key in port.option.params.values if key not in there), "")
        if key:
            yield RULE.of_port(
                port, f"Property '{port.driver}.{key}' not found",
                fix=f"leave {key} away, or see what there is: -device {port.driver},help",
            )  # fmt: skip


RULE = Rule("property-unknown", Severity.FAILS, USES, check)
