"""As many ports of a kind as one VM carries, all working; and one more refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmserial.model import Finding, Plan, SerialPort
from vmserial.verify.cases import Planned
from vmserial.verify.cases.data import DataCase
from vmserial.verify.results import Check, Fault, FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.topologies import ON_BOARD, ports
from vmserial.verify.wire.transfer import Outcome

if TYPE_CHECKING:
    from vmserial.verify.topologies import Builder

_MOST = 1024
"""Ports with which the search for a limit ends."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What planning found out about a kind.

    Attributes:
        ports: how many of the kind are planned without a refusal.
        refusals: of one more; empty if that was planned too.
    """

    ports: int
    refusals: tuple[Finding, ...]


class MaximumCase(DataCase):
    """The data of all ports, and the refusal of one more than the limit.

    Args:
        limit: of the kind in this environment.
        count: how many of the kind this VM has: the limit, or the ceiling below it.
        alone, together: payload sizes.
    """

    def __init__(
        self, limit: Limit, count: int, alone: tuple[int, ...], together: tuple[int, ...]
    ) -> None:
        super().__init__("maximum", alone, together, unattended=True, in_turn=True)
        self.limit = limit
        self.count = count
        self._failed = 0

    def _whole(self, session: Session) -> Check:
        return session.check(self.name, None, "maximum")

    def _refused(self, session: Session) -> Check:
        return session.check(self.name, None, "refused")

    def expect(self, session: Session) -> None:
        """Announce all checks."""
        super().expect(session)
        session.registry.expect(self._whole(session))
        session.registry.expect(self._refused(session))

    def decided(self, outcome: Outcome) -> None:
        """Count what did not pass."""
        self._failed += outcome.verdict is Verdict.FAIL

    async def run(self, session: Session) -> None:
        """Make the checks; a LostVMError if the VM was lost."""
        self.judge_refusal(session)
        self._failed = 0
        await super().run(session)
        self._failed += sum(bool(line.trouble) for line in self.lines(session))
        more = (
            f", and planning goes on to {self.limit.ports}"
            if self.limit.ports > self.count else ", the planner's own limit"
        )  # fmt: skip
        if self._failed:
            session.registry.decide(
                self._whole(session),
                verdict=Verdict.FAIL,
                detail=f"not all of {self.count} {session.kind} ports work",
                planned=self.limit.ports,
            )
        else:
            session.registry.decide(
                self._whole(session),
                verdict=Verdict.PASS,
                detail=f"{self.count} {session.kind} ports work in one VM{more}",
                maximum=self.count,
                planned=self.limit.ports,
            )

    def judge_refusal(self, session: Session) -> None:
        """Decide whether one port more than the limit is refused as it must be."""
        check, over = self._refused(session), self.limit.ports + 1
        good = [r for r in self.limit.refusals if r.id and r.happens and r.fix]
        if good:
            first = good[0]
            session.registry.decide(
                check,
                verdict=Verdict.PASS,
                detail=f"{over} {session.kind} ports are refused: {first.id}: {first.happens}",
            )
            return
        if not self.limit.refusals:
            session.registry.decide(
                check,
                verdict=Verdict.SKIPPED,
                detail=f"{self.limit.ports} {session.kind} ports can be planned; more is not tried",
            )
            return
        detail = f"the refusal of {over} {session.kind} ports lacks its id, words or way out"
        session.registry.decide(
            check,
            verdict=Verdict.FAIL,
            detail=detail,
            faults=(Fault(FaultKind.NOT_REFUSED, detail),),
        )


class Maximum(Planned):
    """As many ports of a kind as are planned without a refusal, or as the ceiling allows."""

    name = "maximum"
    about = "as many of each kind as can be planned, up to --ceiling; one more is refused"
    order = 3

    def add(self, builder: Builder, kind: str) -> None:
        """Add its VM."""
        limit = find_limit(lambda count: builder.plan(of_kind(kind, count)))
        if not limit.ports:
            builder.skip(self.name, kind, builder.plan(of_kind(kind, 1)))
            return
        request = builder.request
        count = min(limit.ports, request.ceilings.get(kind, limit.ports))
        case = MaximumCase(limit, count, request.alone, request.alone)
        builder.add(kind, of_kind(kind, count), [case], f"maximum of {kind}")


def of_kind(kind: str, count: int) -> list[SerialPort]:
    """Return ports of which ``count`` are of the kind."""
    return ports(kind, count - 1 if kind in ON_BOARD else count)


def find_limit(planned: Callable[[int], Plan], most: int = _MOST) -> Limit:
    """Return how many ports are planned without a refusal, by doubling and halving.

    Args:
        planned: plans that many ports of the kind.
        most: with which the search ends.
    """
    good, bad = 0, 1
    while bad <= most and not (refused := planned(bad)).refusals:
        good, bad = bad, bad * 2
    if bad > most:
        return Limit(good, ())
    while bad - good > 1:
        middle = (good + bad) // 2
        tried = planned(middle)
        if tried.refusals:
            bad, refused = middle, tried
        else:
            good = middle
    return Limit(good, refused.refusals)


CASE = Maximum()
