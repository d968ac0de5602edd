"""A chardev or device whose id is none that QEMU takes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
"""Letters, digits, and three marks, from a letter on (util/id.c)."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the chardevs and devices that QEMU refuses for their names."""
    for entry in ctx.view.chardevs:
        if entry.id and not entry.option.params.is_json and not _ID.match(entry.id):
            yield RULE.finding(
                f"{entry.option}: Parameter 'id' expects an identifier", entry.option,
                ctx.ports_at(entry.option, entry.id),
            )  # fmt: skip
    for device in ctx.view.devices:
        # In JSON QEMU takes any text before 11.1 (run with 7.2).
        if device.id and not device.option.params.is_json and not _ID.match(device.id):
            yield RULE.finding(
                f"{device.option}: Parameter 'id' expects an identifier", device.option,
                tuple(port.name for port in ctx.ports if port.option is device.option),
            )  # fmt: skip


RULE = Rule("chardev-id", Severity.FAILS, IDS, check)
