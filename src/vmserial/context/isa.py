"""The indexes of isa-serial devices: who has which, and who gets none.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.context.ports import Port
from vmserial.limits import ISA_SERIAL_PLACES, ISA_SERIAL_PORTS
from vmserial.records import record

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext


@record(frozen=True)
class IsaConflict:
    """An isa-serial whose I/O port is another's, or whose index is past the last.

    Attributes:
        port: the port.
        index: its index, said or counted by QEMU.
        iobase: its I/O port, where it says one.
        owner: the name of what has its I/O port; empty: there is no such index.
        free: an index that it can have; None where there is none, or where QEMU counts.
    """

    port: Port
    index: int
    iobase: int | None
    owner: str
    free: int | None


def isa_conflicts(ctx: RuleContext) -> tuple[IsaConflict, ...]:
    """Return the conflicts in the order in which QEMU makes the devices.

    Two devices at one I/O port start, and the guest reaches one of them (``info mtree``).
    """
    assert ctx.platform is not None
    if not ctx.platform.isa:
        return ()
    bases = [base for base, _ in ISA_SERIAL_PLACES]
    taken: dict[int, str] = {
        bases[port.onboard.index]: port.name
        for port in ctx.ports
        if port.onboard is not None and port.onboard.index < ctx.platform.isa_serials
    }
    if ctx.view.default_serial is not None and ctx.platform.isa_serials:
        taken[bases[0]] = "the default serial port"
    made = len(taken)
    found: list[IsaConflict] = []
    ports = [port for port in ctx.staying if port.driver == "isa-serial"]
    for port in sorted(ports, key=lambda port: port.option.params.is_json):
        place = port.device.device.isa if port.device else None
        said = place.index if place else None
        iobase = place.iobase if place else None
        index = made if said is None else said
        made += 1
        past = index >= ISA_SERIAL_PORTS
        base = 0 if past else bases[index] if iobase is None else iobase
        if not past and base not in taken:
            taken[base] = port.name
            continue
        free = next((i for i, base in enumerate(bases) if base not in taken), None)
        if past and said is None:
            free = None
        found.append(IsaConflict(port, index, iobase, "" if past else taken[base], free))
        if free is not None:
            taken[bases[free]] = port.name
    return tuple(found)
