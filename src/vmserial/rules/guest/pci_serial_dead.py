"""UARTs on the PCI of a board where no guest gets a tty of them."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext
from vmserial.model import PCI_UARTS, Finding, Severity
from vmserial.rules.base import KINDS, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports of such cards."""
    assert ctx.platform is not None
    if not ctx.platform.dead_pci_uarts:
        return
    for port in ctx.staying:
        if port.driver in PCI_UARTS:
            yield RULE.of_port(
                port, f"the guest has no node for it: {ctx.platform.dead_pci_uarts}",
                Relocate(port),
            )  # fmt: skip


RULE = Rule("pci-serial-dead", Severity.DEAD, KINDS, check, needs=(PLATFORM,), among=PCI_UARTS)
