"""What judging and repairing speak in: the changes, and the verdict.

Nothing here imports the catalogue or the planner: the emulator shim runs this on
every start of a VM, within milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vmserial.lazy import once
from vmserial.model import Finding, Severity, worst_first
from vmserial.records import record
from vmserial.sources.command import CommandLine, CommandOption, Edit, edited

if TYPE_CHECKING:
    from vmserial.context.origins import Origins
    from vmserial.model.origin import LoweredOption


@record(frozen=True)
class Change:
    """One thing that was repaired.

    Attributes:
        id: of the finding that it answers.
        ports: the ports it concerns.
        text: such as ``serial1: isa-serial -> usb-serial on vmserial-xhci0.0, port 1``.
    """

    id: str
    ports: tuple[str, ...]
    text: str


@record(frozen=True, eq=False)
class Answer:
    """What answers one finding; it is raised into a source whole or not at all.

    Attributes:
        finding: what is answered.
        changes: what is said of it.
        edits: what it changes of the command, beside :attr:`Verdict.support`.
    """

    finding: Finding
    changes: tuple[Change, ...]
    edits: tuple[Edit, ...]


@record(frozen=True)
class Judgement:
    """What became of a command line.

    Attributes:
        found: what was wrong, in the order in which it was judged.
        changes: what was repaired.
        given: the command line before its edits.
        unmended: those findings that no change answers.
        answers: of the first round, what answers each finding that can be answered.
        support: edits of the first round that the answers need between them: new controllers
            before all devices on them, and what keeps as it was what QEMU does by itself.
        origins: where the options come from; None: the command is its own source.
        edits: what makes the repaired command line of the given one.
    """

    found: tuple[Finding, ...]
    changes: tuple[Change, ...]
    given: CommandLine
    unmended: tuple[Finding, ...]
    answers: tuple[Answer, ...]
    support: tuple[Edit, ...]
    origins: Origins | None
    edits: tuple[Edit, ...]

    @once
    def command(self) -> CommandLine:
        """The repaired command line; the given one where nothing was to be done.

        Of a lowered command only its source's raiser is asked, so it is made when it is wanted.
        """
        return edited(self.given, self.edits) if self.edits else self.given

    @once
    def findings(self) -> tuple[Finding, ...]:
        """All that was wrong, the worst first, with cause and way out."""
        return _shown(self.found)

    @once
    def left(self) -> tuple[Finding, ...]:
        """What is wrong still, the worst first; what is only to be known is not among it."""
        return _shown([each for each in self.unmended if each.severity is not Severity.NOTE])

    def origin(self, option: CommandOption) -> LoweredOption | None:
        """Return what an option of a finding or of an edit was lowered from.

        None where the command is its own source.
        """
        return self.origins.of(option) if self.origins else None


class Looked(Judgement):
    """A judgement of which only what was wrong is known: what mends it is worked out when asked.

    Most who judge a configuration or a domain only want to say what is wrong with it.

    Args:
        found: as :attr:`Judgement.found`.
        given: as :attr:`Judgement.given`.
        origins: as :attr:`Judgement.origins`.
        mend: makes the whole judgement.
    """

    def __init__(
        self, found: tuple[Finding, ...], given: CommandLine, origins: Origins | None,
        mend: Callable[[], Judgement],
    ) -> None:  # fmt: skip
        self.__dict__.update(found=found, given=given, origins=origins, _mend=mend)

    def __getattr__(self, name: str) -> object:
        if name not in _MENDED:
            raise AttributeError(f"a judgement has no {name}")
        whole: Judgement = self.__dict__["_mend"]()
        self.__dict__.update({each: getattr(whole, each) for each in _MENDED})
        return self.__dict__[name]


_MENDED = frozenset({"answers", "changes", "edits", "support", "unmended"})


def _shown(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return worst_first(finding.explained() for finding in found)
