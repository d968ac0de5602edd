"""Ports on a PCI bus that the guest's kernel does not reach as the machine is."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, Port, RuleContext
from vmserial.model import PCI_UARTS, VIRTIO_PORTS, Finding, Severity
from vmserial.rules.base import PLACES, PLATFORM, Rule
from vmserial.sources.command.edits import SetKey
from vmserial.values import is_on

_DRIVERS = frozenset({"usb-serial", *PCI_UARTS})


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield them together: one property of the machine brings all of them back."""
    assert ctx.platform is not None
    machine = next((o for o in ctx.view.machine_options if o.params.get("type")), None)
    ports = [port for port in ctx.staying if _on_pci(ctx, port)] if machine is not None else []
    guess = ctx.guest.assumed
    for key, value in ctx.platform.options if ports else ():
        assert machine is not None
        if is_on(ctx.view.machine.get(key, "on")) is is_on(value):
            continue
        edit = EditOptions((SetKey(machine, key, value),), f"-machine {key}={value}")
        name = f"{ctx.guest.name}{', which is assumed' if guess else ''}"
        yield RULE.finding(
            f"{', '.join(port.name for port in ports)}: without {key}={value} the PCI bus of "
            f"{ctx.platform.name} is above 4 GiB, which a 32-bit kernel without LPAE does not "
            f"reach, as that of {name}: they have no node",
            machine, tuple(port.name for port in ports), () if guess else (edit,),
            severity=Severity.NOTE if guess else None,
            fix=f"add {key}={value} to -machine, or boot a kernel with LPAE", assumed=guess,
        )  # fmt: skip


def _on_pci(ctx: RuleContext, port: Port) -> bool:
    if port.driver in VIRTIO_PORTS:
        return any(d.driver in {"virtio-serial-pci", "virtio-serial"} for d in ctx.view.devices)
    return port.driver in _DRIVERS


RULE = Rule(
    "pci-out-of-reach",
    Severity.DEAD,
    PLACES,
    check,
    needs=(PLATFORM,),
    among=_DRIVERS | VIRTIO_PORTS,
)
