"""Ports on virtio-mmio of which a guest without ACPI is not told."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import MMIO_WORDS, Finding, Severity
from vmserial.rules.base import KINDS, PLATFORM, Rule
from vmserial.sources.command.edits import SetKey

_DRIVERS = frozenset({"virtserialport", "virtconsole"})


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield them together: one property of the machine brings all of them back."""
    assert ctx.platform is not None
    if not ctx.platform.unseen or ctx.guest.has(MMIO_WORDS):
        return
    options = [o for o in ctx.view.machine_options if o.params.get("acpi")]
    names = tuple(port.name for port in ctx.staying if port.driver in _DRIVERS)
    if not names or not options:
        return
    # Of another guest it is not known whether it reads the kernel's command line.
    debians = not ctx.guest.assumed and ctx.guest.name.startswith("debian-")
    guess = not (debians or ctx.guest.lacks(MMIO_WORDS))
    repair = EditOptions((SetKey(options[-1], "acpi", True),), "acpi=on")
    yield RULE.finding(
        f"{', '.join(names)}: {ctx.platform.unseen}: no node", options[-1], names,
        () if guess else (repair,), severity=Severity.NOTE if guess else None,
        fix="leave acpi=off away", assumed=guess,
    )  # fmt: skip


RULE = Rule("acpi-off", Severity.DEAD, KINDS, check, needs=(PLATFORM,), among=_DRIVERS)
