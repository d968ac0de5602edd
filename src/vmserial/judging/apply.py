"""From repairs to edits: places for the ports that need one, and in what order all is written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vmserial.context import EditOptions, MovePci, Port, Relocate, RuleContext
from vmserial.context.buses import found_by_themselves
from vmserial.judging.allocate import allocator_of
from vmserial.judging.base import Answer, Change
from vmserial.judging.writing import Writer
from vmserial.model import Chardev, Finding, Null, SerialPort
from vmserial.options import Option
from vmserial.placing import Placer
from vmserial.sources.command.edits import (
    Edit,
    InsertAfter,
    InsertBefore,
    Remove,
    SetKey,
)


def applied(ctx: RuleContext, found: Sequence[Finding]) -> Applied:
    """Repair what can be repaired; a port without a place stays what and where it is."""
    staying: frozenset[Port] = frozenset()
    while True:
        done = Applied(ctx, found, staying)
        done.repair()
        if not done.stuck:
            return done
        # What it holds is not free for the others: all are placed anew.
        staying |= done.stuck


class Applied:
    """Collects the answers to the findings of one command line.

    Args:
        ctx: the command line.
        found: what is wrong with it.
        staying: ports for which no place was found.

    Attributes:
        answers: the edits by finding.
        support: edits that the answers need between them.
        changes: what was repaired.
        unmended: findings that no edit answers.
        stuck: further ports without a place; what was collected is then good for nothing.
        edits: all of them, in the order in which they are written.
    """

    def __init__(
        self, ctx: RuleContext, found: Sequence[Finding], staying: frozenset[Port]
    ) -> None:
        self.ctx, self.found = ctx, found
        self.edits: tuple[Edit, ...] = ()
        self.answers: list[Answer] = []
        self.support: list[Edit] = []
        self.changes: list[Change] = []
        self.unmended: list[Finding] = []
        self.stuck: set[Port] = set()
        self._done: set[Port] = set()
        self._moving = {
            r.port for finding in found for r in finding.repairs
            if isinstance(r, Relocate) and r.port not in staying
        }  # fmt: skip
        # The ports of one card go together.
        cards = {id(port.option): port for port in self._moving if port.device}
        self._with_them = [
            (port, cards[id(port.option)]) for port in ctx.ports
            if id(port.option) in cards and port not in self._moving
        ]  # fmt: skip
        self._moving |= {port for port, _ in self._with_them}
        asked = any(finding.repairs for finding in found)
        self._allocator = allocator_of(ctx, self._moving) if ctx.platform and asked else None
        self._known = (
            {device.id for device in self._allocator.devices} if self._allocator else set()
        )
        self._placer = Placer(self._allocator) if self._allocator else None
        self._writer = Writer(ctx, self._moving, frozenset(self._known))
        for edit in self._edits_asked():
            self._writer.note(edit)
            if self._allocator and isinstance(edit, SetKey) and edit.key == "index":
                # The indexes that isa-serial devices get by other changes.
                self._allocator.isa_free = [i for i in self._allocator.isa_free if i != edit.value]

    def _edits_asked(self) -> Iterable[Edit]:
        for finding in self.found:
            for repair in finding.repairs:
                if isinstance(repair, EditOptions):
                    yield from repair.edits

    # -------------------------------------------------------------- all together

    def repair(self) -> None:
        """Find the places, then change the words of all that did not move."""
        placed = [self._placed(finding) for finding in self.found]
        together = [self._moved_along(port, other) for port, other in self._with_them]
        if self.stuck:
            return
        for finding, answer in zip(self.found, placed, strict=True):
            answer = self._with_edits(finding, answer)
            if answer is None:
                self.unmended.append(finding)
            else:
                self.answers.append(answer)
        self.answers += [answer for answer in together if answer is not None]
        self.changes = [change for answer in self.answers for change in answer.changes]
        edits = [edit for answer in self.answers for edit in answer.edits]
        if edits:
            self.support = self._controllers(edits)
            edits = [*self.support, *edits]
            pins = self._pinned(edits)
            self.support += pins
            self.edits = (*edits, *pins)

    def _placed(self, finding: Finding) -> Answer | None:
        """Find the places that a finding asks for; None if there are none, or it asks for none."""
        answers: list[Answer | None] = []
        for repair in finding.repairs:
            if isinstance(repair, Relocate) and repair.port in self._moving:
                if repair.port in self._done:
                    answers.append(Answer(finding, (), ()))
                else:
                    answers.append(self._relocate(finding, repair))
            elif isinstance(repair, MovePci):
                answers.append(self._move_pci(finding, repair))
        return _joined(finding, answers)

    def _moved_along(self, port: Port, other: Port) -> Answer | None:
        """Place a port whose card leaves for the sake of another port."""
        finding = next(
            finding for finding in self.found
            if any(isinstance(r, Relocate) and r.port is other for r in finding.repairs)
        )  # fmt: skip
        return self._relocate(finding, Relocate(port))

    def _with_edits(self, finding: Finding, answer: Answer | None) -> Answer | None:
        """Add the changed words of a finding to what its new places make of it."""
        changes: list[Change] = []
        edits: list[Edit] = []
        for repair in finding.repairs:
            if isinstance(repair, EditOptions):
                left, made = self._writer.left_of(repair.edits)
                if left or made:
                    changes.append(Change(finding.id, finding.ports, repair.text))
                edits += left
                answer = answer or Answer(finding, (), ())
            elif isinstance(repair, MovePci) and self._writer.is_replaced(repair.option):
                answer = answer and Answer(finding, (), ())
        if answer is None:
            return None
        return Answer(finding, (*changes, *answer.changes), (*edits, *answer.edits))

    # -------------------------------------------------------------- places

    def _relocate(self, finding: Finding, repair: Relocate) -> Answer | None:
        """Place a port anew and write it; None if there is no place for it."""
        assert self._placer is not None
        port, policy, writer = repair.port, self.ctx.policy, self._writer
        self._done.add(port)
        first = port is self.ctx.console
        wanted = policy.kinds.get(port.name, "")
        kind = wanted or repair.kind or ("auto" if first else policy.kind)
        hotplug = port.name in policy.hotplugs or (policy.hotplug and not first)
        asked = SerialPort(port.number, Chardev(Null()), kind=kind, hotplug=hotplug)
        assignment = self._placer.place(asked)
        if assignment is None and kind != "auto" and not (policy.hotplug or wanted):
            assignment = self._placer.place(replace(asked, kind="auto"))
        if assignment is None:
            self.stuck |= {p for p in self._moving if p.option is port.option}
            return None
        device = assignment.device
        if device is None:
            edits, what = writer.onboard(port), "-serial"
        elif repair.keep and port.device and port.driver == device.driver:
            edits, what = writer.keys(port, device), device.driver
        else:
            device = writer.named(port, self._placer.settled(assignment).device or device)
            edits, what = writer.device(port, device), device.driver
        before = port.driver or (f"-{port.option.name}" if port.onboard else "no device")
        where = f"{assignment.bus}, {assignment.address}"
        text = f"{port.name}: {before} -> {what} on {where}"
        return Answer(finding, (Change(finding.id, (port.name,), text),), tuple(edits))

    def _move_pci(self, finding: Finding, repair: MovePci) -> Answer | None:
        """Move a PCI device to a free slot of the root bus; None if there is none."""
        place = self._allocator.own_slot() if self._allocator else None
        if place is None:
            return None
        edits = (
            SetKey(repair.option, "bus", place.bus), SetKey(repair.option, "addr", place.address)
        )  # fmt: skip
        text = f"{repair.name}: moved to {place.bus}, {place.address}"
        return Answer(finding, (Change(finding.id, finding.ports, text),), edits)

    # -------------------------------------------------------------- what all need

    def _controllers(self, edits: Sequence[Edit]) -> list[Edit]:
        """Return the controllers that are new, before the first option that is changed."""
        if self._allocator is None:
            return []
        new = [
            device.option("controller") for device in self._allocator.devices
            if device.id not in self._known | self._writer.emitted
        ]  # fmt: skip
        if not new:
            return []
        if self._writer.at_end:
            return [InsertAfter(None, tuple(new))]
        # Before whatever may be on them, be it changed in its place or inserted.
        first = min((e for e in edits if _holds_device(e)), key=_position)
        if isinstance(first, InsertAfter):
            return [InsertAfter(first.option, tuple(new))]
        return [InsertBefore(first.option, tuple(new))]

    def _pinned(self, edits: Sequence[Edit]) -> list[Edit]:
        """Keep what QEMU did by itself as it was, where the edits would change it."""
        view = self.ctx.view
        found: list[Edit] = []
        gone = {id(e.option) for e in edits if isinstance(e, Remove)}
        new = [
            option for e in edits if isinstance(e, InsertAfter | InsertBefore)
            for option in e.options
        ]  # fmt: skip
        serials = [port.option for port in view.onboard]
        left = [option for option in serials if id(option) not in gone]
        added = any(option.flag == "-serial" for option in new)
        if serials and not left and not added and not view.nodefaults:
            # Without any -serial QEMU would add one of its own.
            found.append(InsertAfter(None, (Option("-serial", raw="none"),)))
        drivers = {option.head for option in new}
        buses = found_by_themselves(self.ctx)
        for device in self.ctx.made:
            kind = "qemu-xhci" if device.is_usb else self.ctx.virtio_serial
            if (
                not device.option.params.is_json or device.bus or kind not in drivers
                or not (device.is_usb or device.virtio_port is not None)
                or any(port.option is device.option for port in self._moving)
            ):  # fmt: skip
                continue
            # Made after all others, it would find our controller first.
            if bus := buses.get(id(device.option)):
                found.append(SetKey(device.option, "bus", bus))
        return found


def _joined(finding: Finding, answers: Sequence[Answer | None]) -> Answer | None:
    """Join the answers to one finding; the last one tells whether it is answered."""
    if not answers or answers[-1] is None:
        return None
    made = [answer for answer in answers if answer is not None]
    return Answer(
        finding, tuple(change for answer in made for change in answer.changes),
        tuple(edit for answer in made for edit in answer.edits),
    )  # fmt: skip


def _holds_device(edit: Edit) -> bool:
    if isinstance(edit, InsertAfter | InsertBefore):
        return any(option.flag == "-device" for option in edit.options)
    return edit.option.name == "device"


def _position(edit: Edit) -> int:
    if edit.option is None:
        return sys.maxsize
    return edit.option.last + 1 if isinstance(edit, InsertAfter) else edit.option.first
