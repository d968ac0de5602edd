"""What is wrong: one finding, how bad it is, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from enum import StrEnum
from typing import Protocol

from vmserial.model.source import SourceRef
from vmserial.records import record


class Severity(StrEnum):
    """How bad it is; everything but ``note`` makes ``doctor`` exit with 1."""

    FAILS = "fails to start"
    DEAD = "silently dead"
    LOST = "will be lost"
    NOTE = "note"


class Located(Protocol):
    """An option of a command line, as far as a finding is concerned."""

    @property
    def where(self) -> SourceRef:
        """Its place."""


class Repair:
    """What mends a finding; the kinds are in :mod:`vmserial.context.repairs`."""


@record(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        id: stable, such as ``guest-8250-limit``; its text is ``vmserial explain ID``.
        severity: what it does to the VM.
        happens: what the user sees, with QEMU's own words where it has some.
        why: the cause, where it is not the general one of :meth:`explained`.
        fix: what to do, where the general resolution does not fit.
        ports: the ports it concerns; empty for the VM as a whole.
        where: where it was asked for.
        options: the options of a command line that it is about, the first one first of all.
        repairs: what mends it; none: only its owner can.
        assumed: it, or its repair, rests on an assumed guest or host side.
    """

    id: str
    severity: Severity
    happens: str
    why: str = ""
    fix: str = ""
    ports: tuple[str, ...] = ()
    where: SourceRef | None = None
    options: tuple[Located, ...] = field(default=(), compare=False, repr=False)
    repairs: tuple[Repair, ...] = field(default=(), compare=False, repr=False)
    assumed: bool = False

    def explained(self) -> Finding:
        """Return it with the general cause and resolution where it has none of its own."""
        if self.why and self.fix:
            return self
        # The texts are many, and the shim, which shows none, never asks for them.
        from vmserial.catalogue import by_id

        entry = by_id(self.id)
        if entry is None:
            return self
        return self.but(why=self.why or entry.cause, fix=self.fix or entry.resolution[0])

    def but(self, **changes: object) -> Finding:
        """Return it with fields changed: as :func:`dataclasses.replace`, in a tenth of the time."""
        made = object.__new__(Finding)
        made.__dict__.update(self.__dict__, **changes)
        return made


def refusal(
    id: str,
    happens: str,
    fix: str,
    *,
    ports: tuple[str, ...] = (),
    where: SourceRef | None = None,
    severity: Severity = Severity.FAILS,
) -> Finding:
    """Return why something cannot be carried, named before anything starts.

    Args:
        id: as :attr:`Finding.id`.
        happens: what does not fit, with the limit.
        fix: the resolution.
        ports: the ports it concerns.
        where: where it was asked for.
        severity: what QEMU would do if it were started all the same.
    """
    return Finding(id, severity, happens, fix=fix, ports=ports, where=where)


def worst_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with the worst first, else in their order."""
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))
