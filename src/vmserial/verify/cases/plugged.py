"""The VM on which ports come and go: case ``hot-plug``'s own, or the one of ``default``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.devices import KINDS
from vmserial.model import Assignment, Plan
from vmserial.verify.cases import Planned
from vmserial.verify.cases.default import CASE as DEFAULT
from vmserial.verify.cases.default import data_case
from vmserial.verify.cases.hotplug import HotplugCase
from vmserial.verify.request import DEFAULT_PORTS
from vmserial.verify.results import HOTPLUG
from vmserial.verify.topologies import ports

if TYPE_CHECKING:
    from vmserial.verify.topologies import Builder


class Hotplug(Planned):
    """Ports that are there, one whose chardev is, and one of which nothing is."""

    name = HOTPLUG
    about = "ports that come and go, in cycles and under load"
    order = 4
    usual = True

    def add(self, builder: Builder, kind: str) -> None:
        """Add its VM, or itself to that of ``default``."""
        known = KINDS.get(kind)
        if known is not None and not known.hot_pluggable:
            builder.leave_out(self.name, kind, f"{kind} ({known.title}) cannot be hot-plugged")
        elif not self._shared(builder, kind):
            self._own(builder, kind)

    def _shared(self, builder: Builder, kind: str) -> bool:
        """Use the VM of ``default``, if the ports that come later move none of its own."""
        cold = ports(kind, DEFAULT_PORTS)
        hot = ports(kind, DEFAULT_PORTS, hotplug=True, unplugged=1, absent=1)
        if not builder.has(DEFAULT.name, kind):
            return False
        first, second = builder.plan(cold), builder.plan(hot)
        if first.refusals or second.refusals or _places(first) != _places(second)[: len(cold)]:
            return False
        cases = [data_case(builder.request), HotplugCase(builder.request.cycles)]
        what = f"{kind}, {len(cold)} ports and {len(hot) - len(cold)} later"
        builder.replace(DEFAULT.name, kind, hot, cases, what)
        return True

    def _own(self, builder: Builder, kind: str) -> None:
        """Add a VM with as much of it as this environment can carry.

        The article has three plugged and a fourth that comes later; a fifth, whose
        chardev comes later as well, is ours.
        """
        first: Plan | None = None
        for plugged, unplugged, absent in (
            (DEFAULT_PORTS, 1, 1), (2, 1, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0),
        ):  # fmt: skip
            made = ports(kind, plugged, hotplug=True, unplugged=unplugged, absent=absent)
            tried = builder.plan(made)
            if not tried.refusals:
                fewer = f"hot-plug with {plugged} + {unplugged} + {absent} ports"
                notes = (f"{fewer}: {first.refusals[0].happens}",) if first else ()
                case = HotplugCase(builder.request.cycles, alone=True)
                builder.add(kind, made, [case], f"{kind}, {len(made)} ports, hot-plug", notes)
                return
            first = first or tried
        builder.skip(self.name, kind, tried)


def _places(made: Plan) -> list[tuple[object, ...]]:
    def place(assignment: Assignment) -> tuple[object, ...]:
        return assignment.kind, assignment.device, assignment.bus, assignment.address

    return [place(assignment) for assignment in made.assignments]


CASE = Hotplug()
