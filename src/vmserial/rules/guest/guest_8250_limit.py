"""8250 ports past those that the guest's kernel registers."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
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
    cards: set[int] = set()
    for port in ctx.staying:
        uarts = PCI_UARTS.get(port.driver)
        if uarts is None or id(port.option) in cards:
            continue
        if used + uarts <= limit:
            cards.add(id(port.option))
            used += uarts
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


RULE = Rule(
    "guest-8250-limit",
    Severity.DEAD,
    GUEST_8250,
    check,
    needs=(PLATFORM,),
    among=PCI_UARTS,
)
