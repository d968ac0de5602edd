"""Serial0 and nine more of a kind, as in the article."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.verify.cases import Planned
from vmserial.verify.cases.data import DataCase
from vmserial.verify.request import LARGE_PORTS
from vmserial.verify.topologies import ports

if TYPE_CHECKING:
    from vmserial.verify.topologies import Builder


class Large(Planned):
    """Ten ports, or none: there is no smaller large."""

    name = "large"
    about = f"serial0 and {LARGE_PORTS} more of each kind"
    order = 2
    usual = True

    def add(self, builder: Builder, kind: str) -> None:
        """Add its VM."""
        made = ports(kind, LARGE_PORTS)
        tried = builder.plan(made)
        if tried.refusals:
            builder.skip(self.name, kind, tried)
            return
        request = builder.request
        builder.add(kind, made, [
            DataCase(
                self.name, request.alone, request.together, brief=True, unattended=True,
                in_turn=True,
            )
        ])  # fmt: skip


CASE = Large()
