"""What judging and mending a command line speaks in: wishes, flaws, changes, the verdict.

Nothing here imports the catalogue or the planner: the emulator shim runs this on
every start of a VM, within milliseconds.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from vmserial.judge.ports import Port
from vmserial.model import Finding, Severity, SourceRef
from vmserial.sources.command import CommandLine, CommandOption, Edit


@dataclass(frozen=True)
class Wishes:
    """What the owner prefers where there is a choice.

    Attributes:
        kind: the device kind of a port that needs another one; ``auto``: the first that fits.
        hotplug: every port but the first must be hot-pluggable.
        logs: a directory; each chardev of a port without a log gets one there.
        cautious: mend only what QEMU itself shows to be wrong: nothing that rests on an
            assumed guest, and no host side.  The shim asks for it: nobody sees what it does.
    """

    kind: str = "auto"
    hotplug: bool = False
    logs: str = ""
    cautious: bool = False


@dataclass(frozen=True)
class Change:
    """One thing that was mended.

    Attributes:
        id: of the finding that it answers.
        ports: the ports it concerns.
        text: such as ``serial1: isa-serial -> usb-serial on vmserial-xhci0.0, port 1``.
    """

    id: str
    ports: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Rehome:
    """Give a port a device and a place of its own.

    Attributes:
        port: the port.
        kind: the device kind; empty: what the owner prefers.
        keep: its device stays what it is and only gets another place.
    """

    port: Port
    kind: str = ""
    keep: bool = False


@dataclass(frozen=True)
class Readdress:
    """Give a PCI device another address on the root bus."""

    option: CommandOption
    name: str


@dataclass(frozen=True)
class Retouch:
    """Change a few words of the command line."""

    edits: tuple[Edit, ...]
    text: str


Remedy = Rehome | Readdress | Retouch


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a command line.

    Attributes:
        id: the catalogue's.
        severity: what it does to the VM.
        ports: the names of the ports it concerns.
        happens: what the user sees, with QEMU's own words where it has some.
        where: the option's place.
        remedies: what mends it; none: only its owner can.
        fix: what its owner can do, where the catalogue's resolution is too general.
    """

    id: str
    severity: Severity
    ports: tuple[str, ...]
    happens: str
    where: SourceRef | None = None
    remedies: tuple[Remedy, ...] = ()
    fix: str = ""

    def finding(self) -> Finding:
        """Return it with the catalogue's cause and resolution."""
        # The catalogue is large, and the shim never asks for it.
        from vmserial.catalogue import by_id

        entry = by_id(self.id)
        why = entry.cause if entry else ""
        fix = self.fix or (entry.resolution[0] if entry else "")
        return Finding(self.id, self.severity, self.happens, why, fix, self.ports, self.where)


@dataclass(frozen=True)
class Verdict:
    """What became of a command line.

    Attributes:
        flaws: what was wrong, in the order of the command line.
        changes: what was mended.
        command: the mended command line; the given one where nothing was to be done.
        unmended: those flaws that no change answers.
    """

    flaws: tuple[Flaw, ...]
    changes: tuple[Change, ...]
    command: CommandLine
    unmended: tuple[Flaw, ...]

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All that was wrong, the worst first."""
        return _sorted(self.flaws)

    @cached_property
    def left(self) -> tuple[Finding, ...]:
        """What is wrong still, the worst first; what is only to be known is not among it."""
        return _sorted(flaw for flaw in self.unmended if flaw.severity is not Severity.NOTE)


def fresh(id: str, taken: Container[str]) -> str:
    """Return the first of ``ID-2``, ``ID-3``, … that nothing has."""
    return next(new for number in count(2) if (new := f"{id}-{number}") not in taken)


def _sorted(flaws: Iterable[Flaw]) -> tuple[Finding, ...]:
    order = list(Severity)
    found = [flaw.finding() for flaw in flaws]
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))
