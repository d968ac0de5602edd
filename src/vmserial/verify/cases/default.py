"""PVE's four ports: serial0 and three more of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.model import Plan
from vmserial.verify.cases import Planned
from vmserial.verify.cases.data import DataCase
from vmserial.verify.request import DEFAULT_PORTS, TOGETHER, VerifyRequest
from vmserial.verify.topologies import ON_BOARD, ports

if TYPE_CHECKING:
    from vmserial.verify.topologies import Builder


def data_case(request: VerifyRequest) -> DataCase:
    """Return what is tried on its VM."""
    # This is the case whose rates are shown: it times long transfers.
    alone = tuple(dict.fromkeys((*request.alone, *TOGETHER[-1:])))
    return DataCase(Default.name, alone, request.together, unattended=True)


class Default(Planned):
    """Serial0 and three more, or as many as there may be."""

    name = "default"
    about = f"serial0 and {DEFAULT_PORTS} more of each kind"
    order = 1
    usual = True

    def add(self, builder: Builder, kind: str) -> None:
        """Add its VM."""
        first: Plan | None = None
        least = 0 if kind in ON_BOARD else 1
        for count in range(DEFAULT_PORTS, least - 1, -1):
            made = ports(kind, count)
            tried = builder.plan(made)
            if not tried.refusals:
                notes = (_fewer(count, first),) if first else ()
                builder.add(kind, made, [data_case(builder.request)], notes=notes)
                return
            first = first or tried
        builder.skip(self.name, kind, tried)


def _fewer(count: int, refused: Plan) -> str:
    first = refused.refusals[0]
    return f"default with 1 + {count} ports instead of 1 + {DEFAULT_PORTS}: {first.happens}"


CASE = Default()
