"""Two chardevs, or two devices, of one id."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.context.chardevs import Label, as_chardev
from vmserial.context.repairs import fresh
from vmserial.model import Finding, Severity
from vmserial.options import Option
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command import DeviceEntry
from vmserial.sources.command.edits import InsertAfter, InsertBefore, ReplaceValue, SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield what has an id that something else has, too."""
    for entry, new in ctx.host_sides.duplicates:
        yield RULE.finding(
            f"{entry.option}: Duplicate ID '{entry.id}' for chardev", entry.option,
            (ctx.chardev_user(entry.id),),
            (EditOptions((SetKey(entry.option, "id", new),),
                         f"the second chardev {entry.id} becomes {new}"),), assumed=True,
        )  # fmt: skip
    for label in ctx.host_sides.labels:
        own = label.own
        option = own.port.option if own.port else label.entry.option
        yield RULE.finding(
            f"{option}: Duplicate ID '{own.id}' for chardev: a -{own.kind} that names no chardev "
            "makes one of this id", option, (ctx.chardev_user(own.id),), _renamed(label),
            assumed=True, fix="" if own.kind in _TAKES_CHARDEV else "give your chardev another id",
        )  # fmt: skip
    yield from _devices(ctx)


_TAKES_CHARDEV = frozenset({"serial", "parallel", "monitor", "qmp", "qmp-pretty"})
"""Options that take a chardev instead; -debugcon does not (run with 7.2)."""


def _renamed(label: Label) -> tuple[EditOptions, ...]:
    """Return how QEMU's own chardev gets another id, or is not made."""
    own, new = label.own, label.new
    if own.kind not in _TAKES_CHARDEV:
        return ()
    if own.port is None:
        none = InsertAfter(None, (Option(f"-{own.kind}", raw="none"),))
        of = "port" if own.kind == "serial" else own.kind
        return (EditOptions((none,), f"-{own.kind} none: QEMU's own default {of} had this id"),)
    option = own.port.option
    if not new:
        edit = ReplaceValue(option, "none")
        return (EditOptions((edit,), f"{option} became -serial none: no UART has it"),)
    return (EditOptions(
        (InsertBefore(option, as_chardev(new, own.port.host)),
         ReplaceValue(option, f"chardev:{new}")),
        f"{option} got the chardev {new}",
    ),)  # fmt: skip


def _devices(ctx: RuleContext) -> Iterator[Finding]:
    """Yield devices of one id, one of them a port."""
    first: dict[str, DeviceEntry] = {}
    ports = {id(port.option): port for port in ctx.ports if port.device}
    taken = set(ctx.device_ids)
    for device in ctx.view.devices:
        before = first.setdefault(device.id, device) if device.id else device
        port = ports.get(id(device.option)) or ports.get(id(before.option))
        if before is device or port is None:
            continue
        new = fresh(device.id, taken)
        taken.add(new)
        yield RULE.finding(
            f"-device {device.option.value}: Duplicate ID '{device.id}' for device",
            device.option, (port.name,),
            (EditOptions((SetKey(port.option, "id", new),), f"{port.name}: id={new}"),),
        )  # fmt: skip


RULE = Rule("id-taken", Severity.FAILS, IDS, check)
