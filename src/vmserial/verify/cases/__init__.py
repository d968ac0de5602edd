"""The cases: what is tried on a booted guest, one file each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from vmserial.verify.session import Session


class Case(ABC):
    """One case on one VM.

    Attributes:
        name: as in its checks.
    """

    name: ClassVar[str] = ""

    @abstractmethod
    def expect(self, session: Session) -> None:
        """Announce all checks, so that those a lost VM prevents are known."""

    @abstractmethod
    async def run(self, session: Session) -> None:
        """Make the checks.

        Raises:
            LostVMError: the VM was lost on the way.
        """

    @abstractmethod
    def bound(self, session: Session) -> float:
        """Return how long the whole case may take, in seconds."""
