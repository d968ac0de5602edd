"""Which VMs the cases need: port lists, planned in an environment; pure.

One VM serves all cases of its topology, because booting is what takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmserial.devices import KINDS
from vmserial.machines import architecture
from vmserial.model import Assignment, Chardev, Machine, Null, Plan, PortState, SerialPort
from vmserial.planning.planner import plan, require
from vmserial.verify.cases import Case
from vmserial.verify.cases.data import DataCase
from vmserial.verify.cases.hotplug import HotplugCase
from vmserial.verify.cases.maximum import Limit, MaximumCase
from vmserial.verify.request import (
    DEFAULT_PORTS,
    LARGE_PORTS,
    TOGETHER,
    TestEnvironment,
    VerifyRequest,
)
from vmserial.verify.results import HOTPLUG
from vmserial.verify.setup import platform

ON_BOARD = frozenset({"uart", "isa"})
"""Kinds that serial0 itself is of: there, serial0 counts as one of them."""

_MOST = 1024
"""Ports with which the search for a limit ends."""


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
class Skipped:
    """A case that cannot be tried in this environment, and why."""

    case: str
    kind: str
    reason: str


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
    """Makes the topologies of one request in one environment."""

    def __init__(self, request: VerifyRequest, environment: TestEnvironment) -> None:
        self._request = request
        self._environment = environment
        self._made: list[Topology] = []
        self._skipped: list[Skipped] = []

    def build(self) -> tuple[list[Topology], list[Skipped]]:
        """Return the VMs to boot, in order, and what is left out.

        Raises:
            PlanRefused: the input itself is refused.
            UsageError: the architecture or a kind is not known.
        """
        cases = self._request.chosen_cases
        if "input" in cases:
            self._input()
        for kind in self._kinds() if set(cases) - {"input"} else ():
            merged = "default" in cases and HOTPLUG in cases and self._default_and_hotplug(kind)
            if "default" in cases and not merged:
                self._default(kind)
            if "large" in cases:
                self._large(kind)
            if "maximum" in cases:
                self._maximum(kind)
            if HOTPLUG in cases and not merged:
                self._hotplug(kind)
        return self._made, self._skipped

    def _kinds(self) -> Sequence[str]:
        arch = architecture(self._request.machine.arch)
        return self._request.kinds or arch.order

    def _plan(self, made: Sequence[SerialPort]) -> Plan:
        return plan(
            platform(self._request.machine, made),
            self._environment.capabilities,
            self._environment.guest.profile,
            control=True,
        )

    def _add(
        self, kind: str, made: Sequence[SerialPort], cases: Sequence[Case], what: str = "",
        notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        machine = platform(self._request.machine, made)
        self._append(kind, machine, cases, what or f"{kind}, {len(made)} ports", notes)

    def _append(
        self, kind: str, machine: Machine, cases: Sequence[Case], what: str,
        notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        name = architecture(machine.arch).machine_type(machine.machine_type)
        title = f"{machine.arch} {name} {what}, {self._environment.guest.name}"
        same = sum(one.title.startswith(title) for one in self._made)
        title += f" ({same + 1})" if same else ""
        self._made.append(Topology(title, kind, machine, tuple(cases), notes))

    def _skip(self, case: str, kind: str, made: Plan) -> None:
        first = made.refusals[0]
        self._skipped.append(Skipped(case, kind, f"{first.id}: {first.happens}; {first.fix}"))

    # -------------------------------------------------------------- the cases

    def _input(self) -> None:
        machine = self._request.machine
        require(
            plan(
                machine,
                self._environment.capabilities,
                self._environment.guest.profile,
                control=True,
            )
        )
        case = DataCase("input", self._request.alone, self._request.together)
        self._append("", machine, [case], f"input {machine.name}")

    def _data(self, name: str) -> DataCase:
        # The default case is the one whose rates are shown: it times long transfers.
        alone = (
            tuple(dict.fromkeys((*self._request.alone, *TOGETHER[-1:])))
            if name == "default" else self._request.alone
        )  # fmt: skip
        return DataCase(name, alone, self._request.together, brief=name == "large")

    def _default_ports(self, kind: str) -> tuple[list[SerialPort], tuple[str, ...]] | Plan:
        """Return serial0 and three more, or as many as there may be; or a plan that refuses."""
        first: Plan | None = None
        least = 0 if kind in ON_BOARD else 1
        for count in range(DEFAULT_PORTS, least - 1, -1):
            made = ports(kind, count)
            tried = self._plan(made)
            if not tried.refusals:
                return made, (_fewer(count, first),) if first else ()
            first = first or tried
        assert first is not None
        return tried

    def _default(self, kind: str) -> None:
        found = self._default_ports(kind)
        if isinstance(found, Plan):
            self._skip("default", kind, found)
            return
        made, notes = found
        self._add(kind, made, [self._data("default")], notes=notes)

    def _large(self, kind: str) -> None:
        made = ports(kind, LARGE_PORTS)
        tried = self._plan(made)
        if tried.refusals:
            self._skip("large", kind, tried)
        else:
            self._add(kind, made, [self._data("large")])

    def _maximum(self, kind: str) -> None:
        limit = find_limit(lambda count: self._plan(_of_kind(kind, count)))
        if not limit.ports:
            self._skip("maximum", kind, self._plan(_of_kind(kind, 1)))
            return
        count = min(limit.ports, self._request.ceilings.get(kind, limit.ports))
        case = MaximumCase(limit, count, self._request.alone, self._request.alone)
        self._add(kind, _of_kind(kind, count), [case], f"maximum of {kind}")

    def _hotplug_ports(self, kind: str) -> tuple[list[SerialPort], tuple[str, ...]] | Plan:
        """Return ports for the hot-plug case: as much of it as this environment can carry.

        The article has three plugged and a fourth that comes later; a fifth, whose
        chardev comes later as well, is ours.
        """
        first: Plan | None = None
        for plugged, unplugged, absent in (
            (DEFAULT_PORTS, 1, 1), (2, 1, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0),
        ):  # fmt: skip
            made = ports(kind, plugged, hotplug=True, unplugged=unplugged, absent=absent)
            tried = self._plan(made)
            if not tried.refusals:
                fewer = f"hot-plug with {plugged} + {unplugged} + {absent} ports"
                return made, (f"{fewer}: {first.refusals[0].happens}",) if first else ()
            first = first or tried
        return tried

    def _hotplug(self, kind: str) -> None:
        if not self._hot_pluggable(kind):
            return
        found = self._hotplug_ports(kind)
        if isinstance(found, Plan):
            self._skip(HOTPLUG, kind, found)
            return
        made, notes = found
        case = HotplugCase(self._request.cycles)
        self._add(kind, made, [case], f"{kind}, {len(made)} ports, hot-plug", notes)

    def _hot_pluggable(self, kind: str) -> bool:
        known = KINDS.get(kind)
        if known is None or known.hot_pluggable:
            return True
        self._skipped.append(
            Skipped(HOTPLUG, kind, f"{kind} ({known.title}) cannot be hot-plugged")
        )
        return False

    def _default_and_hotplug(self, kind: str) -> bool:
        """Add one VM for both cases, if the ports that come later move none of the others."""
        known = KINDS.get(kind)
        if known is None or not known.hot_pluggable:
            return False
        cold = ports(kind, DEFAULT_PORTS)
        hot = ports(kind, DEFAULT_PORTS, hotplug=True, unplugged=1, absent=1)
        first, second = self._plan(cold), self._plan(hot)
        if first.refusals or second.refusals or _places(first) != _places(second)[: len(cold)]:
            return False
        cases = [self._data("default"), HotplugCase(self._request.cycles)]
        self._add(kind, hot, cases, f"{kind}, {len(cold)} ports and {len(hot) - len(cold)} later")
        return True


def _of_kind(kind: str, count: int) -> list[SerialPort]:
    """Return ports of which ``count`` are of the kind."""
    return ports(kind, count - 1 if kind in ON_BOARD else count)


def _places(made: Plan) -> list[tuple[object, ...]]:
    def place(assignment: Assignment) -> tuple[object, ...]:
        return assignment.kind, assignment.device, assignment.bus, assignment.address

    return [place(assignment) for assignment in made.assignments]


def _fewer(count: int, refused: Plan) -> str:
    first = refused.refusals[0]
    return f"default with 1 + {count} ports instead of 1 + {DEFAULT_PORTS}: {first.happens}"


def find_limit(planned: Callable[[int], Plan]) -> Limit:
    """Return how many ports are planned without a refusal, by doubling and halving.

    Args:
        planned: plans that many ports of the kind.
    """
    good, bad = 0, 1
    while bad <= _MOST and not (refused := planned(bad)).refusals:
        good, bad = bad, bad * 2
    if bad > _MOST:
        return Limit(good, ())
    while bad - good > 1:
        middle = (good + bad) // 2
        tried = planned(middle)
        if tried.refusals:
            bad, refused = middle, tried
        else:
            good = middle
    return Limit(good, refused.refusals)
