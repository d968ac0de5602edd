"""A ring buffer whose size QEMU does not take."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command.edits import SetKey
from vmserial.values import size


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ring buffers of a size that is no power of two."""
    for option, id, backend, params in ctx.view.host_ends():
        found = size(params.get("size", "")) if backend in {"ringbuf", "memory"} else None
        if found is None or not found & (found - 1):
            continue
        larger = 1 << found.bit_length()
        names = ctx.ports_at(option, id)
        repairs: tuple[EditOptions, ...] = ()
        if option.name == "chardev":
            edit = SetKey(option, "size", str(larger))
            repairs = (EditOptions((edit,), f"{ctx.port_at(option, id)}: size={larger}"),)
        yield RULE.finding(
            f"{option}: size of ringbuf chardev must be power of two", option, names, repairs
        )


RULE = Rule("ringbuf-size", Severity.FAILS, IDS, check)
