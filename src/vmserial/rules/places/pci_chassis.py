"""Root ports of one chassis and slot, and bridges without a chassis."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.limits import PCIE_CHASSIS
from vmserial.model import Finding, Severity
from vmserial.rules.base import PLACES, Rule
from vmserial.sources.command import DeviceEntry
from vmserial.sources.command.edits import SetKey
from vmserial.values import integer

_SLOTS = frozenset({"ioh3420", "pcie-root-port", "x3130-upstream", "xio3130-downstream"})
"""Devices with a slot of a chassis; QEMU refuses two at one (hw/pci/pcie_port.c)."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the bridges that QEMU refuses for their chassis."""
    if not ctx.complete:
        return
    taken: set[tuple[int, int]] = set()
    slotted = [device for device in ctx.made if device.driver in _SLOTS]
    used = {_number(device, "chassis") for device in slotted}
    free = iter(sorted(set(range(1, PCIE_CHASSIS)) - used))
    for device in ctx.made:
        if device.driver == "pci-bridge" and not _number(device, "chassis_nr"):
            # Of two bridges it takes the same one without a word, whatever it says (run).
            yield _numbered(
                device, "chassis_nr", 1, "Bridge chassis not specified. Each bridge is required "
                "to be assigned a unique chassis id > 0.",
            )  # fmt: skip
        if device.driver not in _SLOTS:
            continue
        place = _number(device, "chassis"), _number(device, "slot")
        if place not in taken:
            taken.add(place)
        elif (number := next(free, None)) is not None:
            yield _numbered(device, "chassis", number, "Can't add chassis slot, error -16")


def _number(device: DeviceEntry, key: str) -> int:
    return integer(device.get(key)) or 0


def _numbered(device: DeviceEntry, key: str, number: int, words: str) -> Finding:
    name = device.id or device.driver
    repair = EditOptions((SetKey(device.option, key, number),), f"{name}: {key}={number}")
    return RULE.finding(f"{device.option}: {words}", device.option, (), (repair,))


RULE = Rule("pci-chassis", Severity.FAILS, PLACES, check, among=(*_SLOTS, "pci-bridge"))
