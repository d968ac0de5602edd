"""A port that must be hot-pluggable, and cannot be."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.model import VIRTIO_PORTS, Finding, Severity
from vmserial.rules.base import HOT_PLUG, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that cannot be unplugged while the VM runs, where that was asked for."""
    assert ctx.platform is not None
    for port in ctx.staying if ctx.policy.hotplug else ():
        if port.channel or port is ctx.console:
            continue
        bus = port.device.device.bus if port.device else ""
        pci = port.driver.startswith("pci-serial")
        if pci and (not ctx.platform.pcie or bus not in ctx.root_buses):
            continue
        if port.driver == "usb-serial" or port.driver in VIRTIO_PORTS:
            continue
        error = (
            f"Bus '{ctx.platform.root_bus}' does not support hotplugging" if pci
            else f"Device '{port.driver}' does not support hotplugging" if port.driver
            else "an on-board UART is part of the board"
        )  # fmt: skip
        yield RULE.of_port(
            port, f"device_del is refused: {error}", Relocate(port, kind="pci" if pci else "")
        )


RULE = Rule("not-hot-pluggable", Severity.FAILS, HOT_PLUG, check, needs=(PLATFORM,))
