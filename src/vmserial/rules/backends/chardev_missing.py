"""A port names a chardev that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.chardevs import qom_name
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose chardev nobody makes."""
    for use in ctx.host_sides.uses:
        if use.kind != "chardev-missing":
            continue
        id = use.port.chardev_id
        if use.port.onboard is not None:
            happens = f"could not connect serial device to character backend '{id}'"
        else:
            happens = f"Property '{qom_name(use.port.driver)}.chardev' can't find value '{id}'"
        added = use.new == id and use.port.device is not None
        text = "{name}: the chardev {new} was added" if added else "{name} got the chardev {new}"
        yield RULE.of_port(use.port, happens, use.given(text), assumed=True)


RULE = Rule("chardev-missing", Severity.FAILS, USES, check)
