"""From remedies to edits: places for the ports that need one, and what is written where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vmserial.board import VIRTIO_MESSAGES, VIRTIO_PORTS, XHCI_PORTS, Board, Controller
from vmserial.board import PciPlace as BoardPlace
from vmserial.formats.argv import CommandLine, CommandOption, DeviceEntry
from vmserial.formats.argv.edits import (
    Edit,
    InsertAfter,
    InsertBefore,
    Remove,
    ReplaceValue,
    SetKey,
    edited,
)
from vmserial.formats.argv.places import number
from vmserial.model import Assignment, Chardev, Device, Machine, Null, SerialPort
from vmserial.options import Option, Scalar
from vmserial.placing import Placer
from vmserial.repair.base import Change, Flaw, Readdress, Rehome, Retouch
from vmserial.repair.ports import Port
from vmserial.repair.rules_chardevs import as_chardev
from vmserial.repair.rules_devices import PCI_UARTS
from vmserial.repair.scene import ISA_PORTS, Scene

PVE_FREE_SLOTS = (0x1D,)
"""The root-bus slot that PVE's fixed map leaves free (docs/guide.md): on aarch64 and i440fx.

On q35 PVE's own USB controllers have it.  What PVE plugs there later goes to buses
behind bridges, so that any slot of pcie.0 that the command leaves free is free.
"""

UNSEEN_FREE_SLOTS = tuple(range(0x19, 0x13, -1))
"""Root-bus slots that hardly any -readconfig file uses, for one that was not read.

PVE's for q35 has USB controllers at 0x1a and 0x1d, root ports at 0x10 and 0x1c, a
bridge at 0x1e; QEMU's own examples begin at the lowest slots.
"""

_OURS = re.compile(r"vmserial-(xhci|virtio|rp)([0-9]+)\Z")
_MESSAGES = {"virtserialport": 2, "virtconsole": 3}


class Mender:
    """Collects the edits of one command line.

    Attributes:
        changes: what was mended.
        unmended: flaws that no edit answers.
    """

    def __init__(self, scene: Scene, flaws: Sequence[Flaw]) -> None:
        self.scene = scene
        self.flaws = flaws
        self.edits: list[Edit] = []
        self.changes: list[Change] = []
        self.unmended: list[Flaw] = []
        self.moving = {r.port for flaw in flaws for r in flaw.remedies if isinstance(r, Rehome)}
        self.chardev_of = {port: port.chardev_id for port in scene.ports}
        for flaw in flaws:
            for remedy in flaw.remedies:
                if isinstance(remedy, Retouch):
                    self.note_chardevs(remedy.edits)
        self.board = _board(scene, self.moving) if scene.platform else None
        self.placer = Placer(self.board) if self.board else None
        self.known = list(self.board.devices) if self.board else []
        self.emitted: set[str] = set()

    def note_chardevs(self, edits: Iterable[Edit]) -> None:
        """Keep which chardev a port gets, for a device that it gets as well."""
        for edit in edits:
            for port in self.scene.ports:
                if getattr(edit, "option", None) is not port.option:
                    continue
                if isinstance(edit, SetKey) and port.device and edit.key == port.device.key:
                    self.chardev_of[port] = str(edit.value)
                elif isinstance(edit, ReplaceValue) and edit.value.startswith("chardev:"):
                    self.chardev_of[port] = edit.value.removeprefix("chardev:")

    # -------------------------------------------------------------- all together

    def mended(self) -> CommandLine:
        """Return the mended command line; the given one where there is nothing to do."""
        done: set[Port] = set()
        for flaw in self.flaws:
            answered = False
            for remedy in flaw.remedies:
                if isinstance(remedy, Rehome):
                    answered = remedy.port in done or self.rehome(flaw, remedy)
                    done.add(remedy.port)
                elif isinstance(remedy, Readdress):
                    answered = self.readdress(flaw, remedy)
                else:
                    self.edits += self.still_there(remedy.edits)
                    self.changes.append(Change(flaw.id, flaw.ports, remedy.text))
                    answered = True
            if not answered:
                self.unmended.append(flaw)
        if not self.edits:
            return self.scene.command
        return edited(self.scene.command, [*self.added(), *self.edits])

    def still_there(self, edits: Iterable[Edit]) -> list[Edit]:
        """Leave out what changes the device of a port that gets another one."""
        gone = {id(port.option) for port in self.moving if port.device or port.onboard}
        return [
            edit for edit in edits
            if not (isinstance(edit, SetKey | ReplaceValue) and id(edit.option) in gone)
        ]  # fmt: skip

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
        # Before whatever may be on them, be it changed in its place or inserted.
        first = min((e for e in self.edits if _holds_device(e)), key=_position)
        if isinstance(first, InsertAfter):
            return [InsertAfter(first.option, tuple(new))]
        return [InsertBefore(first.option, tuple(new))]

    # -------------------------------------------------------------- a place for a port

    def rehome(self, flaw: Flaw, remedy: Rehome) -> bool:
        """Place a port anew and write it; False if there is no place for it."""
        if self.placer is None:
            return False
        port = remedy.port
        wishes = self.scene.wishes
        first = bool(self.scene.ports) and port is self.scene.ports[0]
        kind = remedy.kind or ("auto" if first else wishes.kind)
        asked = SerialPort(
            port.number, Chardev(Null()), kind=kind, hotplug=wishes.hotplug and not first
        )
        assignment = self.placer.place(asked)
        if assignment is None and kind != "auto" and not wishes.hotplug:
            assignment = self.placer.place(replace(asked, kind="auto"))
        if assignment is None:
            return False
        where = f"{assignment.bus}, {assignment.address}"
        device = assignment.device
        if device is None:
            self.write_onboard(port, assignment)
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
        known = {
            key: port.device.device.get(key)
            for key in ("name", "serial")
            if port.device and not port.device.device.is_virtio_serial
            and port.device.device.get(key)
        }  # fmt: skip
        properties: list[tuple[str, Scalar]] = []
        for key, value in device.properties:
            if key.startswith("chardev") and value == f"serial{port.number}":
                value = chardev
            elif key in known:
                value = known[key]
            properties.append((key, value))
        id = device.id
        own = port.device.device.id if port.device else ""
        if own:
            id = own
        elif id in self.scene.device_ids:
            id = next(
                f"{id}-{n}" for n in range(2, 2000) if f"{id}-{n}" not in self.scene.device_ids
            )
        return replace(device, id=id, properties=tuple(properties))

    def write_onboard(self, port: Port, assignment: Assignment) -> None:
        """Write a port as ``-serial``, after the option that asked for it."""
        del assignment
        id = self.chardev_of[port]
        self.edits.append(InsertAfter(port.option, (Option("-serial", raw=f"chardev:{id}"),)))
        if port.device or port.onboard:
            self.edits.append(Remove(port.option))

    def write_keys(self, port: Port, device: Device) -> None:
        """Move a device that stays what it is."""
        own = port.device.device if port.device else None
        for key, value in device.properties:
            plugged = own.get(key) in {"on", "true", "yes", "y"} if own else False
            if key in {"bus", "port", "nr", "addr"} or (key == "always-plugged" and not plugged):
                self.edits.append(SetKey(port.option, key, value))
        if port.device and self.chardev_of[port] != port.chardev_id:
            self.edits.append(SetKey(port.option, port.device.key, self.chardev_of[port]))

    def write_device(self, port: Port, device: Device) -> None:
        """Write a device where the old one stood; a ``-serial``'s own backend becomes a chardev."""
        made: list[Option] = []
        onboard = port.onboard
        if onboard is not None and onboard.host.form == "inline":
            id = port.name
            device = replace(
                device,
                properties=tuple(
                    (key, id if key.startswith("chardev") else value)
                    for key, value in device.properties
                ),
            )
            made += as_chardev(port, id, onboard.host)
        option = device.option()
        shared = sum(p.option is port.option for p in self.scene.ports) > 1
        if port.device and not shared:
            self.edits.append(ReplaceValue(port.option, option.value() or ""))
            return
        self.edits.append(InsertAfter(port.option, (*made, option)))
        if (port.device or onboard) and id_of(port.option) not in self.emitted:
            self.emitted.add(id_of(port.option))
            self.edits.append(Remove(port.option))

    # -------------------------------------------------------------- another PCI address

    def readdress(self, flaw: Flaw, remedy: Readdress) -> bool:
        """Move a PCI device to a free slot of the root bus."""
        place = self.board.own_slot(remedy.name) if self.board else None
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


def _holds_device(edit: Edit) -> bool:
    if isinstance(edit, InsertAfter | InsertBefore):
        return any(option.flag == "-device" for option in edit.options)
    return edit.option.name == "device"


def _position(edit: Edit) -> int:
    assert edit.option is not None
    return edit.option.last + 1 if isinstance(edit, InsertAfter) else edit.option.first


def id_of(option: CommandOption) -> str:
    """Return what tells an option from all others of its command line."""
    return f"{option.first} {option.where}"


def _board(scene: Scene, moving: set[Port]) -> Board:
    """Return the board with all that stays where it is."""
    assert scene.platform is not None
    assert scene.architecture is not None
    slots: tuple[int, ...] = ()
    if scene.is_pve and scene.platform.name != "q35":
        slots = PVE_FREE_SLOTS
    elif not scene.complete:
        slots = UNSEEN_FREE_SLOTS
    machine = Machine(scene.arch, (), machine_type=scene.machine_type, free_slots=slots)
    board = Board(machine, scene.architecture, scene.platform, scene.capabilities, scene.guest)
    staying = [port for port in scene.ports if port not in moving]
    board.isa_free = list(range(ISA_PORTS)) if scene.platform.isa else []
    moved_options = {id(port.option) for port in moving}
    for device in scene.view.devices:
        place = device.pci
        if place and device.bus in scene.root_buses and id(device.option) not in moved_options:
            board.take(place.slot, place.function, device.id or device.driver)
    _automatic(scene, board, moved_options)
    _ours(scene, board, moved_options)
    onboard = sum(port.onboard is not None for port in staying)
    if scene.platform.isa:
        _isa(scene, board, staying)
    else:
        board.uarts_left = max(scene.uarts - onboard, 0)
        board.uarts_used = onboard
    cards = {id(p.option): PCI_UARTS[p.driver] for p in staying if p.driver in PCI_UARTS}
    board.uarts_8250 += sum(cards.values())
    board.ttyusb = sum(port.driver == "usb-serial" for port in staying)
    board.hvc = sum(port.driver == "virtconsole" for port in staying)
    return board


def _isa(scene: Scene, board: Board, staying: Sequence[Port]) -> None:
    made = 0
    if scene.view.default_serial is not None:
        board.isa_free.remove(0)
        made = 1
    for port in staying:
        if port.onboard is None and port.driver != "isa-serial":
            continue
        place = port.device.device.isa if port.device else None
        index = place.index if place else port.onboard.index if port.onboard else None
        index = made if index is None else index
        if index in board.isa_free:
            board.isa_free.remove(index)
        made += 1
    board.uarts_8250 += made


def _automatic(scene: Scene, board: Board, moved: set[int]) -> None:
    """Take the slots that QEMU gives to devices that name none: from the lowest on."""
    count = sum(
        scene.is_pci(device) and device.pci is None and device.bus in scene.root_buses
        and id(device.option) not in moved
        for device in scene.view.devices
    )  # fmt: skip
    if not scene.view.nodefaults:
        count += 2  # a network card and a graphics card
    for slot in range(1, 0x20):
        if count and slot not in board.platform.board_slots and not board.slot_owner(slot):
            board.take(slot, 0, "placed by QEMU")
            count -= 1


def _ours(scene: Scene, board: Board, moved: set[int]) -> None:
    """Take over the controllers that an earlier mending added, with what is free on them."""
    for device in scene.view.devices:
        match = _OURS.match(device.id)
        if match is None or device.pci is None:
            continue
        place = BoardPlace(board.platform.root_bus, device.pci.slot, device.pci.function)
        made = Device(device.driver, device.id)
        board.devices.append(made)
        board.resume(place)
        users = [
            d for d in scene.view.devices
            if d.bus == f"{device.id}.0" and id(d.option) not in moved
        ]  # fmt: skip
        if match.group(1) == "xhci":
            used = {number(user.get("port")) for user in users}
            free = [port for port in range(1, XHCI_PORTS + 1) if port not in used]
            board.usb.append(Controller(made, place, free))
        elif match.group(1) == "virtio":
            board.virtio.append(_virtio(made, place, users))
        else:
            board.root_ports = max(board.root_ports, int(match.group(2)) + 1)


def _virtio(made: Device, place: BoardPlace, users: Sequence[DeviceEntry]) -> Controller:
    used = {number(user.get("nr")) for user in users}
    spent = sum(_MESSAGES.get(user.driver, 2) for user in users)
    free = [nr for nr in range(1, VIRTIO_PORTS + 1) if nr not in used]
    return Controller(made, place, free, VIRTIO_MESSAGES - spent)
