"""The ports of a user's own command line: data through each, also through those that look dead."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vmserial.verify import unattended
from vmserial.verify.cases.data import DataCase
from vmserial.verify.session import Session
from vmserial.verify.wire.transfer import Line, Transfer

NAME = "command"
"""The case's name in its checks."""

_DOUBTED = 2.0
"""Seconds for the node of a port that QEMU itself calls unconnected: the guest has long
enumerated by then, and still it decides."""


class CommandCase(DataCase):
    """Each port of a command line: its node, and its bytes both ways, alone and together.

    Args:
        alone: payload sizes for each port by itself.
        together: payload sizes for all ports at once.
        doubted: ports that QEMU wired to nothing; their nodes are not awaited for long.
        timeout: seconds for all of it; 0: as long as the ports may need.
    """

    def __init__(
        self, alone: tuple[int, ...], together: tuple[int, ...], *,
        doubted: Collection[str] = (), timeout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(NAME, alone, together)
        self.doubted = frozenset(doubted)
        self.timeout = timeout

    def bound(self, session: Session) -> float:
        """Return how long the whole case may take, in seconds."""
        most = super().bound(session)
        return min(most, self.timeout) if self.timeout else most

    def patience(self, session: Session, lines: list[Line]) -> list[tuple[list[Line], float]]:
        """Return the lines in groups, and for how many seconds each group's nodes are awaited."""
        sure = [line for line in lines if line.name not in self.doubted]
        rest = [line for line in lines if line.name in self.doubted]
        groups = [(sure, session.limits.nodes(len(sure))), (rest, _DOUBTED)]
        return [(group, bound) for group, bound in groups if group]

    async def run(self, session: Session) -> None:
        """Make the checks; a LostVMError if the VM was lost."""
        late = [line for line in session.lines.values() if line.name in session.made.late]
        if late:
            of = self._unattended(session)
            await unattended.first(session, late, _DOUBTED, of)
        await super().run(session)

    async def _alone(
        self, session: Session, lines: list[Line], transfers: dict[str, Transfer]
    ) -> list[Transfer]:
        tested = await super()._alone(session, lines, transfers)
        for line in lines:
            if line.name in self.doubted:
                line.trouble = tuple(
                    replace(fault, detail=f"QEMU has no UART for it: {fault.detail}")
                    for fault in line.trouble
                )
        return tested
