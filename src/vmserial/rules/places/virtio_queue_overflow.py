"""More virtio ports with clients than a controller brings through a guest's start."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import Port, RuleContext
from vmserial.context.repairs import stays_as_it_is
from vmserial.limits import VIRTIO_SERIAL_SAFE_PORTS
from vmserial.model import Finding, Severity
from vmserial.rules.base import COLLISION, PLACES, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports whose client the guest never hears of, or may never hear of."""
    maybe: dict[str, list[Port]] = {}
    for collision in ctx.occupancy.of("virtio-queue-overflow"):
        port = collision.port
        assert port is not None
        if not collision.surely:
            maybe.setdefault(collision.bus, []).append(port)
            continue
        yield RULE.of_port(
            port,
            f"more than {VIRTIO_SERIAL_SAFE_PORTS} ports with clients on {collision.bus}: while "
            "the guest's driver starts, QEMU loses the message that this port's client is there, "
            "and the guest's writer waits for ever",
            stays_as_it_is(port),
        )  # fmt: skip
    for bus, ports in maybe.items():
        yield RULE.finding(
            f"more than {VIRTIO_SERIAL_SAFE_PORTS} ports on {bus}: {len(ports)} of them are dead "
            "if all have a client on the host while the guest's driver starts (QEMU then loses "
            "the message that a client is there, and the guest's writer waits for ever); clients "
            "that attach later are heard", ports[0].option, tuple(port.name for port in ports),
            severity=Severity.NOTE,
        )  # fmt: skip


RULE = Rule("virtio-queue-overflow", Severity.DEAD, PLACES, check, needs=(COLLISION,))
