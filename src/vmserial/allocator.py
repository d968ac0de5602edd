"""Places on a VM's buses, and who took them.

A :class:`Allocator` is the planner's scratch pad: it starts with what the machine
type and the rest of the configuration already take, and each device kind takes
its places from it.  All PCI devices that we add cold are packed as functions of
as few root-bus slots as possible: PVE leaves one slot free, and eight functions
of it carry 120 USB ports or as many virtio ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vmserial.limits import (
    PCI_FUNCTIONS,
    PCI_SLOTS,
    VIRTIO_CONTROL_MESSAGES,
    VIRTIO_SERIAL_CONTROLLERS,
    VIRTIO_SERIAL_SAFE_PORTS,
    XHCI_PORTS,
)
from vmserial.machines import Architecture, Platform
from vmserial.model import PCI_UARTS, Capabilities, Device, GuestProfile, Machine
from vmserial.options import scalar_text, split_params

_ADDRESS = re.compile(r"(?:0x)?([0-9a-fA-F]{1,2})(?:\.(?:0x)?([0-7]))?")


MMIO_SERIAL = "virtio-serial-device"
"""The controller of virtio ports that takes a transport of virtio-mmio."""


def is_on_mmio(driver: str) -> bool:
    """Tell whether a device takes a transport of virtio-mmio."""
    return driver.startswith("virtio-") and driver.endswith("-device")


@dataclass(frozen=True)
class PciPlace:
    """A slot and function on a PCI bus, and the bridges on the way to it (``1f.0/``)."""

    bus: str
    slot: int
    function: int
    behind: str = ""

    @property
    def address(self) -> str:
        """``1d.2``, as QEMU's ``addr=`` and sysfs write it."""
        return f"{self.slot:02x}.{self.function}"

    @property
    def path(self) -> str:
        """The slots and functions from the root bus on, ``1f.0/19.2``."""
        return self.behind + self.address


@dataclass
class _Pool:
    """A bus on which our devices are packed as functions of as few slots as possible."""

    bus: str
    slots: Sequence[int]
    taken: set[int]
    behind: str = ""
    functions: int = PCI_FUNCTIONS
    packing: tuple[int, int] | None = None

    def free(self) -> Iterator[int]:
        """Yield the slots that nothing uses, in the order in which they are given."""
        return (slot for slot in self.slots if slot not in self.taken)

    def own_slot(self) -> PciPlace | None:
        """Take a whole slot; None if the bus is full."""
        slot = next(self.free(), None)
        if slot is None:
            return None
        self.taken.add(slot)
        return PciPlace(self.bus, slot, 0, self.behind)

    def functions_left(self) -> int:
        """Return how many more functions :meth:`pack` can give."""
        left = self.functions - self.packing[1] if self.packing else 0
        return left + self.functions * sum(1 for _ in self.free())

    def pack(self) -> PciPlace | None:
        """Take the next function; None if the bus is full."""
        if self.packing is None or self.packing[1] == self.functions:
            slot = next(self.free(), None)
            if slot is None:
                return None
            self.packing = (slot, 0)
        slot, function = self.packing
        self.packing = (slot, function + 1)
        self.taken.add(slot)
        return PciPlace(self.bus, slot, function, self.behind)

    def next(self) -> tuple[int, int] | None:
        """Return the slot and the function that :meth:`pack` gives next; None if it is full."""
        if self.packing is not None and self.packing[1] < self.functions:
            return self.packing
        slot = next(self.free(), None)
        return None if slot is None else (slot, 0)

    def resume(self, place: PciPlace) -> None:
        """Go on packing behind a device that is already there."""
        self.taken.add(place.slot)
        if self.packing is None or (place.slot, place.function + 1) > self.packing:
            self.packing = (place.slot, place.function + 1)


@dataclass
class Controller:
    """A USB or virtio-serial controller of ours, and its free ports."""

    device: Device
    free: list[int]
    messages: int = 0
    """What is left of a virtio-serial's start-up messages."""


@dataclass
class Allocator:
    """What is taken and what is left; changed in place while one plan is made."""

    machine: Machine
    architecture: Architecture
    platform: Platform
    capabilities: Capabilities
    guest: GuestProfile
    taken: set[int] = field(default_factory=set)
    """Slots of the root bus of which a function is used."""
    devices: list[Device] = field(default_factory=list)
    uarts_left: int = 0
    uarts_used: int = 0
    uarts_of_args: int = 0
    """UARTs of the user's own ``-serial``: they come last, so they are those after ours."""
    isa_free: list[int] = field(default_factory=list)
    uarts_8250: int = 0
    pci_uarts: int = 0
    """Those of them that are behind PCI."""
    whole_cards: bool = False
    """A card comes only where the guest registers all of its UARTs."""
    packed_uarts: list[tuple[int, int, str]] = field(default_factory=list)
    """Slot, function and driver of the UARTs of ours that are packed."""
    live_of_cards: dict[str, int] = field(default_factory=dict)
    """How many UARTs of a card of ours the guest registers, by the card's id."""
    """8250 ports that the guest has to register, whatever bus they are on."""
    usb: list[Controller] = field(default_factory=list)
    virtio: list[Controller] = field(default_factory=list)
    hvc: int = 0
    ttyusb: int = 0
    root_ports: int = 0
    mmio_of_others: int = 0
    """virtio-mmio transports that devices of the user's own take."""
    ids: set[str] = field(default_factory=set)
    buses_of_args: list[str] = field(default_factory=list)
    """The buses that the user's own devices name."""
    isa_of_args: list[int | None] = field(default_factory=list)
    """The indexes of the user's own isa-serial devices; None where QEMU chooses it."""
    isa_of_serial: set[int] = field(default_factory=set)
    """The indexes of the user's own ``-serial``; QEMU makes them before any ``-device``."""
    isa_at: dict[str, int] = field(default_factory=dict)
    """The index of an isa-serial that its owner starts itself, by the port's name."""
    avoid: frozenset[str] = frozenset()
    """Kinds that no port gets unasked."""

    def __post_init__(self) -> None:
        machine = self.machine
        self.taken |= self.platform.board_slots
        slots = machine.free_slots or range(PCI_SLOTS - 1, -1, -1)
        root = self.platform.root_bus
        functions = PCI_FUNCTIONS if self.platform.multifunction else 1
        if not machine.free_bus:
            # From the top: QEMU and people give low slots to what they add by hand.
            self._pool = self._root = _Pool(root, slots, self.taken, functions=functions)
        else:
            self._pool = _Pool(machine.free_bus, slots, set(), machine.free_path)
            self._root = _Pool(root, machine.root_port_slots, self.taken)

    # -------------------------------------------------------------- PCI

    def take(self, slot: int, bus: str = "") -> None:
        """Mark a slot as used: of the root bus, or of the bus that our devices are on."""
        pool = self._pool if bus and bus == self._pool.bus else self._root
        pool.taken.add(slot)

    def is_free(self, slot: int) -> bool:
        """Tell whether nothing uses a slot of the root bus."""
        return slot not in self.taken

    @property
    def has_free_slot(self) -> bool:
        """Our bus has a slot that nothing uses."""
        return next(self._pool.free(), None) is not None

    def pci_functions_left(self, *, root_port: bool = False) -> int:
        """Return how many more functions :meth:`pack_device` or :meth:`root_port` can give."""
        return (self._root if root_port else self._pool).functions_left()

    def resume(self, place: PciPlace) -> None:
        """Go on packing behind a device of ours that is already there."""
        for pool in (self._pool, self._root):
            if pool.bus == place.bus:
                pool.resume(place)
                return

    def pack_device(
        self, driver: str, id: str, *properties: tuple[str, int | str | bool],
        root_port: bool = False,
    ) -> tuple[Device, PciPlace] | None:  # fmt: skip
        """Make a device on the next function; None if the bus is full."""
        place = (self._root if root_port else self._pool).pack()
        if place is None:
            return None
        if driver in PCI_UARTS:
            self.packed_uarts.append((place.slot, place.function, driver))
        address: list[tuple[str, int | str | bool]] = [("bus", place.bus), ("addr", place.address)]
        if not place.function and self.platform.multifunction:
            address.append(("multifunction", True))
        return Device(driver, id, (*address, *properties)), place

    def found_last(self) -> bool:
        """Tell whether Linux finds the UART that is packed next after all others on PCI."""
        place = self._pool.next()
        if place is None or self.pci_uarts > sum(PCI_UARTS[d] for *_, d in self.packed_uarts):
            return False
        return all((slot, function) < place for slot, function, _ in self.packed_uarts)

    def own_slot(self) -> PciPlace | None:
        """Take a whole slot (hot-plug on ``pc`` works by slot); None if the bus is full."""
        return self._pool.own_slot()

    def root_port(self) -> tuple[Device, PciPlace] | None:
        """Add a pcie-root-port: one hot-plug slot; None if there is no place for it."""
        number = self.root_ports
        # Chassis numbers must differ from those of a user's own root ports.
        made = self.pack_device(
            "pcie-root-port", f"vmserial-rp{number}", ("chassis", 100 + number), root_port=True
        )
        if made is not None:
            self.root_ports += 1
            self.devices.append(made[0])
        return made

    # -------------------------------------------------------------- controllers

    def usb_port(self) -> tuple[Controller, int] | None:
        """Take a port of an xhci of ours, adding one where all are full."""
        for controller in self.usb:
            if controller.free:
                return controller, controller.free.pop(0)
        number = len(self.usb)
        # No usb-serial is SuperSpeed: four USB 3 ports, as few as xhci lets us have.
        made = self.pack_device(
            "qemu-xhci", f"vmserial-xhci{number}", ("p2", XHCI_PORTS), ("p3", 1)
        )
        if made is None:
            return None
        controller = Controller(made[0], list(range(1, XHCI_PORTS + 1)))
        self.usb.append(controller)
        self.devices.append(made[0])
        return controller, controller.free.pop(0)

    def virtio_room(self, messages: int) -> Controller | None:
        """Return a virtio-serial of ours with room for a port that takes so many messages."""
        for controller in self.virtio:
            if controller.free and controller.messages >= messages:
                return controller
        return None

    def virtio_port(self, messages: int) -> tuple[Controller, int] | None:
        """Take a port number of a virtio-serial of ours, adding one where all are full."""
        controller = self.virtio_room(messages)
        if controller is None:
            controller = self.new_virtio(f"vmserial-virtio{len(self.virtio)}")
            if controller is None:
                return None
            self.virtio.append(controller)
        controller.messages -= messages
        return controller, controller.free.pop(0)

    def new_virtio(self, id: str) -> Controller | None:
        """Add a virtio-serial controller; None if there is no place for it."""
        driver, ports = self.platform.virtio_serial, VIRTIO_SERIAL_SAFE_PORTS
        if not (self.virtio_places_left() and self.virtio_controllers_left()):
            return None
        if driver == "virtio-serial-pci":
            made = self.pack_device(driver, id, ("max_ports", ports + 1))
            if made is None:
                return None
            device = made[0]
        else:
            # QEMU finds its place on the channel subsystem (ccw), or among the board's own.
            device = Device(driver, id, (("max_ports", ports + 1),))
        self.devices.append(device)
        return Controller(device, list(range(1, ports + 1)), VIRTIO_CONTROL_MESSAGES)

    def virtio_controllers_left(self) -> int:
        """Return how many controllers more the guest's kernel takes."""
        there = sum(device.driver.startswith("virtio-serial") for device in self.devices)
        return VIRTIO_SERIAL_CONTROLLERS - there

    def virtio_places_left(self) -> bool:
        """Tell whether the board has a place for another controller."""
        driver = self.platform.virtio_serial
        if driver == MMIO_SERIAL:
            ours = sum(device.driver == driver for device in self.devices)
            return ours + self.mmio_of_others < self.platform.virtio_mmio
        # A channel subsystem has more than any memory holds.
        return driver != "virtio-serial-pci" or bool(self.pci_functions_left())

    # -------------------------------------------------------------- what the user's args take

    def read_args(self) -> None:
        """Mark the places and ids that the user's own ``args`` take."""
        words = self.machine.args
        serials = 0
        for flag, value in pairwise(words):
            # QEMU takes --device, too.
            flag = "-" + flag.lstrip("-") if flag.startswith("--") else flag
            if flag == "-serial":
                serials = self._serial_of_args(value, serials)
            if flag not in {"-device", "-chardev", "-object", "-netdev", "-blockdev", "-drive"}:
                continue
            head, params = _params(value)
            if params.get("id"):
                self.ids.add(f"{flag} {params['id']}")
            if flag != "-device":
                continue
            driver = head or params.get("driver", "")
            self.buses_of_args.append(params.get("bus", ""))
            self.mmio_of_others += is_on_mmio(driver)
            if driver == "isa-serial":
                index = params.get("index", "")
                self._isa_of_args(int(index) if re.fullmatch("[0-3]", index) else None)
            self.uarts_8250 += PCI_UARTS.get(driver, 0)
            self.pci_uarts += PCI_UARTS.get(driver, 0)
            place = _ADDRESS.fullmatch(params.get("addr", ""))
            bus = params.get("bus", self.platform.root_bus)
            if place and bus in {self.platform.root_bus, self._pool.bus}:
                self.take(int(place.group(1), 16), bus)

    def _serial_of_args(self, value: str, number: int) -> int:
        """Take what the user's own ``-serial`` takes; return the next one's number."""
        if value == "none":
            # Old versions take it for nothing (run on 5.2), later ones leave a gap (7.2.22, 10.0).
            return number + (self.capabilities.version >= (7, 0, 0))
        if self.platform.isa:
            # Made with the board, so before ours: the n-th is COM n.
            if number in self.isa_free:
                self.isa_free.remove(number)
            self.isa_of_serial.add(number)
            self.uarts_8250 += 1
        elif self.uarts_left:
            self.uarts_left -= 1
            self.uarts_of_args += 1
        return number + 1

    def _isa_of_args(self, index: int | None) -> None:
        """Take what an isa-serial of the user's takes."""
        self.isa_of_args.append(index)
        self.uarts_8250 += 1
        if index in self.isa_free:
            self.isa_free.remove(index)
        elif index is None and self.isa_free:
            # Its index will be the number of those before it: ours are packed from below.
            self.isa_free.pop()


def _params(value: str) -> tuple[str, dict[str, str]]:
    """Read an option's value in either of QEMU's forms: ``driver,key=value`` or JSON."""
    if not value.startswith("{"):
        head, pairs = split_params(value)
        return head, dict(pairs)
    import json  # few write it so

    try:
        data = json.loads(value)
    except (ValueError, RecursionError):
        return "", {}
    return "", {key: scalar_text(v) for key, v in data.items() if isinstance(v, str | int)}
