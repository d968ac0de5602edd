"""What a PVE configuration must hold so that PVE itself starts every port; pure.

The configuration is lowered to the command that PVE starts, that command is judged
as every other one is, and what answers a finding is raised back into the file, round
by round.  There are two ways to write it:

``args``
    A port that PVE's own line cannot start leaves its line; its chardev, its device
    and its controller go into ``args:``, which PVE appends to its command.
``shim``
    The lines stay; the emulator shim gives each port a device that exists.  What
    PVE has no line for is asked for by a chardev ``serialN`` in ``args:``.

Only a port with a finding moves.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from vmserial import chardevs
from vmserial.judging import Change
from vmserial.judging.base import Answer, Judgement
from vmserial.limits import PCI_SLOTS
from vmserial.model import Capabilities, GuestProfile, Machine
from vmserial.model.origin import LoweredCommand
from vmserial.pve.agent import with_virtio_agent
from vmserial.pve.judged import Look, PveVm, going, kinds_of
from vmserial.sources.pve import Document, edits, raise_shim
from vmserial.sources.pve.args import lift
from vmserial.sources.pve.raise_args import (
    raise_args,
    without_idle_controllers,
    without_ports,
)
from vmserial.sources.pve.renumber import kept_com_ports
from vmserial.sources.pve.wanted import STALE, Wish, put_into_args

Way = Literal["args", "shim"]

TWICE = "id-taken"

_SCREEN = re.compile(r"serial[0-3]\Z")


@dataclass(frozen=True)
class Mended:
    """A configuration as it must be.

    Attributes:
        document: with every line that had to change changed; the same where none had to.
        changes: what was done, by port.
        before: the verdict on the command as PVE starts it now.
        after: the verdict on what PVE would start then.
        lowered: the command as PVE starts it now.
        wished: the ports that are to be otherwise than PVE starts them.
        twice: the ports that a line and ``args:`` ask for.
        kinds: what each port's device will be, by the port's name.
        moved: the ports that stand in ``args:`` now.
        kept: the ports that PVE starts by its own lines.
        stuck: ports that have to move and cannot, because the VM's screen is on them.
        renumbered: what of the guest's COM ports could not be kept where it was.
        placeless: ports that find no place, and why.
    """

    document: Document
    changes: tuple[Change, ...]
    before: Judgement
    after: Judgement
    lowered: LoweredCommand
    wished: tuple[Wish, ...] = ()
    twice: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    moved: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    renumbered: tuple[str, ...] = ()
    placeless: tuple[tuple[str, str], ...] = ()


def mend(
    document: Document,
    machine: Machine,
    capabilities: Capabilities,
    guest: GuestProfile,
    way: Way = "args",
    *,
    look_at: Look | None = None,
) -> Mended:
    """Return the configuration that PVE starts with all its ports.

    Args:
        document: as it is.
        machine: what it says (:func:`vmserial.sources.pve.machine`), and what the user's
            options add to that.
        capabilities: of the binary that PVE starts.
        guest: what the guest carries.
        way: through ``args:`` alone, or with the emulator shim.
        look_at: looks at the host; None: nothing that depends on it is said.
    """
    mending = _Mending(document, PveVm(machine, capabilities, guest, look_at))
    if way == "shim":
        return mending.by_shim()
    made = mending.by_args()
    for _ in machine.ports:
        if not made.placeless or not made.changes or made.twice:
            break
        # What has moved by now may have left a place.
        setting = made.document.main.values.get("args")
        lifted = lift(setting.value if setting else "")
        now = replace(
            machine, args=lifted.words, pve_args_ports=tuple(port.index for port in lifted.ports)
        )
        again = _Mending(made.document, PveVm(now, capabilities, guest, look_at)).by_args()
        if not again.changes:
            break
        made = replace(
            again, changes=(*made.changes, *again.changes), before=made.before,
            lowered=made.lowered, wished=made.wished,
            renumbered=(*made.renumbered, *again.renumbered),
        )  # fmt: skip
    return made


def look(
    document: Document,
    machine: Machine,
    capabilities: Capabilities,
    guest: GuestProfile,
    *,
    look_at: Look | None = None,
) -> Mended:
    """Return what is wrong by way of ``args:``, and mend nothing; as :func:`mend`."""
    vm = PveVm(machine, capabilities, guest, look_at)
    lowered = vm.lowered(document)
    before = vm.judged(lowered)
    return Mended(
        document, (), before, before, lowered, tuple(vm.wishes(lowered)),
        tuple(vm.twice(lowered)), kinds_of(lowered),
    )  # fmt: skip


def tidied(vm: PveVm, document: Document) -> Document:
    """Take controllers of ours out that nothing uses."""
    for _ in range(PCI_SLOTS):
        made = without_idle_controllers(document, vm.lowered(document))
        if made.text() == document.text():
            break
        document = made
    return document


@dataclass
class _Mending:
    """One configuration on its way; holds what is collected."""

    document: Document
    vm: PveVm
    changes: list[Change] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    """The id of the finding that a port's change answers, where the judge sees another one."""
    stuck: dict[str, None] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    """Ports that get no place on this board, whatever is tried."""

    # -------------------------------------------------------------- the ways

    def by_args(self) -> Mended:
        """Mend by lines and ``args:`` alone."""
        while True:
            made, placeless = self.tried()
            if not placeless:
                return replace(made, placeless=tuple(self.vm.placeless(self.given_up)))
            # A port that finds no place stays what and where it is.  The last one first: without
            # it the others may find theirs.
            self.given_up.add(max(placeless, key=_number))
            self.changes, self.reasons, self.stuck = [], {}, {}

    def tried(self) -> tuple[Mended, set[str]]:
        """Mend, and name the ports that got no device by it."""
        original, asked = self.document, self.vm
        lowered = self.vm.lowered(original)
        before = self.vm.judged(lowered)
        wished = self.vm.wishes(lowered)
        twice = self.vm.twice(lowered)
        document = self.with_agent(before)
        document = self.once(document, twice)
        for _ in range(PCI_SLOTS):
            document, changed = self.round(document)
            if not changed:
                break
        after = self.last
        document = tidied(self.vm, document)
        document, renumbered = self.com_ports(original, document)
        final = self.vm.lowered(document)
        self.told(original, document)
        self.vm = asked
        made = self.mended(
            document, before, after, lowered, wished, twice, final, tuple(renumbered)
        )  # fmt: skip
        had = kinds_of(lowered)
        lost = {
            name for name in self.reasons
            if name not in made.kinds and (name in had or name in lowered.labels)
        } | {wish.port.name for wish in wished if wish.port.name not in made.kinds}  # fmt: skip
        lost.difference_update(going(self.document))
        return made, lost - self.given_up

    def by_shim(self) -> Mended:
        """Give each port its line, or a chardev in ``args:``; the shim does the rest."""
        original = self.document
        lowered = self.vm.lowered(original)
        before = self.vm.judged(lowered)
        wished, twice = self.vm.wishes(lowered), self.vm.twice(lowered)
        document = self.with_agent(before)
        for port in self.vm.machine.ports:
            was, now = document, self.vm.lowered(document)
            if port.state != "plugged" or port.name in self.vm.users(document, now):
                continue
            if raise_shim.has_line(port):
                document = raise_shim.to_line(document, now, port)
                text = f"{port.name}: PVE's own line '{port.name}:' has it; the shim its device"
            else:
                document = raise_shim.to_chardev(document, now, port, self.vm.capabilities.version)
                text = f"{port.name}: a chardev in args; the shim gives it a device"
            if document.text() != was.text():
                self.changes.append(Change(_answered(port.name, wished, twice, before),
                                           (port.name,), text))  # fmt: skip
        document = tidied(self.vm, document)
        final = self.vm.lowered(document)
        self.told(original, document)
        shown = replace(self.vm.policy, cautious=True)
        after = self.vm.judged_by(final, shown)
        return self.mended(document, before, after, lowered, wished, twice, final)

    def mended(
        self, document: Document, before: Judgement, after: Judgement, lowered: LoweredCommand,
        wished: Sequence[Wish], twice: Sequence[str], final: LoweredCommand,
        renumbered: tuple[str, ...] = (),
    ) -> Mended:  # fmt: skip
        """Return what was made."""
        lines = document.main.values
        names = [port.name for port in self.vm.machine.ports if port.state == "plugged"]
        kinds = kinds_of(final)
        there = {
            part.removeprefix("id=")
            for each in final.options
            if each.option.flag == "-chardev"
            for part in (each.option.value() or "").split(",")
        }
        return Mended(
            document, tuple(self.changes), before, after, lowered, tuple(wished), tuple(twice),
            kinds, tuple(n for n in names if n in there and n not in lines),
            tuple(n for n in names if n in lines and n not in self.stuck),
            tuple(self.stuck), renumbered,
        )  # fmt: skip

    # -------------------------------------------------------------- steps

    def round(self, document: Document) -> tuple[Document, bool]:
        """Write what is wished, then raise what answers the findings; tell if it changed."""
        was = document.text()
        for _ in self.vm.machine.ports:
            lowered = self.vm.lowered(document)
            left_out = self.given_up.union(
                self.stuck, self.vm.users(document, lowered), frozenset(going(self.document))
            )  # fmt: skip
            pending = [wish for wish in self.vm.wishes(lowered) if wish.port.name not in left_out]
            if not pending:
                break
            wish = pending[0]
            if wish.port.name == self.pinned and wish.port.name in document.main.values:
                self.stuck[wish.port.name] = None
                continue
            if wish.chardev and wish.device and self.vm.line_starts(wish.port, lowered):
                document = raise_shim.to_line(document, lowered, wish.port)
                text = f"{wish.port.name}: PVE's own line '{wish.port.name}:'"
                self.changes.append(Change(wish.id, (wish.port.name,), text))
                continue
            self.reasons.setdefault(wish.port.name, wish.id)
            if wish.chardev and not wish.device:
                text = (
                    f"{wish.port.name}: its chardev in args, written anew as its own line has it: "
                    f"{chardevs.text(wish.port.chardev)}"
                )
                self.changes.append(Change(wish.id, (wish.port.name,), text))
            before = document.text()
            document = put_into_args(document, lowered, wish, self.vm.capabilities.version)
            if document.text() == before:
                break
        if document.text() != was:
            # What is given a place now must not share a slot with what goes.
            document = tidied(self.vm, document)
        lowered = self.vm.lowered(document)
        verdict = self.last = self.vm.judged(lowered)
        answers = list(verdict.answers)
        stay = dict.fromkeys(self.vm.users(document, lowered), "args has its chardev's id")
        stay |= dict.fromkeys(going(self.document), "a pending change takes it away")
        if self.pinned:
            stay[self.pinned] = "it is the VM's screen"
        raised = raise_args(
            document, lowered, [answer.edits for answer in answers], verdict.support,
            verdict.origin, stay,
        )  # fmt: skip
        refused = {number for number, _ in raised.refused}
        for number, answer in enumerate(answers):
            if number in refused:
                self.left_in_its_line(answer)
            elif raised.document.text() != document.text():
                self.tell(answer.changes)
        return raised.document, raised.document.text() != was

    def left_in_its_line(self, answer: Answer) -> None:
        """Keep that a port would have to leave its line and cannot."""
        for name in answer.finding.ports:
            if name == self.pinned:
                self.stuck[name] = None

    def tell(self, changes: Iterable[Change]) -> None:
        """Keep what was changed, under the id of the finding that it answers."""
        for change in changes:
            reasons = [self.reasons[name] for name in change.ports if name in self.reasons]
            self.changes.append(replace(change, id=reasons[0]) if reasons else change)

    @property
    def pinned(self) -> str:
        """The port that the VM's screen is on."""
        setting = self.document.main.values.get("vga")
        kind = setting.value.partition(",")[0].removeprefix("type=") if setting else ""
        return kind if _SCREEN.match(kind) and kind in self.document.main.values else ""

    def with_agent(self, verdict: Judgement) -> Document:
        """Begin with the guest agent off the ISA bus where that has no place for it."""
        document, change = with_virtio_agent(self.document, verdict)
        self.changes += [change] if change is not None else []
        return document

    def once(self, document: Document, twice: Iterable[str]) -> Document:
        """Let such a port be what starts: PVE's own line where that does, else ``args:``."""
        for name in twice:
            line_only = without_ports(document, self.vm.lowered(document), (name,))
            verdict = self.vm.judged(self.vm.lowered(line_only))
            wrong = any(name in f.ports and f.repairs for f in verdict.found)
            if wrong and name != self.pinned:
                document = edits.remove(document, name)
                text = f"{name}: its line is gone; args has it"
            else:
                document = line_only
                self.as_the_line_has_it(name)
                text = f"{name}: out of args; PVE's own line '{name}:' has it"
            self.changes.append(Change(TWICE, (name,), text))
        return document

    def as_the_line_has_it(self, name: str) -> None:
        """Ask no more for the device that ``args:`` had for a port."""
        setting = self.document.main.values.get("args")
        had = {f"serial{p.index}": p.kind for p in lift(setting.value if setting else "").ports}
        self.vm = replace(self.vm, known={}, machine=replace(self.vm.machine, ports=tuple(
            replace(port, kind="auto", hotplug=False)
            if port.name == name and port.kind == had.get(name) else port
            for port in self.vm.machine.ports
        )))  # fmt: skip

    def com_ports(self, original: Document, document: Document) -> tuple[Document, list[str]]:
        """Keep the guest's COM ports of the lines that did not move where they were."""
        if document.text() == original.text():
            return document, []
        made = kept_com_ports(self.vm.lowered(original), self.vm.lowered, document, self.pinned)
        for name, index in made.moved:
            text = (
                f"{name}: into args as isa-serial index={index}: PVE's line has no index, and the "
                f"guest would have found it at COM{index} instead of COM{index + 1}"
            )
            self.changes.append(Change(STALE, (name,), text))
        return made.document, list(made.renumbered)

    def told(self, original: Document, document: Document) -> None:
        """Name a change of ``args:`` that no port stands for."""
        if document.text() != original.text() and not self.changes:
            self.changes.append(Change(STALE, (), "args: what nothing uses any more is gone"))


def _number(name: str) -> int:
    """Return N of ``serialN``; of another name, more than any."""
    digits = name.removeprefix("serial")
    return int(digits) if digits.isdigit() else sys.maxsize


def _answered(name: str, wished: Iterable[Wish], twice: Iterable[str], verdict: Judgement) -> str:
    """Return the id of the finding that a port's change answers."""
    for wish in wished:
        if wish.port.name == name:
            return wish.id
    if name in twice:
        return TWICE
    return next((f.id for f in verdict.found if f.repairs and name in f.ports), STALE)
