"""Who takes which chardev, in the order in which QEMU goes over its options.  Pure.

system/vl.c: -netdev, -object and -tpmdev, the monitors, then what the board makes of -serial
and -parallel, then the devices, and -gdb last (run with 7.2).  A chardev serves one of them, a
multiplexed one :data:`~vmserial.limits.MUX_FRONTENDS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmserial.limits import MUX_FRONTENDS, PARALLEL_PORTS
from vmserial.records import record
from vmserial.sources.command import SERIAL_DRIVERS, CommandOption

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext

_FIRST = ("netdev", "object", "tpmdev")


@record(frozen=True)
class Claim:
    """One who takes a chardev.

    Attributes:
        chardev_id: the chardev.
        option: who.
        key: of a device, the key that names it.
        kind: the option's name; ``monitor`` for each that a person reads, ``control`` for QMP.
        driver: of a device, its driver.
    """

    chardev_id: str
    option: CommandOption
    key: str
    kind: str
    driver: str = ""


@record(frozen=True)
class Refusal:
    """One who does not get a chardev.

    Attributes:
        claim: who.
        by: who has it; None: it is multiplexed, and all of its places are taken.
        alone: nobody else wants it, whoever else has it is a monitor for people, and there are
            places for all if it is multiplexed.
    """

    claim: Claim
    by: Claim | None
    alone: bool = False


def refusals(ctx: RuleContext) -> list[Refusal]:
    """Return who does not get the chardev that is named; of one that is not there, nobody."""
    found: list[Refusal] = []
    users: dict[str, list[Claim]] = {}
    claims = list(_claims(ctx))
    for claim in claims:
        entry = ctx.chardevs.get(claim.chardev_id)
        if entry is None:
            continue
        there = users.setdefault(claim.chardev_id, [])
        if len(there) < (MUX_FRONTENDS if entry.mux else 1):
            there.append(claim)
        elif entry.mux:
            found.append(Refusal(claim, None))
        else:
            all_of_it = [each for each in claims if each.chardev_id == claim.chardev_id]
            others = [each.kind for each in all_of_it if each is not claim]
            alone = set(others) == {"monitor"} and len(all_of_it) <= MUX_FRONTENDS
            found.append(Refusal(claim, there[0], alone))
    return found


def _claims(ctx: RuleContext) -> Iterator[Claim]:
    for name in _FIRST:
        for option in ctx.view.options:
            if option.name == name and (id := option.params.get("chardev")):
                yield Claim(id, option, "chardev", name)
    for port in ctx.view.monitors:
        if port.host.form == "chardev":
            kind = "control" if port.mode == "control" else "monitor"
            yield Claim(port.host.chardev_id, port.option, "chardev", kind)
    for port in ctx.view.ports:
        if port.host.form == "chardev" and port.index < _wired(ctx, port.kind):
            yield Claim(port.host.chardev_id, port.option, "chardev", port.kind)
    for device in ctx.made:
        for key in SERIAL_DRIVERS.get(device.driver, ("chardev",)):
            if id := device.get(key):
                yield Claim(id, device.option, key, "device", device.driver)
    for port in ctx.view.ports:
        if port.kind == "gdb" and port.host.form == "chardev":
            yield Claim(port.host.chardev_id, port.option, "chardev", "gdb")


def _wired(ctx: RuleContext, kind: str) -> int:
    """Return how many ports of a kind the board surely makes."""
    if kind == "serial":
        return ctx.uarts_wired if ctx.platform is not None else 0
    parallel = kind == "parallel" and ctx.platform is not None and ctx.platform.isa
    return PARALLEL_PORTS if parallel else 0
