"""As many ports of a kind as one VM carries, all working; and one more refused by name."""

from __future__ import annotations

from dataclasses import dataclass

from vmserial.model import Finding
from vmserial.verify.cases.data import DataCase
from vmserial.verify.results import Check, Fault, FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.wire.transfer import Outcome


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
        super().__init__("maximum", alone, together)
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
        self._failed += outcome.verdict is not Verdict.PASS

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
