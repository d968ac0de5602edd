"""Logs that virtlogd writes."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import LIBVIRT, LOSSES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield one finding for all ports with a log."""
    logged = [
        port for port in ctx.ports
        if (entry := ctx.chardevs.get(port.chardev_id)) and entry.params.get("logfile")
    ]  # fmt: skip
    if logged:
        yield RULE.finding(
            "<log> goes through virtlogd: when it is stopped, the VM freezes after 64 KiB "
            "of one port's output (unless qemu.conf says stdio_handler = \"file\")",
            logged[0].option, tuple(port.name for port in logged),
        )  # fmt: skip


RULE = Rule("virtlogd-freeze", Severity.NOTE, LOSSES, check, needs=(LIBVIRT,))
