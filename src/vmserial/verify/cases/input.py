"""The ports of the user's own input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.planning.planner import plan, require
from vmserial.verify.cases import Planned
from vmserial.verify.cases.data import DataCase

if TYPE_CHECKING:
    from vmserial.verify.topologies import Builder


class Input(Planned):
    """The machine as it was given, with its own ports."""

    name = "input"
    about = "the ports of INPUT or --ports"
    order = 0
    of_input = True

    def add(self, builder: Builder, kind: str) -> None:
        """Add its VM."""
        request, environment = builder.request, builder.environment
        machine = request.machine
        require(plan(machine, environment.capabilities, environment.guest.profile, control=True))
        case = DataCase(self.name, request.alone, request.together)
        builder.append(kind, machine, [case], f"input {machine.name}")


CASE = Input()
