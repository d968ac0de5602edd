"""A port at which more comes than was sent, and does not stop: a bounded look at it.

What nobody sent may have no end: a getty on the far end of a cable, a log that is written to a
port, a chardev that loops.  Such a port is named and shut; it takes nothing from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.guests.farend import FarEnd
from vmserial.verify.request import Limits
from vmserial.verify.results import HOST_TO_GUEST, Fault, FaultKind
from vmserial.verify.wire.tallies import in_bytes

if TYPE_CHECKING:
    from vmserial.verify.wire.transfer import Transfer

PAST = 1 << 16
"""Bytes past those of a transfer that are looked at; of what is on top the number says enough."""


def looked_at(came: bytes, sent: int) -> bytes:
    """Return of what the host received for a transfer of ``sent`` bytes what is looked at."""
    return came[: sent + PAST]


def past(transfer: Transfer) -> Fault | None:
    """Return what to say of a port that gave the host more than is looked at."""
    endpoint, size = transfer.line.endpoint, len(transfer.out.data)
    count = len(transfer.stray) + endpoint.count
    if count <= size + PAST:
        return None
    what = f"{in_bytes(count)} came from {transfer.line.name} where {size} were sent"
    return Fault(FaultKind.EXTRA, what, offset=size, length=count - size)


async def received(agent: FarEnd, transfer: Transfer, limits: Limits) -> bytes:
    """Fetch what the guest received at a port since it opened it, up to a bound.

    A port that is past the bound is shut in the guest, and its line gets the reason.

    Raises:
        LostVMError: the guest does not answer.
    """
    line, size = transfer.line, len(transfer.into.data)
    most = line.came + size + PAST
    count = await agent.count(line.path)
    data = await agent.fetch(line.path, limits.bytes(min(count, most)), most=min(count, most))
    if count > most:
        await agent.close(line.path)
        what = f"{in_bytes(count - line.came)} came at {line.name} where {size} were sent"
        transfer.faults[HOST_TO_GUEST].append(
            Fault(FaultKind.EXTRA, what, offset=size, length=count - line.came - size)
        )
        line.trouble = (Fault(FaultKind.EXTRA, f"{what}: it was shut in the guest"),)
    return data
