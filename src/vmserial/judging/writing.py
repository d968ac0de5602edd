"""A port's new device, written as edits of the command line."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from vmserial.context import Port, RuleContext
from vmserial.context.buses import one_finds_its_own
from vmserial.context.chardevs import as_chardev
from vmserial.context.repairs import fresh
from vmserial.lazy import once
from vmserial.model import Device
from vmserial.options import Option, Scalar
from vmserial.sources.command import CommandOption
from vmserial.sources.command.edits import Edit, InsertAfter, Remove, ReplaceValue, SetKey
from vmserial.values import is_on

_NAMES = ("name", "serial")
"""What a port is known by in the guest, beside its place."""


class Writer:
    """Writes the devices of ports that move, one after the other.

    Args:
        ctx: the command line.
        moving: the ports that move.
        known: ids of our own controllers that stand there already.

    Attributes:
        emitted: what was written or removed already, by id: once, if several ports share it.
        at_end: new devices come last: QEMU gives a device that names no bus the newest one.
    """

    def __init__(self, ctx: RuleContext, moving: Set[Port], known: frozenset[str]) -> None:
        self._ctx, self._moving = ctx, moving
        self.emitted: set[str] = set()
        self.at_end = one_finds_its_own(ctx, moving)
        self._given: set[str] = set()
        """Ids of the devices that are written anew."""
        self._replaced: dict[int, frozenset[str]] = {}
        """Options that another one took the place of, and the keys that it took over."""
        self._chardev_of = {port: port.chardev_id for port in ctx.ports}
        self._ports_of: dict[int, list[Port]] = {}
        for port in ctx.ports:
            self._ports_of.setdefault(id(port.option), []).append(port)
        self._wanted: dict[int, dict[str, Scalar]] = {}
        """What is changed of the devices, by option, beside their chardevs."""
        self._standing = {
            f"{d.id}.0": d.option.first for d in ctx.view.devices if d.id and d.id in known
        }
        """The buses of controllers that an earlier repair added, and where each stands."""

    # -------------------------------------------------------------- other changes

    def note(self, edit: Edit) -> None:
        """Keep which chardev and other keys a port gets, for a device that it gets as well."""
        for port in self._ports_of.get(id(edit.option), ()):
            if isinstance(edit, SetKey) and port.device and edit.key == port.device.key:
                self._chardev_of[port] = str(edit.value)
            elif isinstance(edit, SetKey) and not names_chardev(edit):
                self._wanted.setdefault(id(port.option), {})[edit.key] = edit.value
            elif isinstance(edit, ReplaceValue) and edit.value.startswith("chardev:"):
                self._chardev_of[port] = edit.value.removeprefix("chardev:")

    def is_replaced(self, option: CommandOption) -> bool:
        """Tell whether another option took the place of this one."""
        return id(option) in self._replaced

    def left_of(self, edits: Sequence[Edit]) -> tuple[tuple[Edit, ...], bool]:
        """Return the edits that are still to be made, and whether others are made already.

        Of an option that another one took the place of, nothing is changed.
        """
        left: list[Edit] = []
        made = False
        for edit in edits:
            taken_over = self._replaced.get(id(edit.option))
            if taken_over is None or not isinstance(edit, SetKey | ReplaceValue):
                left.append(edit)
            elif names_chardev(edit) or (isinstance(edit, SetKey) and edit.key in taken_over):
                made = True
        return tuple(left), made

    # -------------------------------------------------------------- a port's new device

    def onboard(self, port: Port) -> list[Edit]:
        """Write a port as ``-serial``, after the option that asked for it."""
        id = self._chardev_of[port]
        edits: list[Edit] = [InsertAfter(port.option, (Option("-serial", raw=f"chardev:{id}"),))]
        if port.device or port.onboard:
            edits += self._remove(port)
        return edits

    def keys(self, port: Port, device: Device) -> list[Edit]:
        """Move a device that stays what it is."""
        own = port.device.device if port.device else None
        keys: list[tuple[str, Scalar]] = []
        for key, value in device.properties:
            plugged = own is not None and is_on(own.get(key))
            if key in {"bus", "port", "nr", "addr"} or (key == "always-plugged" and not plugged):
                keys.append((key, value))
        if port.device and self._chardev_of[port] != port.chardev_id:
            keys.append((port.device.key, self._chardev_of[port]))
        if not self._comes_last(port, device):
            return [SetKey(port.option, key, value) for key, value in keys]
        # Other findings' changes go along.
        keys += self._wanted.get(id(port.option), {}).items()
        option = port.option
        text = option.value
        for key, value in keys:
            now = CommandOption(option.name, option.flag, text, option.where)
            text = now.params.with_key(key, value)
        made = InsertAfter(None, (Option("-device", raw=text),))
        return [made, *self._remove(port, frozenset(key for key, _ in keys))]

    def device(self, port: Port, device: Device) -> list[Edit]:
        """Write a device where the old one stood; a ``-serial``'s own backend becomes a chardev."""
        made: list[Option] = []
        onboard = port.onboard
        if onboard is not None and onboard.host.form == "inline" and not self._chardev_of[port]:
            # A -serial that stays can come to the place whose id the moved one would have.
            own = f"char{port.name}" if port.name in self._labels_left else port.name
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
        shared = sum(p.option is port.option for p in self._ctx.ports) > 1
        last = self._comes_last(port, device)
        if port.device and not shared and not last:
            self._replaced[id(port.option)] = keys
            return [ReplaceValue(port.option, option.value() or "")]
        edits: list[Edit] = [InsertAfter(None if last else port.option, (*made, option))]
        if port.device or onboard:
            edits += self._remove(port, keys)
        return edits

    def named(self, port: Port, device: Device) -> Device:
        """Return the device with the port's own chardev, id and name."""
        chardev = self._chardev_of[port] or port.name
        own = port.device.device if port.device else None
        wanted = self._wanted.get(id(port.option), {})
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
        asked = {str(keys["id"]) for keys in self._wanted.values() if "id" in keys}
        taken = self._given | self._ctx.device_ids | asked
        new = kept or device.id
        if new in (self._given if kept else taken):
            new = fresh(new, taken)
        self._given.add(new)
        return replace(device, id=new, properties=tuple(properties))

    @once
    def _labels_left(self) -> frozenset[str]:
        """The ids that QEMU gives the chardevs of those -serial that stay, by their new places."""
        moving = {id(port.option) for port in self._moving}
        left = [port for port in self._ctx.view.onboard if id(port.option) not in moving]
        return frozenset(
            f"serial{place}" for place, port in enumerate(left) if port.host.form == "inline"
        )

    def _comes_last(self, port: Port, device: Device) -> bool:
        """Tell whether a port's device is written after all others, its controller among them."""
        bus = str(dict(device.properties).get("bus", ""))
        return self.at_end or self._standing.get(bus, -1) > port.option.first

    def _remove(self, port: Port, keys: frozenset[str] = frozenset()) -> list[Edit]:
        """Remove what stood for a port; once, if several ports share it."""
        self._replaced[id(port.option)] = keys
        option = f"{port.option.first} {port.option.where}"
        if option in self.emitted:
            return []
        self.emitted.add(option)
        return [Remove(port.option)]


def names_chardev(edit: SetKey | ReplaceValue) -> bool:
    """Tell whether an edit gives a port its chardev."""
    if isinstance(edit, SetKey):
        return edit.key.startswith("chardev")
    return edit.value.startswith("chardev:")
