"""A chardev whose id is none that QEMU takes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
"""Letters, digits, and three marks, from a letter on (util/id.c)."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the chardevs that QEMU refuses for their names."""
    for entry in ctx.view.chardevs:
        if entry.id and not entry.option.params.is_json and not _ID.match(entry.id):
            yield RULE.finding(
                f"{entry.option}: Parameter 'id' expects an identifier", entry.option,
                ctx.ports_at(entry.option, entry.id),
            )  # fmt: skip


RULE = Rule("chardev-id", Severity.FAILS, IDS, check)
