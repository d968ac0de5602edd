"""Two ports of one chardev."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.chardevs import qom_name
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose chardev another port has."""
    for use in ctx.host_sides.uses:
        if use.kind != "chardev-in-use":
            continue
        port, id = use.port, use.port.chardev_id
        if ctx.capabilities.version >= (10, 0, 0):
            error = f"chardev '{id}' is already in use"
        else:
            error = (
                f"Property '{qom_name(port.driver)}.chardev' can't take value '{id}': "
                f"Device '{id}' is in use"
            )
        yield RULE.finding(
            f"{port.subject}: {error}", port.option,
            (use.owner.name, port.name) if use.owner else (port.name,),
            (use.given("{name} got the chardev {new} of its own"),), assumed=True,
        )  # fmt: skip


RULE = Rule("chardev-in-use", Severity.FAILS, USES, check)
