"""Places on a VM's buses, and who took them.

A :class:`Board` is the planner's scratch pad: it starts with what the machine
type and the rest of the configuration already take, and each device kind takes
its places from it.  All PCI devices that we add cold are packed as functions of
as few root-bus slots as possible: PVE leaves one slot free, and eight functions
of it carry 120 USB ports or as many virtio ports.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vmserial.limits import (
    PCI_FUNCTIONS,
    PCI_SLOTS,
    VIRTIO_CONTROL_MESSAGES,
    VIRTIO_SERIAL_SAFE_PORTS,
    XHCI_PORTS,
)
from vmserial.machines import Architecture, Platform
from vmserial.model import PCI_UARTS, Capabilities, Device, GuestProfile, Machine
from vmserial.options import scalar_text, split_params

_ADDRESS = re.compile(r"(?:0x)?([0-9a-fA-F]{1,2})(?:\.(?:0x)?([0-7]))?")


@dataclass(frozen=True)
class PciPlace:
    """A slot and function on a PCI bus."""

    bus: str
    slot: int
    function: int

    @property
    def address(self) -> str:
        """``1d.2``, as QEMU's ``addr=`` and sysfs write it."""
        return f"{self.slot:02x}.{self.function}"


@dataclass
class Controller:
    """A USB or virtio-serial controller of ours, and its free ports."""

    device: Device
    place: PciPlace
    free: list[int]
    messages: int = 0
    """What is left of a virtio-serial's start-up messages."""


@dataclass
class Board:
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
    """8250 ports that the guest has to register, whatever bus they are on."""
    usb: list[Controller] = field(default_factory=list)
    virtio: list[Controller] = field(default_factory=list)
    hvc: int = 0
    ttyusb: int = 0
    root_ports: int = 0
    ids: set[str] = field(default_factory=set)
    buses_of_args: list[str] = field(default_factory=list)
    """The buses that the user's own devices name."""
    isa_of_args: list[int | None] = field(default_factory=list)
    """The indexes of the user's own isa-serial devices; None where QEMU chooses it."""
    isa_of_serial: set[int] = field(default_factory=set)
    """The indexes of the user's own ``-serial``; QEMU makes them before any ``-device``."""
    _packing: tuple[int, int] | None = None

    # -------------------------------------------------------------- PCI

    def take(self, slot: int) -> None:
        """Mark a slot of the root bus as used."""
        self.taken.add(slot)

    def is_free(self, slot: int) -> bool:
        """Tell whether nothing uses a slot of the root bus."""
        return slot not in self.taken and slot not in self.platform.board_slots

    def _slots(self) -> Sequence[int]:
        return self.machine.free_slots or range(PCI_SLOTS - 1, -1, -1)

    def free_slot(self) -> int | None:
        """Return a root-bus slot that nothing uses, from the top down; None if none is left.

        From the top: QEMU and people give low slots to what they add by hand.
        """
        return next(filter(self.is_free, self._slots()), None)

    def pci_functions_left(self) -> int:
        """Return how many more functions :meth:`pack` can give."""
        left = PCI_FUNCTIONS - self._packing[1] if self._packing else 0
        return left + PCI_FUNCTIONS * sum(map(self.is_free, self._slots()))

    def pack(self) -> tuple[PciPlace, bool] | None:
        """Take the next function of our own slots: the place, and if it is function 0."""
        if self._packing is None or self._packing[1] == PCI_FUNCTIONS:
            slot = self.free_slot()
            if slot is None:
                return None
            self._packing = (slot, 0)
        slot, function = self._packing
        self._packing = (slot, function + 1)
        self.take(slot)
        return PciPlace(self.platform.root_bus, slot, function), function == 0

    def resume(self, place: PciPlace) -> None:
        """Go on packing behind a device of ours that is already there."""
        self.take(place.slot)
        if self._packing is None or (place.slot, place.function + 1) > self._packing:
            self._packing = (place.slot, place.function + 1)

    def pack_device(self, driver: str, id: str, *properties: tuple[str, int | str | bool]
                    ) -> tuple[Device, PciPlace] | None:  # fmt: skip
        """Make a device on the next function; None if the bus is full."""
        packed = self.pack()
        if packed is None:
            return None
        place, first = packed
        address: list[tuple[str, int | str | bool]] = [("bus", place.bus), ("addr", place.address)]
        if first:
            address.append(("multifunction", True))
        return Device(driver, id, (*address, *properties)), place

    def own_slot(self) -> PciPlace | None:
        """Take a whole root-bus slot (hot-plug on ``pc`` works by slot)."""
        slot = self.free_slot()
        if slot is None:
            return None
        self.take(slot)
        return PciPlace(self.platform.root_bus, slot, 0)

    def root_port(self) -> tuple[Device, PciPlace] | None:
        """Add a pcie-root-port: one hot-plug slot; None if there is no place for it."""
        number = self.root_ports
        # Chassis numbers must differ from those of a user's own root ports.
        made = self.pack_device("pcie-root-port", f"vmserial-rp{number}", ("chassis", 100 + number))
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
        controller = Controller(*made, list(range(1, XHCI_PORTS + 1)))
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
        """Add a virtio-serial controller; None if the bus is full."""
        made = self.pack_device(
            "virtio-serial-pci", id, ("max_ports", VIRTIO_SERIAL_SAFE_PORTS + 1)
        )
        if made is None:
            return None
        self.devices.append(made[0])
        return Controller(
            *made, list(range(1, VIRTIO_SERIAL_SAFE_PORTS + 1)), VIRTIO_CONTROL_MESSAGES
        )

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
            if driver == "isa-serial":
                index = params.get("index", "")
                self._isa_of_args(int(index) if re.fullmatch("[0-3]", index) else None)
            self.uarts_8250 += PCI_UARTS.get(driver, 0)
            place = _ADDRESS.fullmatch(params.get("addr", ""))
            if place and params.get("bus", self.platform.root_bus) == self.platform.root_bus:
                self.take(int(place.group(1), 16))

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

    def isa_clash(self, ours: set[int]) -> int | None:
        """Return the index that the user's isa-serial would share with another; None if none.

        Args:
            ours: the indexes of the plan's own isa-serial devices.
        """
        taken = ours | self.isa_of_serial
        made = len(taken)
        for index in self.isa_of_args:
            # Where none is said, QEMU takes the number of those made before (serial-isa.c).
            place = made if index is None else index
            if place in taken:
                return place
            taken = taken | {place}
            made += 1
        return None


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
