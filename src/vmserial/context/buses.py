"""USB and virtio-serial buses of a command line, and which one QEMU takes without bus=. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmserial.context.ports import Port
from vmserial.limits import (
    EHCI_PORTS,
    OHCI_PORTS,
    UHCI_PORTS,
    USB_HUB_PORTS,
    XHCI_DEFAULT_PORTS,
    XHCI_PORTS,
)
from vmserial.sources.command import DeviceEntry
from vmserial.values import integer, is_on

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext

_LEGACY_USB = frozenset({"usb", "usbdevice"})


@dataclass
class Bus:
    """A bus of a controller: its name, its kind, the places taken on it.

    Of virtio-serial also what a starting guest is told of its ports: at least, and at most.
    """

    name: str
    kind: str
    ports: int
    taken: dict[str, str] = field(default_factory=dict)
    messages: int = 0
    path: tuple[int, ...] = (-1,)
    """When its controller, and before that each bridge on the way to it, was made."""
    most: int = 0
    fast: int = 0
    """Ports of USB 3 after the others: none for a full-speed device."""
    hubs: dict[str, int] = field(default_factory=dict)
    """How many ports the hub at a port has."""

    def automatic(self, *, hub: bool = False) -> str:
        """Return the USB port that QEMU gives to a device that names none; empty: all are taken.

        The one that was made first.  On the last free one QEMU first puts a hub, unless the
        device is one (hw/usb/bus.c, ``usb_claim_port()``; run).

        Args:
            hub: the device is one.
        """
        places = [str(number) for number in range(1, self.ports + self.fast + 1)]
        places += [f"{hub}.{n}" for hub, ports in self.hubs.items() for n in range(1, ports + 1)]
        free = [place for place in places if place not in self.taken]
        if len(free) == 1 and not hub:
            self.taken[free[0]] = "usb-hub"
            self.hubs[free[0]] = USB_HUB_PORTS
            free = [f"{free[0]}.{number}" for number in range(1, USB_HUB_PORTS + 1)]
        return free[0] if free else ""


class Buses:
    """The buses that are there while QEMU makes one device after the other."""

    def __init__(self, ctx: RuleContext) -> None:
        self.usb = _usb_of_board(ctx)
        self.virtio: list[Bus] = []
        self._made = 0
        self._bridges: dict[str, tuple[int, ...]] = {}
        self._named = {bus.name: bus for bus in self.usb}

    def usb_of(self, device: DeviceEntry) -> Bus | None:
        """Return the bus that a USB device sits on."""
        return self._found(self.usb, device.bus)

    def virtio_of(self, device: DeviceEntry) -> Bus | None:
        """Return the bus that a virtio port sits on."""
        return self._found(self.virtio, device.bus)

    def _found(self, buses: list[Bus], name: str) -> Bus | None:
        """Return the bus of that name; where none is named, the one that QEMU finds first.

        QEMU looks at the devices of a bus from the last one made to the first, and behind each
        bridge as it comes to it (hw/core/qdev.c puts children at the head; run): a controller
        behind an old bridge comes after a newer one beside that bridge.
        """
        if not name:
            return max(buses, key=lambda bus: bus.path, default=None)
        bus = self._named.get(name)
        # One of the other sort can have the name, too.
        if bus is None or (bus.kind == "virtio") == (buses is self.virtio):
            return bus
        return next((bus for bus in buses if bus.name == name), None)

    def add(self, device: DeviceEntry) -> None:
        """Add the USB or virtio-serial bus that a device makes."""
        made = self._made
        self._made += 1
        if not device.sort.makes_bus:
            return
        path = (*self._bridges.get(device.bus, ()), made)
        if device.is_bridge and device.id:
            # Of some kinds the bus is called as the bridge, of others "ID.0".
            self._bridges[device.id] = self._bridges[f"{device.id}.0"] = path
        if device.is_usb_controller:
            self._add_usb(device, path)
        if device.is_virtio_serial:
            # "-device virtio-serial-pci" without an id: its bus has QEMU's own name.
            name = f"{device.id}.0" if device.id else f"virtio-serial-bus.{_unnamed(self.virtio)}"
            bus = Bus(name, "virtio", device.max_ports, path=path)
            self.virtio.append(bus)
            self._named.setdefault(name, bus)

    def _add_usb(self, device: DeviceEntry, path: tuple[int, ...]) -> None:
        """Add a controller's bus, or join a companion to its own."""
        driver = device.driver
        if device.get("masterbus"):
            # A companion controller: its ports are those of the bus that it joins.
            for bus in self.usb:
                if bus.name == device.get("masterbus"):
                    bus.kind = "companion"
            return
        fast = 0
        if "xhci" in driver:
            kind, ports = "xhci", _xhci_ports(device, "p2")
            # Both kinds count from 1: a number is a port of USB 2 and of USB 3 (run with 7.2).
            fast = max(_xhci_ports(device, "p3") - ports, 0)
        elif "ehci" in driver:
            kind, ports = "ehci", EHCI_PORTS
        elif "ohci" in driver:
            kind, ports = "ohci", integer(device.get("num-ports")) or OHCI_PORTS
        else:
            kind, ports = "uhci", UHCI_PORTS
        name = f"{device.id}.0" if device.id else f"usb-bus.{_unnamed(self.usb)}"
        bus = Bus(name, kind, ports, path=path, fast=fast)
        self.usb.append(bus)
        self._named.setdefault(name, bus)


def _xhci_ports(device: DeviceEntry, key: str) -> int:
    """Return how many ports of a speed an xhci has; more than it can have are cut silently."""
    said = integer(device.get(key))
    return XHCI_DEFAULT_PORTS if said is None else min(said, XHCI_PORTS)


def _usb_of_board(ctx: RuleContext) -> list[Bus]:
    """Return the USB buses that the machine makes itself (``-usb``, ``usb=on``)."""
    if ctx.platform is None:
        return []
    names = {option.name for option in ctx.view.options}
    asked = bool(names & _LEGACY_USB) or is_on(ctx.view.machine.get("usb"))
    if ctx.platform.name == "pseries":
        return _usb_of_pseries(ctx, asked)
    if ctx.platform.usb_ports:
        return [Bus("usb-bus.0", "xhci", ctx.platform.usb_ports)]
    kind = {"pc": "uhci", "q35": "companion"}.get(ctx.platform.name)
    if kind is None or not asked:
        return []
    return [Bus("usb-bus.0", kind, EHCI_PORTS if kind == "companion" else UHCI_PORTS)]


def _usb_of_pseries(ctx: RuleContext, asked: bool) -> list[Bus]:
    """Return its xhci: with a screen it is there unasked, with a keyboard and a mouse on it.

    hw/ppc/spapr.c; run with 7.2.
    """
    vga = [option.value for option in ctx.view.options if option.name == "vga"]
    screen = vga[-1] != "none" if vga else not ctx.view.nodefaults
    unasked = screen and not ctx.view.nodefaults and not ctx.view.machine.get("usb")
    if not asked and not unasked:
        return []
    taken = {"1": "usb-kbd", "2": "usb-mouse"} if screen else {}
    return [Bus("usb-bus.0", "xhci", XHCI_DEFAULT_PORTS, taken)]


def _unnamed(buses: list[Bus]) -> int:
    """Return how many buses QEMU has numbered: those of controllers without an id."""
    return sum(bus.name.startswith(("usb-bus.", "virtio-serial-bus.")) for bus in buses)


def found_by_themselves(ctx: RuleContext) -> Mapping[int, str]:
    """Return the buses that QEMU gives to devices that name none, by their options."""
    found: dict[int, str] = {}
    if ctx.platform is None:
        return found
    buses = Buses(ctx)
    for device in ctx.made:
        if not device.bus and (device.is_usb or device.virtio_port is not None):
            bus = buses.usb_of(device) if device.is_usb else buses.virtio_of(device)
            if bus is not None:
                found[id(device.option)] = bus.name
        buses.add(device)
    return found


def one_finds_its_own(ctx: RuleContext, moving: Set[Port]) -> bool:
    """Tell whether what stays gets its bus or its ISA index by what was made before it."""
    moved = {id(port.option) for port in moving}
    isa = ctx.platform is not None and ctx.platform.isa
    if isa and any(
        device.driver == "isa-serial" and device.isa and device.isa.index is None
        and id(device.option) not in moved
        for device in ctx.view.devices
    ):  # fmt: skip
        # QEMU counts: one of ours before it would give it another index.
        return True
    return any(
        (device.is_usb or device.virtio_port is not None)
        and not device.bus and not device.option.params.is_json
        and id(device.option) not in moved
        for device in ctx.view.devices
    )  # fmt: skip
