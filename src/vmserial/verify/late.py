"""The last look at a VM's ports: whether what its checks missed was lost, or only late."""

from __future__ import annotations

from vmserial.verify.results import FaultKind, Verdict
from vmserial.verify.session import Session

MODE = "late"
"""The mode of a check that says what came after the check that had missed it."""


async def look(session: Session) -> None:
    """Decide a check of each port, and direction, of which something came after all.

    A mutant of ours is not waited for: what it takes never comes.

    Raises:
        LostVMError: the VM was lost.
    """
    if session.request.mutants:
        return
    for one in await session.exchange.stragglers.awaited():
        kinds = one.found.kinds
        late = FaultKind.LATE in kinds
        words = (
            f"{one.found.detail}; it took up to {one.seconds:.0f} s more"
            if late
            else (f"after its last check: {one.found.detail}")
        )
        session.registry.decide(
            session.check("", one.line, MODE, one.direction),
            verdict=Verdict.FAIL, detail=words, faults=one.found.faults,
        )  # fmt: skip


def bound(session: Session) -> float:
    """Return how long that may take, in seconds."""
    limits = session.limits
    return limits.late + (4 + len(session.lines)) * limits.command
