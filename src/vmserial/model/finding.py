"""What is wrong: one finding, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vmserial.model.source import SourceRef


class Severity(StrEnum):
    """How bad it is; everything but ``note`` makes ``doctor`` exit with 1."""

    FAILS = "fails to start"
    DEAD = "silently dead"
    LOST = "will be lost"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        id: stable, such as ``pve-isa-on-aarch64``.
        severity: what it does to the VM.
        ports: the ports it concerns; empty for the VM as a whole.
        happens: what the user sees, with QEMU's own words where it has some.
        why: the cause.
        fix: what to do.
        where: where it was asked for.
    """

    id: str
    severity: Severity
    happens: str
    why: str
    fix: str
    ports: tuple[str, ...] = ()
    where: SourceRef | None = None
