"""Ports for which the guest's kernel has no driver."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Port, Relocate, RuleContext
from vmserial.model import PCI_UARTS, Finding, Severity
from vmserial.rules.base import DRIVERS, PLATFORM, Rule

_VIRTIO = frozenset({"virtconsole", "virtserialport"})


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that QEMU makes and the guest does not see."""
    guest = ctx.guest
    # Of a guest that nobody named, the drivers are only a guess.
    guess = guest.assumed and not ctx.policy.assumed_guest
    for port in ctx.staying:
        driver = _lacking(ctx, port)
        if not driver:
            continue
        # A program's channel is what that program asks for, and nothing else.
        repairs = () if guess or port.channel else (Relocate(port),)
        yield RULE.of_port(
            port,
            f"the guest {guest.name}{' is assumed and' if guest.assumed else ''} has no {driver} "
            f"driver ({guest.source}), and so no node for it", *repairs,
            severity=Severity.NOTE if guess else None,
            fix="use another kind of port, or a kernel that has the driver; if the guest is "
            "another one, name it with --guest", assumed=guest.assumed,
        )  # fmt: skip


def _lacking(ctx: RuleContext, port: Port) -> str:
    """Return, in words, the driver that a port needs and the guest has not; else nothing."""
    guest, driver = ctx.guest, port.driver
    if driver == "usb-serial":
        return "" if guest.usb_serial else "ftdi_sio or xhci"
    if driver in PCI_UARTS:
        return "" if guest.pci_serial else "8250_pci"
    if driver in _VIRTIO:
        return "" if guest.virtio_console else "virtio_console"
    assert ctx.platform is not None
    needed = ""
    if driver == "isa-serial" or (port.onboard is not None and ctx.platform.isa):
        needed = "8250"
    elif port.onboard is not None and ctx.platform.uart is not None:
        needed = ctx.platform.uart.driver
    return needed if needed and guest.lacks(needed) else ""


RULE = Rule(
    "guest-driver-missing",
    Severity.DEAD,
    DRIVERS,
    check,
    needs=(PLATFORM,),
    among=(*sorted(PCI_UARTS), "isa-serial", "serial", "usb-serial", *sorted(_VIRTIO)),
)
