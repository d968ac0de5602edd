"""The cases: what is tried on a booted guest, one file each.

A file whose ``CASE`` is a :class:`Planned` is a case that ``--case`` names: that
file and its test are all that a new one needs.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from vmserial.verify.session import Session
    from vmserial.verify.subject import Subject
    from vmserial.verify.topologies import Builder
    from vmserial.verify.wire.transfer import Transfer


class Case(ABC):
    """One case on one VM.

    Attributes:
        name: as in its checks.
        unattended: its ports must be in the guest before a client is at any of them.
    """

    name: ClassVar[str] = ""
    unattended: bool = False

    @abstractmethod
    def expect(self, session: Session) -> None:
        """Announce all checks, so that those a lost VM prevents are known."""

    def known(self, subject: Subject) -> list[Transfer]:
        """Return the transfers that are known before the VM boots; :meth:`run` carries these."""
        del subject
        return []

    @abstractmethod
    async def run(self, session: Session) -> None:
        """Make the checks.

        Raises:
            LostVMError: the VM was lost on the way.
        """

    @abstractmethod
    def bound(self, session: Session) -> float:
        """Return how long the whole case may take, in seconds."""


class Planned(ABC):
    """A case that ``--case`` names, and the VMs that it needs.

    Attributes:
        name: as it is named, and as in its checks.
        about: what it tries, in a few words.
        order: where it comes among the others; those of one kind run in this order.
        usual: it is tried where nobody names a case, and no input is given.
        of_input: it is about the user's own ports, once, and about no kind.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    order: ClassVar[int]
    usual: ClassVar[bool] = False
    of_input: ClassVar[bool] = False

    @abstractmethod
    def add(self, builder: Builder, kind: str) -> None:
        """Add the VMs for a device kind to the builder's, or say why there are none.

        Raises:
            PlanRefused: the input itself is refused.
        """


@functools.cache
def planned() -> Mapping[str, Planned]:
    """Return the cases that can be named, by name, in the order in which they run."""
    # Late: they need the guests' session, which a command line is read without.
    modules = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    found: list[Planned] = [module.CASE for module in modules if hasattr(module, "CASE")]
    return {case.name: case for case in sorted(found, key=lambda case: case.order)}
