"""Virtconsoles, and ports of pseries, past the hvc nodes that Linux has."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Relocate, RuleContext, takes_hvc
from vmserial.limits import HVC_NODES
from vmserial.model import Finding, Severity
from vmserial.rules.base import CONSOLES, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the consoles that get no node."""
    takers = [port for port in ctx.staying if takes_hvc(port, ctx.platform)]
    # The kernel gives pseries' own their lines before any virtio driver is there.
    takers.sort(key=lambda port: port.driver == "virtconsole")
    over = takers[HVC_NODES:]
    # Some have no place on their controller either: there QEMU ends.
    past = {c.port: c for c in ctx.occupancy.of("virtio-port-range")} if over else {}
    for port in over:
        if port.driver != "virtconsole":
            yield RULE.of_port(
                port, f"Linux has {HVC_NODES} hvc nodes and all are taken: QEMU makes this "
                "spapr-vty, and the guest has no node for it", Relocate(port),
            )  # fmt: skip
            continue
        collision = past.get(port)
        yield RULE.of_port(
            port, f"Linux has {HVC_NODES} hvc nodes and all are taken: this console has none"
            if collision is None else "virtio-serial-bus: Out-of-range port id specified, max. "
            f"allowed: {collision.limit - 1}; Linux has {HVC_NODES} hvc nodes, too",
            Relocate(port, kind="virtio"), severity=Severity.FAILS if collision else None,
        )  # fmt: skip


RULE = Rule(
    "hvc-limit",
    Severity.DEAD,
    CONSOLES,
    check,
    needs=(PLATFORM,),
    among=("virtconsole", "spapr-vty", "serial"),
)
