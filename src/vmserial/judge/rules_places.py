"""What is wrong with the places: USB ports, virtio numbers, PCI addresses, hot-plug slots."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.judge.base import Flaw, Readdress, Rehome, Retouch
from vmserial.judge.buses import Bus, Buses
from vmserial.judge.context import MESSAGES, Scene
from vmserial.judge.ports import Port
from vmserial.limits import PCI_SLOTS, VIRTIO_CONTROL_MESSAGES, VIRTIO_SERIAL_SAFE_PORTS
from vmserial.model import Severity
from vmserial.sources.command import ON, DeviceEntry
from vmserial.sources.command.edits import SetKey
from vmserial.sources.command.places import number

_COMES_AND_GOES = frozenset({"socket", "pty"})
"""Backends that are not open from the start."""


class Places:
    """Walks over the devices as QEMU makes them, and keeps who sits where."""

    def __init__(self, scene: Scene, moved: set[Port]) -> None:
        self.scene = scene
        assert scene.platform is not None
        self.platform = scene.platform
        self.moved = moved
        self.buses = Buses(scene)
        self.names: set[str] = set()
        """Names of virtio ports: no two of a VM may share one."""
        self.pci: dict[tuple[str, int], dict[int, DeviceEntry]] = {}
        self.defaults = _default_slots(scene)
        self.pci_buses = set(scene.root_buses)
        self.port_of = {
            id(port.option): port for port in scene.ports if port.device and port not in moved
        }

    def flaws(self) -> Iterator[Flaw]:
        """Yield what is wrong, device by device."""
        for device in self.scene.made:
            for flaw in self.device(device):
                self.moved |= {r.port for r in flaw.remedies if isinstance(r, Rehome)}
                yield flaw
        yield from self.unseen()
        if self.scene.wishes.hotplug:
            yield from self.fixed()

    def device(self, device: DeviceEntry) -> Iterator[Flaw]:
        """Yield what is wrong with one device."""
        port = self.port_of.get(id(device.option))
        if port is None and any(p.option is device.option for p in self.moved):
            return
        self.buses.add(device)
        if device.is_bridge and device.id:
            self.pci_buses.add(device.id)
        if self.scene.is_pci(device):
            yield from self.pci_device(device, port)
        if port is None:
            if device.usb is not None and (bus := self.buses.usb_of(device)):
                bus.taken[device.get("port") or bus.lowest()] = device.driver
            if device.virtio_port is not None and (bus := self.buses.virtio_of(device)):
                self.take_virtio(device, bus, device.id or device.driver)
            return
        if device.driver == "usb-serial":
            yield from self.usb_port(device, port)
        elif device.virtio_port is not None:
            yield from self.virtio_port(device, port)

    # -------------------------------------------------------------- USB

    def usb_port(self, device: DeviceEntry, port: Port) -> Iterator[Flaw]:
        """Judge the place of a usb-serial."""
        bus = self.buses.usb_of(device)
        again = (Rehome(port, kind="usb", keep=True),)
        where, subject, names = port.option.where, port.subject, (port.name,)
        if bus is None and not self.scene.complete:
            return
        if bus is None and not device.bus:
            yield Flaw("usb-no-bus", Severity.FAILS, names,
                       f"{subject}: No 'usb-bus' bus found for device 'usb-serial'", where,
                       again)  # fmt: skip
            return
        if bus is None:
            yield Flaw("bus-missing", Severity.FAILS, names,
                       f"{subject}: Bus '{device.bus}' not found", where, again)  # fmt: skip
            return
        if bus.kind == "ehci":
            happens = (
                f'{subject}: Warning: speed mismatch trying to attach usb device "QEMU USB Serial" '
                f'(full speed) to bus "{bus.name}", port "{len(bus.taken) + 1}" (high speed)'
            )
            yield Flaw("usb-speed", Severity.FAILS, names, happens, where, again)
            return
        place = device.get("port")
        last = number(place.split(".")[0]) if place else None
        if place and "." not in place and (
            place in bus.taken or last is None or not 1 <= last <= bus.ports
        ):  # fmt: skip
            yield Flaw("usb-port-taken", Severity.FAILS, names,
                       f"{subject}: usb port {place} (bus {bus.name}) not found (in use?)", where,
                       again)  # fmt: skip
            return
        bus.taken[place or bus.lowest()] = port.name
        yield from self.not_plugged(device, port)

    def not_plugged(self, device: DeviceEntry, port: Port) -> Iterator[Flaw]:
        """A usb-serial that comes and goes with its client."""
        entry = self.scene.chardevs.get(port.chardev_id)
        if device.get("always-plugged") in ON or (
            entry is not None and entry.backend not in _COMES_AND_GOES
        ):
            return
        known = self.scene.capabilities.devices.get("usb-serial")
        can = known is None or "always-plugged" in known.properties
        yield Flaw(
            "usb-not-plugged", Severity.DEAD, (port.name,),
            f"{port.subject}: the guest has no ttyUSB for it until a client opens "
            f"{port.chardev_id} for the first time", port.option.where,
            (Retouch((SetKey(port.option, "always-plugged", True),),
                     f"{port.name}: always-plugged=on"),) if can else (),
        )  # fmt: skip

    # -------------------------------------------------------------- virtio-serial

    def virtio_port(self, device: DeviceEntry, port: Port) -> Iterator[Flaw]:
        """Judge the place of a virtserialport or virtconsole."""
        bus = self.buses.virtio_of(device)
        again = (Rehome(port, kind=_kind(device.driver), keep=True),)
        where, subject, names = port.option.where, port.subject, (port.name,)
        yield from self.virtio_name(device, port)
        if bus is None and not self.scene.complete:
            return
        if bus is None:
            error = (
                f"Bus '{device.bus}' not found" if device.bus
                else f"No 'virtio-serial-bus' bus found for device '{device.driver}'"
            )  # fmt: skip
            yield Flaw("bus-missing" if device.bus else "virtio-no-bus", Severity.FAILS, names,
                       f"{subject}: {error}", where, again)  # fmt: skip
            return
        error, id = self.take_virtio(device, bus, port.name)
        if error:
            yield Flaw(id, Severity.FAILS, names, f"{subject}: {error}", where, again)
            return
        bus.messages += MESSAGES[device.driver]
        if bus.messages > VIRTIO_CONTROL_MESSAGES and not port.channel:
            bus.messages -= MESSAGES[device.driver]
            yield Flaw(
                "virtio-queue-overflow", Severity.DEAD, names,
                f"{subject}: more than {VIRTIO_SERIAL_SAFE_PORTS} ports with clients on "
                f"{bus.name}: while the guest's driver starts, QEMU loses the message that this "
                "port's client is there, and the guest's writer waits for ever", where, again,
            )  # fmt: skip

    def virtio_name(self, device: DeviceEntry, port: Port) -> Iterator[Flaw]:
        """Two virtio ports of one name, on whatever controllers."""
        name = device.get("name")
        if name and name in self.names:
            new = f"{name}-{port.number}"
            yield Flaw(
                "virtio-port-taken", Severity.FAILS, (port.name,),
                f"{port.subject}: virtio-serial-bus: A port already exists by name {name}",
                port.option.where,
                (Retouch((SetKey(port.option, "name", new),), f"{port.name}: name={new}"),),
            )  # fmt: skip
        self.names.add(name)

    def take_virtio(self, device: DeviceEntry, bus: Bus, name: str) -> tuple[str, str]:
        """Take a number on a virtio-serial bus; return QEMU's error and the finding's id."""
        nr = number(device.get("nr"))
        console = device.driver == "virtconsole"
        if nr is None:
            # virtio-serial-bus.c find_free_port_id(): 0 is for the first console.
            first = 0 if console and not any(bus.taken) else 1
            free = (n for n in range(first, bus.ports + 1) if str(n) not in bus.taken)
            nr = next(free, bus.ports)
        elif nr == 0 and not console:
            return (
                "Port number 0 on virtio-serial devices reserved for virtconsole devices for "
                "backward compatibility.", "virtio-port-zero",
            )  # fmt: skip
        elif str(nr) in bus.taken:
            return f"virtio-serial-bus: A port already exists at id {nr}", "virtio-port-taken"
        if nr >= bus.ports:
            return (
                "virtio-serial-bus: Out-of-range port id specified, max. allowed: "
                f"{bus.ports - 1}", "virtio-port-range",
            )  # fmt: skip
        bus.taken[str(nr)] = name
        return "", ""

    # -------------------------------------------------------------- PCI

    def pci_device(self, device: DeviceEntry, port: Port | None) -> Iterator[Flaw]:
        """Judge the PCI address of any device; only serial ones are moved."""
        ours = port is not None or self.carries(device)
        name = port.name if port else device.id or device.driver
        names = (port.name,) if port else ()
        where = device.option.where
        subject = f"-device {device.option.value}"
        if device.bus not in self.pci_buses:
            known = any(d.is_bridge and d.id == device.bus for d in self.scene.view.devices)
            if not known and ours and "." in device.bus and device.bus.endswith(".0"):
                # A bridge's bus is called as its id; "ID.0" is that of some bridges' kinds.
                known = any(f"{d.id}.0" == device.bus for d in self.scene.view.devices)
            if not known and ours and self.scene.complete:
                remedies = (Rehome(port),) if port else (Readdress(device.option, name),)
                yield Flaw("bus-missing", Severity.FAILS, names,
                           f"{subject}: Bus '{device.bus}' not found", where, remedies)  # fmt: skip
            return
        place = device.pci
        if place is None:
            if device.bus in self.scene.root_buses:
                self.pci[self.platform.root_bus, self.automatic()] = {0: device}
            return
        bus = self.platform.root_bus if device.bus in self.scene.root_buses else device.bus
        slot = self.pci.setdefault((bus, place.slot), {})
        remedy = (Readdress(device.option, name),) if bus == self.platform.root_bus or not port \
            else (Rehome(port),)  # fmt: skip
        root = bus == self.platform.root_bus
        if root and place.slot in self.platform.board_slots | self.defaults and not place.function:
            yield Flaw(
                "pci-slot-taken", Severity.FAILS, names,
                f"{subject}: PCI: slot {place.slot:x} function 0 not available for "
                f"{device.driver}, in use by", where, remedy if ours else (),
                fix="the board itself, or QEMU's own card, is there: choose another address",
            )  # fmt: skip
            return
        other = slot.get(place.function)
        if other is not None:
            yield self.same_address(device, other, place.slot, place.function, names,
                                    remedy if ours else ())  # fmt: skip
            return
        first = slot.get(0)
        if place.function and first is not None and first.get("multifunction") not in ON:
            yield Flaw(
                "pci-function", Severity.FAILS, names,
                f"{subject}: PCI: single function device can't be populated in function "
                f"{place.slot:x}.{place.function}", where,
                (Retouch((SetKey(first.option, "multifunction", True),),
                         f"{first.id or first.driver}: multifunction=on"),),
            )  # fmt: skip
        if not place.function and slot and not place.multifunction:
            yield Flaw(
                "pci-function", Severity.FAILS, names,
                f"{subject}: PCI: {place.slot:x}.0 indicates single function, but "
                f"{place.slot:x}.{min(slot)} is already populated.", where,
                (Retouch((SetKey(device.option, "multifunction", True),),
                         f"{device.id or device.driver}: multifunction=on"),),
            )  # fmt: skip
        slot[place.function] = device

    def unseen(self) -> Iterator[Flaw]:
        """Functions of a slot that has no function 0: no system looks at them."""
        for (_, slot), functions in self.pci.items():
            # Of the board's own slots, and of a file that nobody read, function 0 is not seen here.
            hidden = slot in self.platform.board_slots | self.defaults or not self.scene.complete
            if 0 in functions or hidden:
                continue
            for function, device in sorted(functions.items()):
                port = self.port_of.get(id(device.option))
                if port is None and not self.carries(device):
                    continue
                name = port.name if port else device.id or device.driver
                yield Flaw(
                    "pci-function", Severity.DEAD, (port.name,) if port else (),
                    f"-device {device.option.value}: slot {slot:x} has no function 0: QEMU starts, "
                    f"and the guest never looks at function {function}", device.option.where,
                    (Readdress(device.option, name),),
                )  # fmt: skip
                break

    def carries(self, device: DeviceEntry) -> bool:
        """Tell whether a device is a controller that ports may be on, where there are ports."""
        controller = device.is_virtio_serial or device.is_usb_controller
        return controller and bool(self.scene.ports)

    def automatic(self) -> int:
        """Return the slot that QEMU gives to a device that names none: the lowest free one."""
        taken = {slot for bus, slot in self.pci if bus == self.platform.root_bus}
        taken |= self.platform.board_slots | self.defaults
        return next((slot for slot in range(PCI_SLOTS) if slot not in taken), PCI_SLOTS)

    def same_address(
        self, device: DeviceEntry, other: DeviceEntry, slot: int, function: int,
        names: tuple[str, ...], remedies: tuple[Readdress, ...] | tuple[Rehome, ...],
    ) -> Flaw:  # fmt: skip
        """Two devices at one PCI address."""
        if not remedies:
            # It is not ours to move; the one that was there first may be.
            port = self.port_of.get(id(other.option))
            if port or self.carries(other):
                remedies = (Readdress(other.option, port.name if port else other.id),)
                names = (port.name,) if port else ()
        return Flaw(
            "pci-slot-taken", Severity.FAILS, names,
            f"-device {device.option.value}: PCI: slot {slot:x} function {function} not available "
            f"for {device.driver}, in use by {other.driver},id={other.id or '(null)'}",
            device.option.where, remedies,
        )  # fmt: skip

    # -------------------------------------------------------------- hot-plug

    def fixed(self) -> Iterator[Flaw]:
        """Ports that cannot be unplugged while the VM runs, where that was wished for."""
        for port in self.scene.ports:
            if port in self.moved or port.channel or port is self.scene.console:
                continue
            bus = port.device.device.bus if port.device else ""
            pci = port.driver.startswith("pci-serial")
            if pci and (not self.platform.pcie or bus not in self.scene.root_buses):
                continue
            if port.driver in {"usb-serial", "virtserialport", "virtconsole"}:
                continue
            error = (
                f"Bus '{self.platform.root_bus}' does not support hotplugging" if pci
                else f"Device '{port.driver}' does not support hotplugging" if port.driver
                else "an on-board UART is part of the board"
            )  # fmt: skip
            self.moved.add(port)
            yield Flaw("not-hot-pluggable", Severity.FAILS, (port.name,),
                       f"{port.subject}: device_del is refused: {error}", port.option.where,
                       (Rehome(port, kind="pci" if pci else ""),))  # fmt: skip


def _default_slots(scene: Scene) -> frozenset[int]:
    """Return the slots of the network and graphics card that QEMU adds by itself."""
    names = {option.name for option in scene.view.options}
    if scene.view.nodefaults or names & {"nic", "net", "netdev", "vga"}:
        return frozenset()
    assert scene.platform is not None
    return {"virt": frozenset({1}), "pc": frozenset({2, 3}), "q35": frozenset({1, 2})}.get(
        scene.platform.name, frozenset()
    )


def _kind(driver: str) -> str:
    return "virtconsole" if driver == "virtconsole" else "virtio"
