"""Virtio consoles beside channels: nodes that no port is behind."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import CONSOLES, LIBVIRT, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield one finding for all consoles."""
    consoles = [port for port in ctx.ports if port.driver == "virtconsole"]
    if consoles and any(port.driver == "virtserialport" for port in ctx.ports):
        yield RULE.finding(
            "virtio consoles and channels share a controller: the guest shows hvc nodes that "
            "no port is behind; count on /sys/class/virtio-ports, not on /dev/hvc*",
            consoles[0].option, tuple(port.name for port in consoles),
        )  # fmt: skip


RULE = Rule(
    "libvirt-phantom-hvc",
    Severity.NOTE,
    CONSOLES,
    check,
    needs=(LIBVIRT,),
    among=("virtconsole",),
)
