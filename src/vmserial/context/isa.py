"""The indexes of isa-serial devices: who has which, and who gets none.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmserial.context.ports import Port
from vmserial.limits import ISA_SERIAL_PORTS

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext


@dataclass(frozen=True)
class IsaConflict:
    """An isa-serial whose index is another's, or past the last.

    Attributes:
        port: the port.
        index: its index, said or counted by QEMU.
        owner: the name of what has it; empty: there is no such index.
        free: an index that it can have; None where there is none, or where QEMU counts.
    """

    port: Port
    index: int
    owner: str
    free: int | None


def isa_conflicts(ctx: RuleContext) -> tuple[IsaConflict, ...]:
    """Return the conflicts in the order in which QEMU makes the devices."""
    assert ctx.platform is not None
    if not ctx.platform.isa:
        return ()
    taken: dict[int, str] = {
        port.onboard.index: port.name
        for port in ctx.ports
        if port.onboard is not None and port.onboard.index < ISA_SERIAL_PORTS
    }
    if ctx.view.default_serial is not None:
        taken[0] = "the default serial port"
    made = len(taken)
    found: list[IsaConflict] = []
    ports = [port for port in ctx.staying if port.driver == "isa-serial"]
    for port in sorted(ports, key=lambda port: port.option.params.is_json):
        place = port.device.device.isa if port.device else None
        said = place.index if place else None
        index = made if said is None else said
        made += 1
        past = index >= ISA_SERIAL_PORTS
        if not past and (index not in taken or (place and place.iobase is not None)):
            taken[index] = port.name
            continue
        free = next((i for i in range(ISA_SERIAL_PORTS) if i not in taken), None)
        if past and said is None:
            free = None
        found.append(IsaConflict(port, index, "" if past else taken[index], free))
        if free is not None:
            taken[free] = port.name
    return tuple(found)
