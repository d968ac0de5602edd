"""Two virtio ports of one number, or of one name."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose number or name another one has."""
    for collision in ctx.occupancy.of("virtio-port-taken"):
        port = collision.port
        assert port is not None
        if collision.bus:
            yield RULE.of_port(
                port, f"virtio-serial-bus: A port already exists at id {collision.place}",
                stays_as_it_is(port),
            )  # fmt: skip
            continue
        # No two of a VM may share a name, on whatever controllers.
        new = f"{collision.place}-{port.number}"
        yield RULE.of_port(
            port, f"virtio-serial-bus: A port already exists by name {collision.place}",
            EditOptions((SetKey(port.option, "name", new),), f"{port.name}: name={new}"),
        )  # fmt: skip


RULE = Rule("virtio-port-taken", Severity.FAILS, PLACES, check, needs=(COLLISION,))
