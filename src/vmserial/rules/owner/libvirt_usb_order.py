"""usb-serial ports behind the hubs that libvirt adds."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import ASKED, LIBVIRT, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield one finding for all ports that libvirt places."""
    assert ctx.lowered is not None
    mine = []
    for port in ctx.staying:
        lowered = ctx.lowered.of(port.option)
        if port.driver == "usb-serial" and lowered is not None and "port" in lowered.automatic:
            mine.append(port)
    if any("." in port.option.params.get("port") for port in mine):
        yield RULE.finding(
            f"{len(mine)} usb-serial and not as many USB ports: libvirt adds hubs, and the "
            "guest's ttyUSB numbers do not follow serialN", mine[0].option,
            tuple(port.name for port in mine),
            [Relocate(port, kind="usb", keep=True) for port in mine],
        )  # fmt: skip


RULE = Rule(
    "libvirt-usb-order",
    Severity.NOTE,
    ASKED,
    check,
    needs=(LIBVIRT, PLATFORM),
    among=("usb-serial",),
)
