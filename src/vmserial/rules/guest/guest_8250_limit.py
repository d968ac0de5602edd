"""8250 ports past those that the guest's kernel registers."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Port, Relocate, RuleContext
from vmserial.model import PCI_UARTS, Finding, Severity
from vmserial.rules.base import GUEST_8250, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the cards whose ports the guest has no room for."""
    assert ctx.platform is not None
    guest, limit = ctx.guest, ctx.guest.uarts_8250
    used = 0
    if ctx.platform.isa:
        used = sum(port.driver == "isa-serial" or port.onboard is not None for port in ctx.staying)
        used += ctx.view.default_serial is not None
    elif ctx.platform.uart is not None and ctx.platform.uart.is_8250:
        # On the board whether a -serial is connected to them or not.
        used = ctx.uarts
    first: dict[int, int] = {}
    for port in _as_found(ctx):
        card = id(port.option)
        if card not in first:
            # All UARTs of a card are registered in turn, used or not, until there is no line left.
            first[card] = used
            used += PCI_UARTS[port.driver]
        if first[card] + _number(port) < limit:
            continue
        parameter = guest.nr_uarts
        more = f", or boot it with 8250.nr_uarts={parameter}" if parameter > limit else ""
        # Of a guest that nobody named, the number is only a guess.
        guess = guest.assumed and not ctx.policy.assumed_guest
        repairs = () if guess else (Relocate(port),)
        yield RULE.of_port(
            port,
            f"the guest {guest.name}{' is assumed and' if guest.assumed else ''} registers {limit} "
            f"8250 ports ({guest.source}): \"Couldn't register serial port …: -28\" in its dmesg, "
            "and no node", *repairs, severity=Severity.NOTE if guess else None,
            fix=f"use another kind of port for those past {limit}{more}, or name the guest "
            "with --guest", assumed=guest.assumed,
        )  # fmt: skip


def _as_found(ctx: RuleContext) -> list[Port]:
    """Return the ports behind PCI in the order in which Linux finds them.

    That is by address where all have one on the same bus, else as they stand.
    """
    found = [port for port in ctx.staying if port.driver in PCI_UARTS]
    places = [port.device.device.pci for port in found if port.device is not None]
    addresses = [(at.slot, at.function) for at in places if at is not None]
    buses = {at.bus for at in places if at is not None}
    if len(addresses) < len(found) or len(buses) > 1:
        return found
    return [found[number] for number in sorted(range(len(found)), key=addresses.__getitem__)]


def _number(port: Port) -> int:
    """Return which UART of its card a port is: that of ``chardev3`` is 2."""
    key = port.device.key if port.device is not None else ""
    return int(key.removeprefix("chardev") or "1") - 1


RULE = Rule(
    "guest-8250-limit",
    Severity.DEAD,
    GUEST_8250,
    check,
    needs=(PLATFORM,),
    among=PCI_UARTS,
)
