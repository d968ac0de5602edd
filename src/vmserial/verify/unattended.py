"""Ports that must be in the guest while nobody is at their chardevs, and their clients then.

A usb-serial without ``always-plugged`` comes and goes with its client: whoever attaches first
and looks then finds every port, and a guest that boots alone has none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from vmserial.errors import ShellError
from vmserial.guests.nodes import Node
from vmserial.verify.results import Check, Fault, FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.wire.endpoints import PTY_NOTICED
from vmserial.verify.wire.transfer import Line


async def shown(
    session: Session, lines: Sequence[Line], bound: float, check_of: Callable[[Line], Check]
) -> AsyncIterator[tuple[Line, Node | None]]:
    """Decide whether each port is there with nobody at its chardev; yield each, then.

    Args:
        session: of the VM.
        lines: ports without a client.
        bound: seconds for all of them.
        check_of: the check that says it of a port.
    """
    waiting = {line.assignment.identity: line for line in lines}
    with contextlib.suppress(ShellError):
        async for node in session.agent.shown(list(waiting), bound):
            line = waiting.pop(node.identity)
            session.registry.decide(check_of(line), verdict=Verdict.PASS, node=node.path)
            yield line, node
    for line in waiting.values():
        detail = (
            f"the guest has no {line.name} while no client is at its chardev; {session.unclaimed()}"
        )
        session.registry.decide(
            check_of(line), verdict=Verdict.FAIL, detail=detail,
            faults=(Fault(FaultKind.NO_NODE, detail),),
        )  # fmt: skip
        yield line, None


async def first(
    session: Session, lines: Sequence[Line], bound: float, check_of: Callable[[Line], Check]
) -> None:
    """Look for ports while nobody has opened their chardevs; then open them.

    Args are those of :func:`shown`.
    """
    async for _ in shown(session, lines, bound, check_of):
        pass
    places = await session.ends.places(session.vm)
    for line in lines:
        await session.ends.connect(line, places)
    if session.request.endpoint == "pty":
        await asyncio.sleep(PTY_NOTICED)
