"""One VM of a verification before it is booted: how it is started, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from vmserial.machines import architecture
from vmserial.paths import RunDirectory
from vmserial.progress import Reporter
from vmserial.verify.registry import CheckRegistry
from vmserial.verify.request import TestEnvironment, VerifyRequest
from vmserial.verify.results import (
    CANNOT,
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.setup import Setup
from vmserial.verify.wire.form import Stream
from vmserial.verify.wire.transfer import Line, Outcome, Transfer

BOTH: tuple[Direction, ...] = (GUEST_TO_HOST, HOST_TO_GUEST)


@dataclass(kw_only=True, eq=False, repr=False)
class Subject:
    """A VM that is to be tested, its data and its checks.

    Attributes:
        title: of the VM, for people and in the checks.
        environment: the binary and the guest.
        made: how it is started.
        kind: the device kind it is about.
        request: the whole verification's.
        seed: of its data.
        runs: numbers of its transfers; no two of a verification share one.
        registry: where its checks go.
        reporter: told what is being done.
        rundir: where the ports' sockets are.
        limits: of time, as requested.
        lines: the ports that are there from the start, by name.
    """

    title: str
    environment: TestEnvironment
    made: Setup
    kind: str
    request: VerifyRequest
    seed: int
    runs: Iterator[int]
    registry: CheckRegistry
    reporter: Reporter
    rundir: RunDirectory

    def __post_init__(self) -> None:
        self.limits = self.request.limits
        self.lines = {
            assignment.port.name: Line(assignment)
            for assignment in self.made.plan.assignments
            if assignment.port.state != "absent"
        }

    def transfers(
        self, lines: Iterable[Line], sizes: tuple[int, ...] | Callable[[Line], tuple[int, ...]]
    ) -> list[Transfer]:
        """Return a transfer for each line, all of one new run; ``sizes`` for all or for each."""
        run = next(self.runs)
        made = []
        for line in lines:
            own = sizes(line) if callable(sizes) else sizes
            carries, index = line.assignment.carries, line.assignment.port.index
            out, into = (
                Stream(run, index, way, self.seed, own, path)
                for way, path in zip(BOTH, (carries.to_host, carries.to_guest), strict=True)
            )
            made.append(Transfer(line, out, into))
        return made

    def check(self, case: str, line: Line | None, mode: str, way: Direction = "") -> Check:
        """Return a check of this VM, without its verdict."""
        environment, machine = self.environment, self.made.plan.machine
        return Check(
            case=case,
            arch=machine.arch,
            machine=architecture(machine.arch).board(machine),
            qemu=environment.capabilities.version_text,
            guest=environment.guest.name,
            kind=line.assignment.kind if line is not None else self.kind,
            port=line.name if line is not None else "",
            direction=way,
            mode=mode,
            vm=self.title,
        )

    def decide(self, check: Check, outcome: Outcome, note: str = "") -> None:
        """Decide a check by what came of its transfer."""
        self.registry.decide(
            check,
            verdict=outcome.verdict,
            bytes=outcome.bytes,
            seconds=round(outcome.seconds, 4),
            detail="; ".join(part for part in (outcome.detail, note) if part),
            faults=outcome.faults,
            node=outcome.line.node.path if outcome.line.node is not None else "",
            depth=outcome.deepen(),
        )

    def untestable(self, check: Check, line: Line) -> None:
        """Decide a check of a port that has no node, or one that cannot be opened."""
        self.registry.decide(
            check,
            verdict=Verdict.SKIPPED
            if all(fault.kind in CANNOT for fault in line.trouble)
            else Verdict.FAIL,
            detail="; ".join(fault.detail for fault in line.trouble),
            faults=line.trouble,
        )

    def wrong_node(self, line: Line, path: str) -> None:
        """Report a node that has the right identity and is not the one that was planned."""
        detail = f"{line.assignment.identity} is {path}, not {line.assignment.node}"
        self.registry.decide(
            self.check("", line, "node"),
            verdict=Verdict.FAIL,
            detail=detail,
            faults=(Fault(FaultKind.WRONG_NODE, detail),),
        )
