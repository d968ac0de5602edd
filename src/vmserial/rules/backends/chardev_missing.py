"""A port, a monitor or another device names a chardev that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.context.chardevs import qom_name
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule

_QEMUS_OWN = re.compile(r"(?:serial|parallel|compat_monitor|debugcon|gdb|stdio)[0-9]*\Z")
"""What QEMU calls the chardevs that it makes for options which name none."""

_WORDS = {
    "mon": 'chardev "{id}" not found',
    "monitor": 'chardev "{id}" not found',
    "qmp": 'chardev "{id}" not found',
    "parallel": "could not connect parallel device to character backend 'chardev:{id}'",
    "debugcon": "invalid character backend 'chardev:{id}'",
}
"""QEMU's words by the option (run with 7.2)."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield who names a chardev that nobody makes; only a port is given one."""
    for use in ctx.host_sides.uses:
        if use.kind != "chardev-missing":
            continue
        wanted = use.port.chardev_id
        if use.port.onboard is not None:
            happens = f"could not connect serial device to character backend '{wanted}'"
        else:
            key = use.port.device.key if use.port.device else "chardev"
            happens = f"Property '{qom_name(use.port.driver)}.{key}' can't find value '{wanted}'"
        added = use.new == wanted and use.port.device is not None
        text = "{name}: the chardev {new} was added" if added else "{name} got the chardev {new}"
        yield RULE.of_port(use.port, happens, use.given(text), assumed=True)
    ports = {id(port.option) for port in ctx.ports}
    for other in ctx.view.uses():
        known = other.chardev_id in ctx.chardevs or _QEMUS_OWN.match(other.chardev_id)
        if known or id(other.option) in ports or ctx.owner_of(other.option) != "user":
            continue
        words = _WORDS.get(other.option.name, "can't find value '{id}'").format(id=other.chardev_id)
        yield RULE.finding(f"{other.option}: {words}", other.option)
    yield from _debugcon(ctx)


def _debugcon(ctx: RuleContext) -> Iterator[Finding]:
    """Yield a -debugcon that names a chardev: whatever it names, it takes "debugcon"."""
    for port in ctx.view.ports:
        chardev = port.host.chardev_id
        if port.kind == "debugcon" and chardev in ctx.chardevs and "debugcon" not in ctx.chardevs:
            yield RULE.finding(
                f"{port.option}: Property 'isa-debugcon.chardev' can't find value 'debugcon'",
                port.option, fix=f"write -device isa-debugcon,iobase=0xe9,chardev={chardev}",
            )  # fmt: skip


RULE = Rule("chardev-missing", Severity.FAILS, USES, check)
