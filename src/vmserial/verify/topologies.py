"""Which VMs the cases need: port lists, planned in an environment; pure.

One VM serves all cases of its topology, because booting is what takes long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmserial.machines import architecture
from vmserial.model import Chardev, Machine, Null, Plan, PortState, SerialPort
from vmserial.planning.planner import plan
from vmserial.verify.cases import Case, planned
from vmserial.verify.request import TestEnvironment, VerifyRequest
from vmserial.verify.results import Fault, Verdict
from vmserial.verify.setup import platform

ON_BOARD = frozenset({"uart", "isa"})
"""Kinds that serial0 itself is of: there, serial0 counts as one of them."""


@dataclass(frozen=True)
class Topology:
    """One VM and what is tried on it.

    Attributes:
        title: for people and in the checks; unique in its environment.
        kind: the device kind it is about; empty for an input.
        machine: the VM, with its user's own backends.
        cases: in order.
        notes: what is different from what was asked for, and why.
    """

    title: str
    kind: str
    machine: Machine
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What is said of a case without a boot: that it cannot be tried here, and why; or more."""

    case: str
    kind: str
    reason: str
    verdict: Verdict = Verdict.SKIPPED
    faults: tuple[Fault, ...] = ()


def ports(
    kind: str, count: int, *, hotplug: bool = False, unplugged: int = 0, absent: int = 0
) -> list[SerialPort]:
    """Return serial0 and ``count`` ports of a kind after it, then those that come later.

    For a kind of the board itself serial0 is of the kind, too.
    """
    first = SerialPort(0, Chardev(Null()), kind=kind if kind in ON_BOARD else "auto")
    made = [first]
    states: list[PortState] = ["plugged"] * count
    states += ["unplugged"] * unplugged
    states += ["absent"] * absent
    for index, state in enumerate(states, 1):
        made.append(SerialPort(index, Chardev(Null()), kind=kind, hotplug=hotplug, state=state))
    return made


class Builder:
    """Makes the topologies of one request in one environment.

    Attributes:
        request: what is asked for.
        environment: on what.
    """

    def __init__(self, request: VerifyRequest, environment: TestEnvironment) -> None:
        self.request = request
        self.environment = environment
        self._made: list[Topology] = []
        self._told: list[Told] = []

    def build(self) -> tuple[list[Topology], list[Told]]:
        """Return the VMs to boot, in order, and what is said of others without a boot.

        Raises:
            PlanRefused: the input itself is refused.
            UsageError: the architecture or a kind is not known.
        """
        cases = [planned()[name] for name in self.request.chosen_cases]
        for case in cases:
            if case.of_input:
                case.add(self, "")
        of_kinds = [case for case in cases if not case.of_input]
        for kind in self._kinds() if of_kinds else ():
            for case in of_kinds:
                case.add(self, kind)
        return self._made, self._told

    def _kinds(self) -> Sequence[str]:
        arch = architecture(self.request.machine.arch)
        return self.request.kinds or arch.order

    # -------------------------------------------------------------- for the cases

    def plan(self, made: Sequence[SerialPort]) -> Plan:
        """Return the plan of these ports on this platform; it may hold refusals."""
        return plan(
            platform(self.request.machine, made),
            self.environment.capabilities,
            self.environment.guest.profile,
            control=True,
        )

    def add(
        self, kind: str, made: Sequence[SerialPort], cases: Sequence[Case], what: str = "",
        notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """Add a VM with these ports and nothing else.

        Args:
            kind: the device kind that it is about.
            made: its ports.
            cases: what is tried on it, in order.
            what: what tells it apart; empty: its kind and its number of ports.
            notes: what is different from what was asked for.
        """
        machine = platform(self.request.machine, made)
        self.append(kind, machine, cases, what or f"{kind}, {len(made)} ports", notes)

    def append(
        self, kind: str, machine: Machine, cases: Sequence[Case], what: str,
        notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """Add a VM as it is."""
        self._made.append(Topology(self._title(machine, what), kind, machine, tuple(cases), notes))

    def _title(self, machine: Machine, what: str) -> str:
        name = architecture(machine.arch).board(machine)
        title = f"{machine.arch} {name} {what}, {self.environment.guest.name}"
        same = sum(one.title.startswith(title) for one in self._made)
        return title + (f" ({same + 1})" if same else "")

    def has(self, case: str, kind: str) -> bool:
        """Tell whether there is a VM with that one case for a kind."""
        return self._at(case, kind) >= 0

    def _at(self, case: str, kind: str) -> int:
        names = [(one.kind, *(each.name for each in one.cases)) for one in self._made]
        return names.index((kind, case)) if (kind, case) in names else -1

    def replace(
        self, case: str, kind: str, made: Sequence[SerialPort], cases: Sequence[Case], what: str
    ) -> None:
        """Put a VM in the place of the one with that one case for a kind."""
        at = self._at(case, kind)
        machine = platform(self.request.machine, made)
        title = self._title(machine, what)
        self._made[at] = Topology(title, kind, machine, tuple(cases))

    def skip(self, case: str, kind: str, made: Plan) -> None:
        """Leave a case out that a plan refuses."""
        first = made.refusals[0]
        self.leave_out(case, kind, f"{first.id}: {first.happens}; {first.fix}")

    def leave_out(self, case: str, kind: str, reason: str) -> None:
        """Leave a case out for some reason."""
        self.tell(case, kind, reason, Verdict.SKIPPED)

    def tell(
        self, case: str, kind: str, reason: str, verdict: Verdict, faults: tuple[Fault, ...] = ()
    ) -> None:
        """Say what comes of a case without a boot."""
        self._told.append(Told(case, kind, reason, verdict, faults))
