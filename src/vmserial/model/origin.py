"""A VM as the command that its owner starts, each option with where it comes from.

Whatever describes a VM (a PVE configuration, a libvirt domain, a command line, a
plan of ours) is *lowered* to the options that QEMU gets.  The judge looks at those
alone; a finding's place is the origin of the option it is about, and a repair is
*raised* back into the source by way of the origin's handle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vmserial.model.source import SourceRef
from vmserial.options import Option
from vmserial.records import record

if TYPE_CHECKING:
    from vmserial.model.machine import Disk, Nic

Owner = Literal["user", "pve", "libvirt", "qemu", "plan"]
"""Who put an option there: the user's own words, or the program that starts the VM."""


@record(frozen=True, eq=False)
class Origin:
    """Where an option of a lowered command comes from.

    Attributes:
        where: file and line.
        owner: who wrote it.
        handle: what the source's raiser changes: the command's own option, a setting of a
            PVE configuration, a span of its ``args:``, an element of a domain; None: nothing
            that an edit of the source could change (PVE's fixed hardware).
    """

    where: SourceRef | None
    owner: Owner
    handle: object | None = None


@record(frozen=True, eq=False)
class LoweredOption:
    """One option of a lowered command.

    Attributes:
        option: as QEMU gets it.
        origin: where it comes from.
        automatic: keys whose values the owner chooses by itself at each start (libvirt's
            addresses that no ``<address>`` states): an edit that leaves them out is whole.
    """

    option: Option
    origin: Origin
    automatic: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Dropped:
    """What stands in the source and never reaches the command.

    Attributes:
        name: such as ``serial4``.
        reason: ``no-such-line`` (PVE knows serial0-3), ``directive`` (a ``#vmserial`` line,
            which only vmserial reads), ``pending`` (waits for a restart), ``other``.
        where: its place.
        value: what it says.
    """

    name: str
    reason: Literal["no-such-line", "directive", "pending", "other"]
    where: SourceRef | None = None
    value: str = ""


@record(frozen=True)
class Gap:
    """What is not known of the command: a rule whose fact is missing is silent.

    Attributes:
        id: ``readconfig`` (a file was not read), ``addresses`` (the owner gives them at the
            start), ``disks`` (their nodes are left out), ``devices`` (the owner has none for
            this architecture), ``refused`` (the owner itself refuses the source: see ``text``).
        text: in words.
        where: its place.
        rule: of a refusal, the id of the finding that it is; empty: one that only the owner has.
        handle: what it is about, as an origin's.
        fix: what to do about a refusal, where that does not follow from the finding that it is.
    """

    id: str
    text: str
    where: SourceRef | None = None
    rule: str = ""
    handle: object | None = None
    fix: str = ""


@record(frozen=True)
class Asked:
    """A port that is asked for beside the source's own words, and that its command lacks.

    Attributes:
        name: ``serialN``.
        rule: the id of the finding that it is.
        where: where it is asked for.
    """

    name: str
    rule: str
    where: SourceRef | None = None


@record(frozen=True, eq=False)
class LoweredCommand:
    """The command that a source's owner starts.

    Attributes:
        program: the emulator.
        arch: QEMU's target name.
        options: in the order in which the owner writes them.
        owner: who starts it.
        name: the VM's.
        labels: the name of each serial port (``serial0``) by the id of its chardev; also of
            those that the source asks for and the command does not have.
        dropped: what never reaches the command.
        gaps: what is not known of it.
        numbers: N of ``serialN`` by the id of its chardev, where a plan numbers the ports
            otherwise than their owner calls them.
        behind: the disk or the network card that a device is, by its id, where its option does
            not say it.
        asked: the ports that are to be there, or otherwise, by what its owner does not read.
        screen: the serial port that its owner shows as the VM's screen.
    """

    program: str
    arch: str
    options: tuple[LoweredOption, ...]
    owner: Owner
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    gaps: tuple[Gap, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    behind: Mapping[str, Disk | Nic] = field(default_factory=dict)
    asked: tuple[Asked, ...] = ()
    screen: Asked | None = None

    def argv(self) -> list[str]:
        """Return the command as a list of words, the emulator first."""
        return [self.program, *(word for each in self.options for word in each.option.argv())]
