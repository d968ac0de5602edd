"""What ports take of the guest's memory, and when it has no room for them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vmserial.devices import KINDS
from vmserial.limits import GUEST_LEAST_MIB
from vmserial.model import Assignment, Capabilities, Finding, Machine, Severity, refusal


def memory_kib(assignments: Iterable[Assignment | None], capabilities: Capabilities) -> int:
    """Return what ports take of the guest's memory on a binary, in KiB."""
    return sum(
        KINDS[a.kind].memory_kib(capabilities)
        for a in assignments
        if a is not None and a.kind in KINDS and a.port.state == "plugged"
    )


def no_room(machine: Machine, kib: int) -> list[Finding]:
    """Refuse ports that take more than half of the guest's memory and leave too little of it."""
    mib = -(-kib // 1024)
    if 2 * mib <= machine.memory_mib or mib + GUEST_LEAST_MIB <= machine.memory_mib:
        return []
    enough = -(-(mib + GUEST_LEAST_MIB) // 128) * 128
    return [
        refusal(
            "guest-memory",
            f"the drivers of its ports take about {mib} MiB of the guest's {machine.memory_mib} "
            f"MiB, and it needs {GUEST_LEAST_MIB} MiB besides: it dies while it starts",
            f"give it --memory {enough} or more, or ask for fewer ports",
            where=machine.place_of("memory"),
            severity=Severity.DEAD,
        )
    ]
