"""From remedies to edits: places for the ports that need one, and what is written where."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from vmserial.board import Board
from vmserial.judge.base import Change, Flaw, Readdress, Rehome, Retouch, fresh
from vmserial.judge.buses import found_by_themselves, one_finds_its_own
from vmserial.judge.context import Scene
from vmserial.judge.occupancy import board_of
from vmserial.judge.ports import Port
from vmserial.judge.rules_chardevs import as_chardev
from vmserial.model import Chardev, Device, Null, SerialPort
from vmserial.options import Option, Scalar
from vmserial.placing import Placer
from vmserial.sources.command import ON, CommandOption
from vmserial.sources.command.edits import (
    Edit,
    InsertAfter,
    InsertBefore,
    Remove,
    ReplaceValue,
    SetKey,
    edited,
)


def mended(scene: Scene, flaws: Sequence[Flaw]) -> Mender:
    """Mend what can be mended; a port without a place stays what and where it is."""
    staying: frozenset[Port] = frozenset()
    while True:
        mender = Mender(scene, flaws, staying)
        mender.mend()
        if not mender.stuck:
            return mender
        # What it holds is not free for the others: all are placed anew.
        staying |= mender.stuck


class Mender:
    """Collects the edits of one command line.

    Args:
        scene: the command line.
        flaws: what is wrong with it.
        staying: ports for which no place was found.

    Attributes:
        changes: what was mended.
        unmended: flaws that no edit answers.
        stuck: further ports without a place; what was collected is then good for nothing.
        command: the mended command line; the given one where there is nothing to do.
    """

    def __init__(self, scene: Scene, flaws: Sequence[Flaw], staying: frozenset[Port]) -> None:
        self.scene = scene
        self.flaws = flaws
        self.command = scene.command
        self.edits: list[Edit] = []
        self.changes: list[Change] = []
        self.unmended: list[Flaw] = []
        self.stuck: set[Port] = set()
        self.done: set[Port] = set()
        self.given: set[str] = set()
        """Ids of the devices that are written anew."""
        self.moving = {
            r.port for flaw in flaws for r in flaw.remedies
            if isinstance(r, Rehome) and r.port not in staying
        }  # fmt: skip
        self.replaced: dict[int, frozenset[str]] = {}
        """Options that another one took the place of, and the keys that it took over."""
        self.chardev_of = {port: port.chardev_id for port in scene.ports}
        self.wanted: dict[int, dict[str, Scalar]] = {}
        """What is changed of the devices, by option, beside their chardevs."""
        for flaw in flaws:
            for remedy in flaw.remedies:
                if isinstance(remedy, Retouch):
                    self.note(remedy.edits)
        # The ports of one card go together.
        cards = {id(port.option): port for port in self.moving if port.device}
        self.with_them = [
            (port, cards[id(port.option)]) for port in scene.ports
            if id(port.option) in cards and port not in self.moving
        ]  # fmt: skip
        self.moving |= {port for port, _ in self.with_them}
        self.board = board_of(scene, self.moving) if scene.platform else None
        if self.board:
            self.reserve_isa(self.board)
        self.placer = Placer(self.board) if self.board else None
        self.known = list(self.board.devices) if self.board else []
        self.emitted: set[str] = set()
        ours = {device.id for device in self.known}
        self.standing = {
            f"{d.id}.0": d.option.first for d in scene.view.devices if d.id and d.id in ours
        }
        """The buses of controllers that an earlier mending added, and where each stands."""
        self.at_end = one_finds_its_own(scene, self.moving)
        """New controllers come last: QEMU gives a device that names no bus the newest one."""

    @cached_property
    def labels_left(self) -> frozenset[str]:
        """The ids that QEMU gives the chardevs of those -serial that stay, by their new places."""
        moving = {id(port.option) for port in self.moving}
        left = [port for port in self.scene.view.onboard if id(port.option) not in moving]
        return frozenset(
            f"serial{place}" for place, port in enumerate(left) if port.host.form == "inline"
        )

    def reserve_isa(self, board: Board) -> None:
        """Take the indexes that isa-serial devices get by other changes."""
        for flaw in self.flaws:
            for remedy in flaw.remedies:
                for edit in remedy.edits if isinstance(remedy, Retouch) else ():
                    if isinstance(edit, SetKey) and edit.key == "index":
                        board.isa_free = [i for i in board.isa_free if i != edit.value]

    def note(self, edits: Iterable[Edit]) -> None:
        """Keep which chardev and other keys a port gets, for a device that it gets as well."""
        for edit in edits:
            for port in self.scene.ports:
                if getattr(edit, "option", None) is not port.option:
                    continue
                if isinstance(edit, SetKey) and port.device and edit.key == port.device.key:
                    self.chardev_of[port] = str(edit.value)
                elif isinstance(edit, SetKey) and not _names_chardev(edit):
                    self.wanted.setdefault(id(port.option), {})[edit.key] = edit.value
                elif isinstance(edit, ReplaceValue) and edit.value.startswith("chardev:"):
                    self.chardev_of[port] = edit.value.removeprefix("chardev:")

    # -------------------------------------------------------------- all together

    def mend(self) -> None:
        """Find the places, then change the words of all that did not move."""
        answers = [self.placed(flaw) for flaw in self.flaws]
        for port, other in self.with_them:
            flaw = next(f for f in self.flaws if any(
                isinstance(r, Rehome) and r.port is other for r in f.remedies))  # fmt: skip
            self.rehome(flaw, Rehome(port))
        if self.stuck:
            return
        together = self.edits, self.changes
        self.edits, self.changes = [], []
        for flaw, (answered, edits, changes) in zip(self.flaws, answers, strict=True):
            for remedy in flaw.remedies:
                if isinstance(remedy, Retouch):
                    self.retouch(flaw, remedy)
                    answered = True
                elif isinstance(remedy, Readdress) and id(remedy.option) in self.replaced:
                    edits, changes = [], []
            self.edits += edits
            self.changes += changes
            if not answered:
                self.unmended.append(flaw)
        self.edits += together[0]
        self.changes += together[1]
        if self.edits:
            edits = [*self.added(), *self.edits]
            self.command = edited(self.scene.command, [*edits, *self.pinned(edits)])

    def placed(self, flaw: Flaw) -> tuple[bool, list[Edit], list[Change]]:
        """Find the places that a flaw asks for: whether there are, the edits, the changes."""
        answered = False
        for remedy in flaw.remedies:
            if isinstance(remedy, Rehome) and remedy.port in self.moving:
                answered = remedy.port in self.done or self.rehome(flaw, remedy)
            elif isinstance(remedy, Readdress):
                answered = self.readdress(flaw, remedy)
        found = answered, self.edits, self.changes
        self.edits, self.changes = [], []
        return found

    def retouch(self, flaw: Flaw, remedy: Retouch) -> None:
        """Change words, but not those of an option that another one took the place of."""
        edits: list[Edit] = []
        made = False
        for edit in remedy.edits:
            taken_over = self.replaced.get(id(edit.option))
            if taken_over is None or not isinstance(edit, SetKey | ReplaceValue):
                edits.append(edit)
            elif _names_chardev(edit) or (isinstance(edit, SetKey) and edit.key in taken_over):
                made = True
        self.edits += edits
        if edits or made:
            self.changes.append(Change(flaw.id, flaw.ports, remedy.text))

    def pinned(self, edits: Sequence[Edit]) -> list[Edit]:
        """Keep what QEMU did by itself as it was, where the edits would change it."""
        view = self.scene.view
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
        buses = found_by_themselves(self.scene)
        for device in self.scene.made:
            kind = "qemu-xhci" if device.is_usb else "virtio-serial-pci"
            if (
                not device.option.params.is_json or device.bus or kind not in drivers
                or not (device.is_usb or device.virtio_port is not None)
                or any(port.option is device.option for port in self.moving)
            ):  # fmt: skip
                continue
            # Made after all others, it would find our controller first.
            if bus := buses.get(id(device.option)):
                found.append(SetKey(device.option, "bus", bus))
        return found

    def added(self) -> list[Edit]:
        """Return the controllers that are new, before the first option that is changed."""
        if self.board is None:
            return []
        known = {device.id for device in self.known}
        new = [
            device.option("controller") for device in self.board.devices
            if device.id not in known | self.emitted
        ]  # fmt: skip
        if not new:
            return []
        if self.at_end:
            return [InsertAfter(None, tuple(new))]
        # Before whatever may be on them, be it changed in its place or inserted.
        first = min((e for e in self.edits if _holds_device(e)), key=_position)
        if isinstance(first, InsertAfter):
            return [InsertAfter(first.option, tuple(new))]
        return [InsertBefore(first.option, tuple(new))]

    # -------------------------------------------------------------- a place for a port

    def rehome(self, flaw: Flaw, remedy: Rehome) -> bool:
        """Place a port anew and write it; False if there is no place for it."""
        assert self.placer is not None
        port, wishes = remedy.port, self.scene.wishes
        self.done.add(port)
        first = port is self.scene.console
        kind = remedy.kind or ("auto" if first else wishes.kind)
        asked = SerialPort(
            port.number, Chardev(Null()), kind=kind, hotplug=wishes.hotplug and not first
        )
        assignment = self.placer.place(asked)
        if assignment is None and kind != "auto" and not wishes.hotplug:
            assignment = self.placer.place(replace(asked, kind="auto"))
        if assignment is None:
            self.stuck |= {p for p in self.moving if p.option is port.option}
            return False
        where = f"{assignment.bus}, {assignment.address}"
        device = assignment.device
        if device is None:
            self.write_onboard(port)
            what = "-serial"
        elif remedy.keep and port.device and port.driver == device.driver:
            self.write_keys(port, device)
            what = device.driver
        else:
            device = self.named(port, self.placer.settled(assignment).device or device)
            self.write_device(port, device)
            what = device.driver
        before = port.driver or (f"-{port.option.name}" if port.onboard else "no device")
        self.changes.append(
            Change(flaw.id, (port.name,), f"{port.name}: {before} -> {what} on {where}")
        )
        return True

    def named(self, port: Port, device: Device) -> Device:
        """Return the device with the port's own chardev, id and name."""
        chardev = self.chardev_of[port] or port.name
        own = port.device.device if port.device else None
        wanted = self.wanted.get(id(port.option), {})
        known = {
            key: wanted.get(key) or own.get(key)
            for key in _NAMES
            if own and not own.is_virtio_serial and own.get(key)
        }  # fmt: skip
        properties: list[tuple[str, Scalar]] = []
        for key, value in device.properties:
            if key.startswith("chardev") and value == f"serial{port.number}":
                value = chardev
            elif key in known:
                value = known[key]
            properties.append((key, value))
        kept = str(wanted.get("id", own.id)) if own and own.id else ""
        # The ports of one card have one id between them.
        asked = {str(keys["id"]) for keys in self.wanted.values() if "id" in keys}
        taken = self.given | self.scene.device_ids | asked
        new = kept or device.id
        if new in (self.given if kept else taken):
            new = fresh(new, taken)
        self.given.add(new)
        return replace(device, id=new, properties=tuple(properties))

    def write_onboard(self, port: Port) -> None:
        """Write a port as ``-serial``, after the option that asked for it."""
        id = self.chardev_of[port]
        self.edits.append(InsertAfter(port.option, (Option("-serial", raw=f"chardev:{id}"),)))
        if port.device or port.onboard:
            self.remove(port)

    def write_keys(self, port: Port, device: Device) -> None:
        """Move a device that stays what it is."""
        own = port.device.device if port.device else None
        keys: list[tuple[str, Scalar]] = []
        for key, value in device.properties:
            plugged = own.get(key) in ON if own else False
            if key in {"bus", "port", "nr", "addr"} or (key == "always-plugged" and not plugged):
                keys.append((key, value))
        if port.device and self.chardev_of[port] != port.chardev_id:
            keys.append((port.device.key, self.chardev_of[port]))
        if not self.comes_last(port, device):
            self.edits += [SetKey(port.option, key, value) for key, value in keys]
            return
        # Other flaws' changes go along.
        keys += self.wanted.get(id(port.option), {}).items()
        option = port.option
        for key, value in keys:
            option = replace(option, value=option.params.with_key(key, value))
        self.edits.append(InsertAfter(None, (Option("-device", raw=option.value),)))
        self.remove(port, frozenset(key for key, _ in keys))

    def write_device(self, port: Port, device: Device) -> None:
        """Write a device where the old one stood; a ``-serial``'s own backend becomes a chardev."""
        made: list[Option] = []
        onboard = port.onboard
        if onboard is not None and onboard.host.form == "inline" and not self.chardev_of[port]:
            # A -serial that stays can come to the place whose id the moved one would have.
            own = f"char{port.name}" if port.name in self.labels_left else port.name
            device = replace(
                device,
                properties=tuple(
                    (key, own if key.startswith("chardev") else value)
                    for key, value in device.properties
                ),
            )
            made += as_chardev(own, onboard.host)
        option = device.option()
        keys = frozenset({"id"} | {key for key, _ in device.properties if key in _NAMES})
        shared = sum(p.option is port.option for p in self.scene.ports) > 1
        last = self.comes_last(port, device)
        if port.device and not shared and not last:
            self.edits.append(ReplaceValue(port.option, option.value() or ""))
            self.replaced[id(port.option)] = keys
            return
        where = None if last else port.option
        self.edits.append(InsertAfter(where, (*made, option)))
        if port.device or onboard:
            self.remove(port, keys)

    def comes_last(self, port: Port, device: Device) -> bool:
        """Tell whether a port's device is written after all others, its controller among them."""
        bus = str(dict(device.properties).get("bus", ""))
        return self.at_end or self.standing.get(bus, -1) > port.option.first

    def remove(self, port: Port, keys: frozenset[str] = frozenset()) -> None:
        """Remove what stood for a port; once, if several ports share it."""
        self.replaced[id(port.option)] = keys
        if id_of(port.option) not in self.emitted:
            self.emitted.add(id_of(port.option))
            self.edits.append(Remove(port.option))

    # -------------------------------------------------------------- another PCI address

    def readdress(self, flaw: Flaw, remedy: Readdress) -> bool:
        """Move a PCI device to a free slot of the root bus."""
        place = self.board.own_slot() if self.board else None
        if place is None:
            return False
        self.edits += [
            SetKey(remedy.option, "bus", place.bus),
            SetKey(remedy.option, "addr", place.address),
        ]
        self.changes.append(
            Change(flaw.id, flaw.ports, f"{remedy.name}: moved to {place.bus}, {place.address}")
        )
        return True


_NAMES = ("name", "serial")
"""What a port is known by in the guest, beside its place."""


def _names_chardev(edit: SetKey | ReplaceValue) -> bool:
    if isinstance(edit, SetKey):
        return edit.key.startswith("chardev")
    return edit.value.startswith("chardev:")


def _holds_device(edit: Edit) -> bool:
    if isinstance(edit, InsertAfter | InsertBefore):
        return any(option.flag == "-device" for option in edit.options)
    return edit.option.name == "device"


def _position(edit: Edit) -> int:
    if edit.option is None:
        return sys.maxsize
    return edit.option.last + 1 if isinstance(edit, InsertAfter) else edit.option.first


def id_of(option: CommandOption) -> str:
    """Return what tells an option from all others of its command line."""
    return f"{option.first} {option.where}"
