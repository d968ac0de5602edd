"""A virtio-serial-device on a board without virtio-mmio."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, Rule
from vmserial.sources.command.edits import SetKey

_DRIVER = "virtio-serial-device"
_WITHOUT = frozenset({"i386", "loongarch64", "ppc", "ppc64", "s390x", "x86_64"})
"""Architectures whose boards have no virtio-mmio; microvm alone has it."""

_BOARDS = ("raspi", "sifive")
"""How the names of such boards of other architectures begin."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the controllers that find no bus."""
    if ctx.board.startswith("microvm"):
        return
    if ctx.arch not in _WITHOUT and not ctx.board.startswith(_BOARDS):
        return
    for device in ctx.made:
        if device.driver != _DRIVER or device.bus:
            continue
        has = ctx.platform is not None and ctx.platform.virtio_serial
        repairs: tuple[EditOptions, ...] = ()
        if has and has != _DRIVER:
            text = f"{device.id or _DRIVER}: {_DRIVER} -> {has}"
            repairs = (EditOptions((SetKey(device.option, "driver", has),), text),)
        yield RULE.finding(
            f"{device.option}: No 'virtio-bus' bus found for device '{_DRIVER}'", device.option,
            (), repairs,
        )  # fmt: skip


RULE = Rule("virtio-bus-missing", Severity.FAILS, PLACES, check)
