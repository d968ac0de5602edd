"""A value of the wrong kind: a switch, a number or a PCI address that QEMU does not take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from vmserial.context import EditOptions, MovePci, RuleContext
from vmserial.model import Finding, Repair, Severity
from vmserial.options import Scalar
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command import CommandOption, DeviceEntry
from vmserial.sources.command.edits import SetKey
from vmserial.sources.command.places import pci_address
from vmserial.sources.command.tables import CHARDEV_KEYS
from vmserial.values import OFF, ON, integer

_NUMBER = "a number"
_SIZE = "a non-negative number below 2^64"
_SWITCH = "'on' or 'off'"

_OF_DEVICES = {
    **dict.fromkeys(("always-plugged", "multifunction"), "switch"),
    **dict.fromkeys(("index", "iobase", "irq", "max_ports", "nr", "p2", "p3"), "integer"),
}
"""Properties of serial devices and of what carries them."""

_TEXTS = frozenset({"bus", "chardev", "port"})
"""Properties that JSON must give as a string, a USB port's number too."""

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    **{key: (bool,) if kind == "switch" else (int,) for key, kind in _OF_DEVICES.items()},
    **dict.fromkeys(_TEXTS, (str,)),
    "addr": (str, int),
}
_JSON_REFUSED = {
    bool: "Invalid parameter type for '{}', expected: boolean",
    str: "Invalid parameter type for '{}', expected: string",
    int: "Parameter '{}' expects uint64",
}
"""What QEMU says of a value in JSON of another type (7.2): there "1" is no number."""

_JSON_WANTED = {bool: "true or false", str: "a string, in quotes", int: "a number without quotes"}

_OF_CHARDEVS = frozenset(key for key, kind in CHARDEV_KEYS.items() if kind != "text")
"""Keys of a chardev whose value can be wrong."""

_OF_MACHINES = ("usb", "graphics")
"""Switches that every machine type has."""

_MEANT = {"1": True, "0": False}
_BEGINS_AS_SIZE = re.compile(r"\s*\+?\.?[0-9]")
_KEYVAL_SINCE = (6, 1, 0)
"""Since then -machine takes no key without a value."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the options that have such a value, each with the first one."""
    for option, id, _, params in ctx.view.host_ends():
        if _OF_CHARDEVS.isdisjoint(params) or option.params.is_json:
            continue
        kinds = ((key, CHARDEV_KEYS.get(key, ""), value) for key, value in params.items())
        yield from _of(option, kinds, ctx.ports_at(option, id), option.name == "chardev")
    for device in ctx.made:
        yield from _of_device(ctx, device)
    yield from _of_machine(ctx)


def _of_device(ctx: RuleContext, device: DeviceEntry) -> Iterator[Finding]:
    """Yield a value of a serial device, or of a controller, that is of the wrong kind."""
    option = device.option
    names = ctx.ports_at(option, "")
    if not (names or device.is_virtio_serial or device.is_usb_controller):
        return
    if option.params.is_json:
        yield from _of_json(option, names)
    elif not _OF_DEVICES.keys().isdisjoint(option.params.values):
        kinds = ((key, _OF_DEVICES.get(key, ""), device.get(key)) for key in option.params.values)
        yield from _of(option, kinds, names, True)
    address = device.params.get("addr")
    pci = ctx.is_pci(device) or device.driver == "virtio-serial"
    number = option.params.is_json and address == "-1"  # QEMU chooses
    if address is None or number or not pci or pci_address(address) is not None:
        return
    moves = ctx.platform is not None and ctx.platform.root_bus
    moved = (MovePci(option, names[0] if names else device.id or device.driver),) if moves else ()
    yield RULE.finding(
        f"{option}: Property '{device.type_name}.addr' doesn't take value '{address}'",
        option, names, moved,
        fix="write a slot from 0 to 1f and a function from 0 to 7, in hexadecimal: addr=1e.7",
    )  # fmt: skip


def _of_json(option: CommandOption, names: tuple[str, ...]) -> Iterator[Finding]:
    """Yield the first value of a device in JSON that is of another type than its property."""
    for item in option.params.items:
        types = _JSON_TYPES.get(item.key)
        if types is None or item.written != "json":
            continue
        value = json.loads(f"{{{option.params.source[item.start : item.end]}}}")[item.key]
        if type(value) in types:
            continue
        wanted = types[-1]
        meant: Scalar | None = None
        if wanted is str and type(value) is int:
            meant = str(value)
        elif wanted is int and isinstance(value, str):
            meant = integer(value)
        elif wanted is bool and str(value).lower() in ON | OFF:
            meant = str(value).lower() in ON
        repairs: tuple[Repair, ...] = ()
        if meant is not None:
            text = f"{item.key} {json.dumps(meant)}"
            repairs = (EditOptions((SetKey(option, item.key, meant),), text),)
        yield RULE.finding(
            f"{option}: {_JSON_REFUSED[wanted].format(item.key)}", option, names, repairs,
            fix=f"in JSON {item.key} is {_JSON_WANTED[wanted]}",
        )  # fmt: skip
        return


def _of_machine(ctx: RuleContext) -> Iterator[Finding]:
    """Yield a switch of -machine that is none; those that every machine type has, and UARTs'."""
    board = ctx.board
    keys = {*_OF_MACHINES}
    if board.startswith("microvm"):
        keys.add("isa-serial")
    if ctx.arch in {"arm", "aarch64"} and board.startswith(("virt", "vexpress")):
        keys.add("secure")
    for option in ctx.view.machine_options:
        bare = next((item for item in option.params.items if item.written == "bare"), None)
        if bare is not None and not option.params.asks_for_help:
            if ctx.capabilities.version >= _KEYVAL_SINCE and bare.key in keys:
                word = option.params.source[bare.start : bare.end]
                edit = SetKey(option, bare.key, bare.value in ON)
                yield RULE.finding(
                    f"{option}: Expected '=' after parameter '{word}'", option, (),
                    (EditOptions((edit,), f"{bare.key}={bare.value}"),),
                )  # fmt: skip
            continue
        values = option.params.values.items()
        # Of several -machine the last one's value counts.
        kinds = ((key, "switch", value) for key, value in values
                 if key in keys and ctx.view.machine.get(key) == value)  # fmt: skip
        yield from _of(option, kinds, (), True)


def _of(
    option: CommandOption, values: Iterable[tuple[str, str, str]], names: tuple[str, ...],
    keyed: bool,
) -> Iterator[Finding]:  # fmt: skip
    """Yield the first value of an option that is not of its key's kind.

    Args:
        option: the option.
        values: keys, their kinds and their values.
        names: the names of the ports that it is about.
        keyed: its value is key=value: a switch whose meaning is plain can be set.
    """
    for key, kind, value in values:
        expected = _expected(kind, value)
        if not expected:
            continue
        meant = _MEANT.get(value)
        if meant is None and value.lower() in ON | OFF:
            meant = value.lower() in ON
        repairs: tuple[Repair, ...] = ()
        if keyed and kind == "switch" and meant is not None:
            word = "on" if meant else "off"
            repairs = (EditOptions((SetKey(option, key, meant),), f"{option.name}: {key}={word}"),)
        yield RULE.finding(
            f"{option}: Parameter '{key}' expects {expected}", option, names, repairs,
            fix=f"write {key}=on or {key}=off" if kind == "switch" else f"give {key} a number",
        )  # fmt: skip
        return


def _expected(kind: str, value: str) -> str:
    """Return what QEMU would take in a value's place; empty: it takes the value."""
    if kind == "switch":
        return "" if value in ON | OFF else _SWITCH
    if kind in {"number", "integer"}:
        # A minus is another matter: to some keys it is a large number.
        if integer(value.lstrip().removeprefix("-")) is not None:
            return ""
        return _NUMBER if kind == "number" else "integer"
    if kind == "size":
        return "" if _BEGINS_AS_SIZE.match(value) else _SIZE
    return ""


RULE = Rule("bad-value", Severity.FAILS, IDS, check)
