"""The PCI addresses that libvirt gives at a domain's start.

libvirt goes over the devices twice: the first time it counts the buses that are missing, and adds
controllers for them; the second time each device gets the first place that suits it.  Seen with
9.0 (tests/live/test_libvirt_native.py asks a real one).  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vmserial.limits import PCI_FUNCTIONS as FUNCTIONS
from vmserial.limits import PCI_SLOTS
from vmserial.records import record

BUSES = 256
"""Of a PCI domain (its number has eight bits)."""

CONVENTIONAL, EXPRESS, ROOT_PORT = "pci", "pcie", "root-port"
"""What a device asks of its bus: a hot-pluggable PCI or PCIe slot, a root port's place."""

_DEVICES = frozenset({CONVENTIONAL, EXPRESS})
"""What libvirt puts only where it can be unplugged; bridges it puts anywhere."""


@dataclass(frozen=True)
class BusModel:
    """A kind of PCI controller, as libvirt sees the bus that it makes.

    Attributes:
        takes: what may sit on it.
        first, last: its slots.
        hotplug: devices on it can be unplugged.
        driver: QEMU's device; empty for what the machine has.
        needs: what it asks of its own bus.
    """

    takes: frozenset[str]
    first: int
    last: int
    hotplug: bool
    driver: str = ""
    needs: str = ""


_PCI_BUS = frozenset({CONVENTIONAL, "pci-bridge"})
_PORT = frozenset({EXPRESS, "upstream", "pcie-to-pci"})

_LAST = PCI_SLOTS - 1

MODELS: Mapping[str, BusModel] = {
    "pci-root": BusModel(_PCI_BUS, 1, _LAST, True),
    "pcie-root": BusModel(frozenset({EXPRESS, ROOT_PORT, "dmi-to-pci"}), 1, _LAST, False),
    "pci-bridge": BusModel(_PCI_BUS, 1, _LAST, True, "pci-bridge", "pci-bridge"),
    "dmi-to-pci-bridge": BusModel(_PCI_BUS, 0, _LAST, False, "i82801b11-bridge", "dmi-to-pci"),
    "pcie-to-pci-bridge": BusModel(_PCI_BUS, 1, _LAST, True, "pcie-pci-bridge", "pcie-to-pci"),
    "pcie-root-port": BusModel(_PORT, 0, 0, True, "pcie-root-port", ROOT_PORT),
    "pcie-switch-upstream-port": BusModel(
        frozenset({"downstream"}), 0, _LAST, False, "x3130-upstream", "upstream"
    ),
    "pcie-switch-downstream-port": BusModel(
        _PORT, 0, 0, True, "xio3130-downstream", "downstream"
    ),
}  # fmt: skip


ROOTS = frozenset({"pci-root", "pcie-root"})
"""What a machine has by itself; pseries can have more than one."""


@record(frozen=True)
class PciAddress:
    """A place: the bus by its controller's index."""

    bus: int
    slot: int
    function: int = 0

    @property
    def is_possible(self) -> bool:
        """Tell whether PCI has such a place at all."""
        return (
            0 <= self.bus < BUSES and 0 <= self.slot < PCI_SLOTS and 0 <= self.function < FUNCTIONS
        )

    def __str__(self) -> str:
        return f"0000:{self.bus:02x}:{self.slot:02x}.{self.function}"


@dataclass(eq=False)
class PciDevice:
    """One device that needs a place.

    Attributes:
        needs: what it asks of its bus.
        stated: where the domain puts it.
        multifunction: what the domain says: ``on``, ``off`` or nothing.
        companions: the ich9 controllers of one index share a slot; this is their key.
        function: of such a controller.
        address: what it got.
        multi: it is function 0 of a slot that has others.
        refused: why libvirt does not take its address.
    """

    needs: str
    stated: PciAddress | None = None
    multifunction: str = ""
    companions: str = ""
    function: int = 0
    address: PciAddress | None = None
    multi: bool = False
    refused: str = ""


class Unplaced(Exception):
    """libvirt refuses the domain, or has no rule that is known here."""


@dataclass(eq=False)
class _Bus:
    model: BusModel
    used: dict[int, int] = field(default_factory=dict)
    shared: set[int] = field(default_factory=set)

    def take(self, slot: int, functions: int, needs: str) -> None:
        if not self.used.get(slot) and needs == ROOT_PORT:
            self.shared.add(slot)
        self.used[slot] = self.used.get(slot, 0) | functions

    def free(self, needs: str) -> tuple[int, int] | None:
        """Return the first slot and function for a device of that sort."""
        model = self.model
        if needs not in model.takes or (needs in _DEVICES and not model.hotplug):
            return None
        for slot in range(model.first, model.last + 1):
            taken = self.used.get(slot, 0)
            if not taken:
                return slot, 0
            if needs == ROOT_PORT and slot in self.shared and taken != 0xFF:
                return slot, next(f for f in range(FUNCTIONS) if not taken & 1 << f)
        return None


class PciBuses:
    """Gives devices their places.

    Args:
        root: ``pci-root`` or ``pcie-root``.
        stated: the controllers that the domain names: model by index.
        reserved: places of the chipset: (slot, functions as bits) of bus 0.
    """

    def __init__(
        self, root: str, stated: Mapping[int, str], reserved: Iterable[tuple[int, int]]
    ) -> None:
        self.root, self.stated = root, dict(stated)
        self.reserved = tuple(reserved)

    def assign(
        self, controllers: dict[int, PciDevice], devices: list[PciDevice]
    ) -> dict[int, tuple[str, PciDevice]]:
        """Place all; return the controllers that libvirt adds: model and device by index.

        Args:
            controllers: those of the domain without the root, by index.
            devices: the others, in the order in which libvirt places them.

        Raises:
            Unplaced: there is no place.
        """
        every = [*controllers.values(), *devices]
        last = max(self.stated, default=0)
        counted = self._buses(last, every)
        if self.root == "pci-root" and counted[0].free(CONVENTIONAL):
            # libvirt keeps a slot for a bridge that may become necessary.
            self._next(counted, CONVENTIONAL, grow=True)
        self._run(counted, controllers, devices, grow=True)
        if not any(self.stated) and len(counted) > 1 and self.root == "pcie-root":
            # One free port for hot-plug, where libvirt alone gives the addresses.
            self._next(counted, EXPRESS, grow=True)
        names = {id(model): name for name, model in MODELS.items()}
        added = {
            index: (name, PciDevice(MODELS[name].needs))
            for index, bus in enumerate(counted)
            if index and index not in self.stated
            for name in (names[id(bus.model)],)
        }
        for device in every:
            device.address = None
        together = dict(sorted({**controllers, **{n: d for n, (_, d) in added.items()}}.items()))
        buses = self._buses(last, every, [bus.model for bus in counted])
        self._run(buses, together, devices, grow=False)
        for device in (*together.values(), *devices):
            place = device.address
            if place is not None and place.function == 0 and device.multifunction != "off":
                device.multi = device.multifunction == "on" or (
                    bool(buses[place.bus].used.get(place.slot, 0) & 0xFE) and not self._fixed(place)
                )
        return added

    def _fixed(self, place: PciAddress) -> bool:
        return place.bus == 0 and any(slot == place.slot for slot, _ in self.reserved)

    def _buses(
        self, last: int, devices: Iterable[PciDevice], models: list[BusModel] | None = None
    ) -> list[_Bus]:
        """Return the buses with what is stated on them."""
        if models is None:
            models = [MODELS[self.root]]
            for index in range(1, last + 1):
                name = self.stated.get(index, "")
                if name and (name not in MODELS or name in ROOTS):
                    raise Unplaced(f"PCI controllers of the model {name!r} are not followed")
                models.append(MODELS[name or self._fill()])
        buses = [_Bus(model) for model in models]
        for slot, functions in self.reserved:
            buses[0].take(slot, functions, "")
        for device in devices:
            if device.stated is not None and not device.stated.is_possible:
                device.refused = f"Invalid PCI address {device.stated}"
            elif device.stated is not None:
                while device.stated.bus >= len(buses):
                    # Whoever names a bus that is not there gets it.
                    buses.append(_Bus(MODELS[self._fill()]))
                self._reserve(buses, device, device.stated)
        return buses

    def _fill(self) -> str:
        return "pcie-root-port" if self.root == "pcie-root" else "pci-bridge"

    def _reserve(self, buses: list[_Bus], device: PciDevice, place: PciAddress) -> None:
        bus = buses[place.bus]
        bit = 1 << place.function
        if place.slot < bus.model.first:
            device.refused = f"Invalid PCI address {place}. slot must be >= {bus.model.first}"
        elif place.slot > bus.model.last:
            device.refused = f"Invalid PCI address {place}. slot must be <= {bus.model.last}"
        elif bus.used.get(place.slot, 0) & bit and not self._fixed(place):
            device.refused = f"Attempted double use of PCI Address {place}"
        bus.take(place.slot, bit, device.needs)
        device.address = place

    def _run(
        self, buses: list[_Bus], controllers: Mapping[int, PciDevice], devices: list[PciDevice],
        *, grow: bool,
    ) -> None:  # fmt: skip
        slots: dict[str, PciAddress] = {}
        for device in (*controllers.values(), *devices):
            if device.companions and device.address is not None:
                slots.setdefault(device.companions, device.address)
        for device in (*(controllers[n] for n in sorted(controllers)), *devices):
            if device.address is not None:
                continue
            if device.companions:
                first = slots.get(device.companions)
                if first is None:
                    first = self._next(buses, CONVENTIONAL, grow=grow, take=False)
                    slots[device.companions] = first
                place = PciAddress(first.bus, first.slot, device.function)
                buses[place.bus].take(place.slot, 1 << place.function, "")
                device.address = place
            else:
                device.address = self._next(buses, device.needs, grow=grow)

    def _next(self, buses: list[_Bus], needs: str, *, grow: bool, take: bool = True) -> PciAddress:
        for index, bus in enumerate(buses):
            found = bus.free(needs)
            if found is not None:
                if take:
                    bus.take(found[0], 1 << found[1], needs)
                return PciAddress(index, *found)
        if not grow:
            raise Unplaced("No more available PCI slots")
        new = self._grown(needs)
        buses += [_Bus(MODELS[name]) for name in new]
        for bridged in buses[-len(new) : -1]:
            bridged.take(bridged.model.first, 1, "")
        bus = buses[-1]
        if take:
            bus.take(bus.model.first, 1, needs)
        return PciAddress(len(buses) - 1, bus.model.first)

    def _grown(self, needs: str) -> list[str]:
        """Return the controllers that make a place for a device."""
        if self.root == "pci-root":
            if needs == CONVENTIONAL:
                return ["pci-bridge"]
        elif needs == CONVENTIONAL:
            return ["pcie-root-port", "pcie-to-pci-bridge"]
        elif needs in {EXPRESS, "upstream", "pcie-to-pci"}:
            return ["pcie-root-port"]
        raise Unplaced("No more available PCI slots")
