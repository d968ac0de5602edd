"""What a tty sent back before the guest had made it raw, by whose bytes it is; pure."""

from __future__ import annotations

from dataclasses import replace

from vmserial.verify.results import Fault, FaultKind
from vmserial.verify.wire.frames import Analysis
from vmserial.verify.wire.tallies import in_bytes

_STRANGERS = frozenset({FaultKind.CROSSWIRE, FaultKind.FOREIGN_RUN})


def echo_named(sent: Analysis, came: Analysis, port: str) -> Analysis:
    """Return ``sent`` with the name of what was echoed, if bytes of others came to the port.

    From its opening until ``stty raw`` a tty of Linux echoes what comes in, control
    characters in two (``^X``) and erased ones as backspaces.  If others' bytes reach it
    then, what goes out is so changed that a few of them are nobody's to be seen; that
    others' bytes came in is what tells it.

    Args:
        sent: what the host received in the first transfer since the guest opened the port.
        came: what the guest received in it.
        port: for the sentence.
    """
    extra = [fault for fault in sent.faults if fault.kind is FaultKind.EXTRA]
    known = {(fault.kind, fault.other) for fault in sent.faults}
    named = tuple(
        Fault(
            fault.kind,
            f"{in_bytes(extra[0].length)} came out of {port} as a tty echoes them: bytes of "
            f"{fault.other or 'another run'} reached it before the guest had made it raw",
            extra[0].offset, extra[0].length, extra[0].count, fault.other,
        )
        for fault in came.faults
        if extra and fault.kind in _STRANGERS and (fault.kind, fault.other) not in known
    )  # fmt: skip
    if not named:
        return sent
    words = "; ".join([*(fault.detail for fault in named), sent.detail])
    return replace(sent, faults=(*named, *sent.faults), detail=words)
