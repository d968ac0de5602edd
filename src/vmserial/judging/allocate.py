"""The board of a command line: which places stay taken while ports are moved."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import count

from vmserial.allocator import Allocator, Controller, is_on_mmio
from vmserial.allocator import PciPlace as BoardPlace
from vmserial.context import Port, RuleContext, takes_hvc
from vmserial.context.buses import found_by_themselves
from vmserial.context.occupancy import MESSAGES
from vmserial.free_places import PVE_BRIDGE, on_pve
from vmserial.limits import (
    ISA_SERIAL_PORTS,
    PCI_SLOTS,
    VIRTIO_CONTROL_MESSAGES,
    VIRTIO_SERIAL_SAFE_PORTS,
    XHCI_PORTS,
)
from vmserial.model import PCI_UARTS, Device, Machine
from vmserial.sources.command import DeviceEntry
from vmserial.values import integer

UNSEEN_FREE_SLOTS = tuple(range(0x19, 0x13, -1))
"""Root-bus slots that hardly any -readconfig file uses, for one that was not read.

PVE's for q35 has USB controllers at 0x1a and 0x1d, root ports at 0x10 and 0x1c, a
bridge at 0x1e; QEMU's own examples begin at the lowest slots.
"""

_OURS = re.compile(r"vmserial-(xhci|virtio|rp)([0-9]+)\Z")


def allocator_of(ctx: RuleContext, moving: Set[Port]) -> Allocator:
    """Return the board with all that stays where it is."""
    assert ctx.platform is not None
    assert ctx.architecture is not None
    machine = Machine(ctx.arch, (), machine_type=ctx.machine_type)
    if ctx.is_pve and _has_pves_bridge(ctx):
        machine = on_pve(machine, ctx.platform.name)
    elif not ctx.complete:
        machine = replace(machine, free_slots=UNSEEN_FREE_SLOTS)
    allocator = Allocator(machine, ctx.architecture, ctx.platform, ctx.capabilities, ctx.guest)
    allocator.avoid = ctx.policy.avoid
    staying = [port for port in ctx.ports if port not in moving]
    allocator.isa_free = list(range(ISA_SERIAL_PORTS)) if ctx.platform.isa else []
    moved_options = {id(port.option) for port in moving}
    for device in ctx.view.devices:
        place = device.pci
        if place and id(device.option) not in moved_options:
            if device.bus in ctx.root_buses:
                allocator.take(place.slot)
            elif device.bus == machine.free_bus:
                allocator.take(place.slot, device.bus)
    _automatic(ctx, allocator, moved_options)
    _ours(ctx, allocator, moved_options)
    # "-serial none" takes a UART's place too.
    gone = {id(port.option) for port in moving}
    onboard = sum(id(port.option) not in gone for port in ctx.view.onboard)
    if ctx.platform.isa:
        _isa(ctx, allocator, staying)
    else:
        allocator.uarts_left = max(ctx.uarts - onboard, 0)
        allocator.uarts_used = onboard
        if ctx.platform.uart is not None and ctx.platform.uart.is_8250:
            allocator.uarts_8250 += ctx.uarts
    cards = {id(p.option): PCI_UARTS[p.driver] for p in staying if p.driver in PCI_UARTS}
    allocator.uarts_8250 += sum(cards.values())
    # A repair brings no card of which a part would be dead.
    allocator.whole_cards = True
    allocator.ttyusb = sum(port.driver == "usb-serial" for port in staying)
    allocator.hvc = sum(takes_hvc(port, ctx.platform) for port in staying)
    return allocator


def _has_pves_bridge(ctx: RuleContext) -> bool:
    """Tell whether PVE's bridge is there: a device, or in the file of -readconfig on q35."""
    return not ctx.complete or any(device.id == PVE_BRIDGE for device in ctx.view.devices)


def _isa(ctx: RuleContext, allocator: Allocator, staying: Sequence[Port]) -> None:
    assert ctx.platform is not None
    made, by_serial = 0, ctx.platform.isa_serials
    if ctx.view.default_serial is not None and by_serial:
        allocator.isa_free.remove(0)
        made = 1
    for port in staying:
        if port.driver != "isa-serial" and (
            port.onboard is None or port.onboard.index >= by_serial
        ):
            continue
        place = port.device.device.isa if port.device else None
        index = place.index if place else port.onboard.index if port.onboard else None
        index = made if index is None else index
        if index in allocator.isa_free:
            allocator.isa_free.remove(index)
        made += 1
    allocator.uarts_8250 += made


def _automatic(ctx: RuleContext, allocator: Allocator, moved: set[int]) -> None:
    """Take the slots that QEMU gives to devices that name none: from the lowest on."""
    count = sum(
        ctx.is_pci(device) and device.pci is None and device.bus in ctx.root_buses
        and id(device.option) not in moved
        for device in ctx.view.devices
    )  # fmt: skip
    if not ctx.view.nodefaults:
        count += 2  # a network card and a graphics card
    for slot in range(1, PCI_SLOTS):
        if count and allocator.is_free(slot):
            allocator.take(slot)
            count -= 1


def _ours(ctx: RuleContext, allocator: Allocator, moved: set[int]) -> None:
    """Take over the controllers that an earlier mending added, with what is free on them."""
    found = found_by_themselves(ctx)
    slots: set[tuple[str, int]] = set()
    for device in ctx.view.devices:
        match = _OURS.match(device.id)
        if match is None:
            allocator.mmio_of_others += is_on_mmio(device.driver)
            continue
        if device.pci is None and device.driver.endswith("-pci"):
            continue
        made = Device(device.driver, device.id)
        allocator.devices.append(made)
        if device.pci is not None:
            bus = device.bus or allocator.platform.root_bus
            allocator.resume(BoardPlace(bus, device.pci.slot, device.pci.function))
            slots.add((bus, device.pci.slot))
        users = [
            d for d in ctx.made
            if found.get(id(d.option), d.bus) == f"{device.id}.0" and id(d.option) not in moved
        ]  # fmt: skip
        if match.group(1) == "xhci":
            used = _numbers(users, "port")
            free = [port for port in range(1, XHCI_PORTS + 1) if port not in used]
            allocator.usb.append(Controller(made, free))
        elif match.group(1) == "virtio":
            allocator.virtio.append(_virtio(made, users))
        else:
            allocator.root_ports = max(allocator.root_ports, int(match.group(2)) + 1)
    for device in ctx.view.devices if slots else ():
        # Ports have functions behind a controller's, and are not packed over.
        place, bus = device.pci, device.bus or allocator.platform.root_bus
        if place is not None and (bus, place.slot) in slots and id(device.option) not in moved:
            allocator.resume(BoardPlace(bus, place.slot, place.function))


def _numbers(users: Sequence[DeviceEntry], key: str) -> set[int | None]:
    """Return the numbers that devices have on a bus; one that says none gets the lowest."""
    used: set[int | None] = set()
    for user in users:
        said = user.get(key)
        used.add(integer(said) if said else next(n for n in count(1) if n not in used))
    return used


def _virtio(made: Device, users: Sequence[DeviceEntry]) -> Controller:
    used = _numbers(users, "nr")
    spent = sum(MESSAGES.get(user.driver, 2) for user in users)
    free = [nr for nr in range(1, VIRTIO_SERIAL_SAFE_PORTS + 1) if nr not in used]
    return Controller(made, free, VIRTIO_CONTROL_MESSAGES - spent)
