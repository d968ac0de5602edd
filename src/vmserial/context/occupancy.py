"""Who sits where: the devices as QEMU makes them, and those that find their place taken.  Pure.

A device that collides does not take the place: QEMU would end there, and a repaired port
is somewhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vmserial.context.buses import Bus, Buses
from vmserial.context.hostends import client_at_start
from vmserial.context.ports import Port
from vmserial.devices import virtio_serial
from vmserial.limits import PCI_SLOTS, USB_HUB_PORTS, VIRTIO_CONTROL_MESSAGES
from vmserial.records import record
from vmserial.sources.command import DeviceEntry, PciPlace
from vmserial.values import integer, is_on

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext

MESSAGES: Mapping[str, int] = {kind.driver: kind.messages for kind in virtio_serial.KINDS}
"""What a starting virtio-serial controller answers for one port, by the port's device."""

_USB_PORT = re.compile(r"[1-9][0-9]{0,2}\Z")


@record(frozen=True)
class Collision:
    """A device that does not get the place that it asks for.

    Attributes:
        kind: the id of the rule whose matter it is.
        device: the device.
        port: the port that it is; None: it is none.
        bus: the name of the bus.
        place: the place on it: a USB port, a virtio port's number or name.
        limit: how many places the bus has.
        slot: of PCI.
        function: of PCI.
        other: the device that is there; None: the board itself.
        surely: it does not depend on who is attached on the host.
        speed: of a USB port that is too fast.
        board: the board itself, or a card that QEMU adds, is there.
    """

    kind: str
    device: DeviceEntry
    port: Port | None
    bus: str = ""
    place: str = ""
    limit: int = 0
    slot: int = 0
    function: int = 0
    other: DeviceEntry | None = None
    surely: bool = True
    speed: str = ""
    board: bool = False


class Occupancy:
    """The places of one command line.

    Attributes:
        buses: of USB and virtio-serial.
        pci: the devices by function, by bus and slot.
        on_usb: the usb-serial ports that have a place.
        default_slots: of the network and graphics card that QEMU adds by itself.
    """

    def __init__(self, ctx: RuleContext) -> None:
        assert ctx.platform is not None
        self._ctx = ctx
        self._platform = ctx.platform
        self._found: dict[str, list[Collision]] = {}
        self._names: set[str] = set()
        self._pci_buses = set(ctx.root_buses)
        self.buses = Buses(ctx)
        self.pci: dict[tuple[str, int], dict[int, DeviceEntry]] = {}
        self.on_usb: list[Port] = []
        self.default_slots = _default_slots(ctx)
        self.port_of = {id(port.option): port for port in ctx.staying if port.device}
        self._gone = {id(port.option) for port in ctx.leaving}
        for device in ctx.made:
            self._make(device)
        self._unseen()

    def of(self, kind: str) -> list[Collision]:
        """Return the collisions that are the matter of one rule."""
        return self._found.get(kind, [])

    def _collide(self, kind: str, device: DeviceEntry, port: Port | None, **more: object) -> None:
        self._found.setdefault(kind, []).append(
            Collision(kind, device, port, **more)  # type: ignore[arg-type]
        )

    def _make(self, device: DeviceEntry) -> None:
        port = self.port_of.get(id(device.option))
        if port is None and id(device.option) in self._gone:
            return
        self.buses.add(device)
        if device.sort.bridge and device.id:
            self._pci_buses.add(device.id)
        if self._ctx.is_pci(device):
            self._pci_device(device, port)
        if port is None:
            self._other(device)
        elif device.driver == "usb-serial":
            self._usb_port(device, port)
        elif device.sort.virtio_port:
            self._virtio_port(device, port)

    def _other(self, device: DeviceEntry) -> None:
        """Give a device that is no port its place; whether it fits is not our matter."""
        if device.sort.usb:
            if bus := self.buses.usb_of(device):
                hub = device.driver == "usb-hub"
                place = device.get("port") or bus.automatic(hub=hub)
                bus.taken[place] = device.driver
                if hub:
                    bus.hubs[place] = integer(device.get("ports")) or USB_HUB_PORTS
            elif self._nowhere(device.bus):
                self._collide("bus-missing", device, None, bus=device.bus)
        if device.sort.virtio_port and (bus := self.buses.virtio_of(device)):
            self._take_virtio(device, None, bus, device.id or device.driver)

    # -------------------------------------------------------------- USB

    def _usb_port(self, device: DeviceEntry, port: Port) -> None:
        bus = self.buses.usb_of(device)
        if bus is None:
            if self._ctx.complete:
                kind = "bus-missing" if device.bus else "usb-no-bus"
                self._collide(kind, device, port, bus=device.bus)
            return
        if bus.kind == "ehci":
            self._collide("usb-speed", device, port, bus=bus.name, place=str(len(bus.taken) + 1),
                          speed="high")  # fmt: skip
            return
        place = device.get("port") or bus.automatic()
        hub, _, number = place.rpartition(".")
        # A port is text to QEMU: "01" and "0x1" are none.
        last = int(number) if _USB_PORT.match(number) else 0
        ports = bus.hubs.get(hub, 0) if hub else bus.ports
        if not hub and ports < last <= ports + bus.fast:
            self._collide("usb-speed", device, port, bus=bus.name, place=place,
                          speed="super")  # fmt: skip
            return
        if place in bus.taken or not 1 <= last <= ports:
            self._collide("usb-port-taken", device, port, bus=bus.name, place=place)
            return
        bus.taken[place] = port.name
        self.on_usb.append(port)

    # -------------------------------------------------------------- virtio-serial

    def _virtio_port(self, device: DeviceEntry, port: Port) -> None:
        name = device.get("name")
        if name and name in self._names:
            self._collide("virtio-port-taken", device, port, place=name)
        self._names.add(name)
        bus = self.buses.virtio_of(device)
        if bus is None:
            if self._ctx.complete:
                kind = "bus-missing" if device.bus else "virtio-no-bus"
                self._collide(kind, device, port, bus=device.bus)
            return
        if not self._take_virtio(device, port, bus, port.name):
            return
        self._announce(device, port, bus)

    def _announce(self, device: DeviceEntry, port: Port, bus: Bus) -> None:
        """Count what a starting guest is told of a port: that it is a console, name, client."""
        console = device.driver == "virtconsole"
        entry = self._ctx.chardevs.get(port.chardev_id)
        # virtio-console.c: a console always counts as one with a client.
        client = (
            True if console else client_at_start(entry.backend, entry.params) if entry else None
        )
        told = console + bool(device.get("name"))
        bus.messages += told + (client is True)
        bus.most += told + (client is not False)
        if port.channel or bus.most <= VIRTIO_CONTROL_MESSAGES:
            return
        surely = bus.messages > VIRTIO_CONTROL_MESSAGES
        if surely:
            # It moves away.
            bus.messages -= told + (client is True)
            bus.most -= told + (client is not False)
        self._collide("virtio-queue-overflow", device, port, bus=bus.name, surely=surely)

    def _take_virtio(self, device: DeviceEntry, port: Port | None, bus: Bus, name: str) -> bool:
        """Take a number on a virtio-serial bus; False if it cannot be had."""
        nr = integer(device.get("nr"))
        console = device.driver == "virtconsole"
        kind = ""
        if nr is None:
            # virtio-serial-bus.c virtser_port_device_realize(): 0 is for the first console.
            first = 0 if console else 1
            free = (n for n in range(first, bus.ports + 1) if str(n) not in bus.taken)
            nr = next(free, bus.ports)
        elif nr == 0 and not console:
            kind = "virtio-port-zero"
        elif str(nr) in bus.taken:
            kind = "virtio-port-taken"
        if not kind and nr >= bus.ports:
            kind = "virtio-port-range"
        if not kind:
            bus.taken[str(nr)] = name
        elif port is not None:
            self._collide(kind, device, port, bus=bus.name, place=str(nr), limit=bus.ports)
        return not kind

    # -------------------------------------------------------------- PCI

    def _pci_device(self, device: DeviceEntry, port: Port | None) -> None:
        ours = port is not None or self._ctx.carries(device)
        if device.bus not in self._pci_buses:
            missing = ours and self._ctx.complete and not self._bridge(device.bus)
            if missing or self._nowhere(device.bus):
                self._collide("bus-missing", device, port, bus=device.bus)
            return
        root = device.bus in self._ctx.root_buses
        bus = self._platform.root_bus if root else device.bus
        place = device.pci
        if place is not None:
            self._take_pci(device, port, bus, place)
        elif root and "addresses" not in self._ctx.gaps:
            self.pci[bus, self._automatic()] = {0: device}

    def _bridge(self, bus: str) -> bool:
        """Tell whether any bridge makes a bus; "ID.0" is that of some kinds of bridges."""
        if bus in self._ctx.bridge_ids:
            return True
        return bus.endswith(".0") and bus[:-2] in self._ctx.any_ids

    def _nowhere(self, bus: str) -> bool:
        """Tell whether a bus is surely not there, of a kind that nobody keeps account of.

        A bus is called as its device or "ID.N"; where a device has no id, QEMU numbers its buses.
        """
        if not bus or not self._ctx.complete or bus.startswith("usb-bus."):
            return False
        if "" in self._ctx.bridge_ids and bus.startswith("pci"):
            return False
        return not self._ctx.any_ids.intersection({bus, bus.rpartition(".")[0] or bus})

    def _take_pci(self, device: DeviceEntry, port: Port | None, bus: str, place: PciPlace) -> None:
        root = bus == self._platform.root_bus
        number, function = place.slot, place.function
        slot = self.pci.setdefault((bus, number), {})
        other = slot.get(function)
        kind = self._of_the_board(number, function) if root else ""
        if kind or other is not None:
            self._collide(kind or "pci-slot-taken", device, port, bus=bus, slot=number,
                          function=function, other=None if kind else other,
                          board=bool(kind))  # fmt: skip
            return
        first = slot.get(0)
        if function and first is not None and not is_on(first.get("multifunction")):
            self._collide("pci-function", device, port, bus=bus, slot=number, function=function,
                          other=first)  # fmt: skip
        if not function and slot and not place.multifunction:
            self._collide("pci-function", device, port, bus=bus, slot=number,
                          place=str(min(slot)))  # fmt: skip
        slot[function] = device

    def _of_the_board(self, slot: int, function: int) -> str:
        """Return the rule of what the board, or a card of QEMU's own, has there; or nothing."""
        platform = self._platform
        if slot in platform.unwired_slots:
            return "pci-slot-unwired"
        if slot not in platform.board_slots | self.default_slots:
            return ""
        if function in platform.shared_slots.get(slot, (0,)):
            return "pci-slot-taken"
        return "" if slot in platform.shared_slots else "pci-function"

    def _automatic(self) -> int:
        """Return the slot that QEMU gives to a device that names none: the lowest free one."""
        taken = {slot for bus, slot in self.pci if bus == self._platform.root_bus}
        taken |= self._platform.board_slots | self.default_slots
        return next((slot for slot in range(PCI_SLOTS) if slot not in taken), PCI_SLOTS)

    def _unseen(self) -> None:
        """Find the functions of a slot that has no function 0: no system looks at them."""
        for (_, slot), functions in self.pci.items():
            # Of the board's own slots, and of a file that nobody read, function 0 is not seen here.
            board = slot in self._platform.board_slots | self.default_slots
            if 0 in functions or board or not self._ctx.complete:
                continue
            for function, device in sorted(functions.items()):
                port = self.port_of.get(id(device.option))
                if port is not None or self._ctx.carries(device):
                    self._collide("pci-function", device, port, slot=slot, function=function)
                    break


def _default_slots(ctx: RuleContext) -> frozenset[int]:
    names = {option.name for option in ctx.view.options}
    if ctx.view.nodefaults or names & {"nic", "net", "netdev", "vga"}:
        return frozenset()
    assert ctx.platform is not None
    return ctx.platform.default_slots
