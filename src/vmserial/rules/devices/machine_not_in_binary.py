"""A machine type that the binary does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule

_VERSIONED = re.compile(
    r"(?:virt|pc|pc-i440fx|pc-q35|pseries|s390-ccw-virtio)-([0-9]+)\.([0-9]+)\Z"
)
"""Machine types that come with a version of QEMU."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield a machine type that the binary was asked for and lacks, or that is newer than it."""
    asked = ctx.machine_type
    if ctx.owner != "user" or ctx.is_pve or not asked or not _lacks(ctx, asked):
        return
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(asked, ctx.capabilities.machines, 1)
    fix = f"did you mean -machine {near[0]}? " if near else ""
    yield RULE.finding(
        f"-machine {asked}: unsupported machine type", next(iter(ctx.view.machine_options), None),
        fix=f"{fix}qemu-system-{ctx.arch} -machine help lists them",
    )  # fmt: skip


def _lacks(ctx: RuleContext, asked: str) -> bool:
    has = ctx.capabilities
    if asked in has.machines or not has.measured:
        return False
    match = _VERSIONED.match(asked)
    if match is not None and (int(match[1]), int(match[2])) > has.version[:2]:
        return True
    # Of a recorded binary only some are known.
    return bool(has.binary and has.machines)


RULE = Rule("machine-not-in-binary", Severity.FAILS, KINDS, check, needs=("readconfig",))
