"""pci-serial and its two- and four-port cards: 16550A behind PCI."""

from __future__ import annotations

from vmserial.allocator import Allocator
from vmserial.devices.base import DeviceKind, guest_8250_full, without_pci
from vmserial.model import Assignment, Device, Finding, NodeIdentity, SerialPort, Severity


class PciSerialKind(DeviceKind):
    """``pci``: one 16550A a function, packed eight to a slot; or alone where hot-plug is asked."""

    name = "pci"
    driver = "pci-serial"
    title = "a 16550A on PCI; bounded by the guest's 8250 ports"
    hot_pluggable = True

    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        problem = pci_uart_obstacle(self, allocator, port, 1)
        if problem:
            return problem
        if not port.hotplug:
            return None if allocator.pci_functions_left() else _full(self, port)
        if allocator.platform.no_pci_hotplug:
            return self.refuse(
                port,
                "not-hot-pluggable",
                f"{port.name}: a PCI device that is plugged into {allocator.platform.name} is not "
                f"seen: {allocator.platform.no_pci_hotplug}",
                "use --type usb or virtio for a port that is to be hot-plugged",
            )
        if not allocator.guest.pci_hotplug:
            return self.refuse(
                port,
                "guest-driver-missing",
                f"the guest {allocator.guest.name} does not handle PCI hot-plug "
                f"({allocator.guest.source})",
                "use --type usb or virtio for a port that is to be hot-plugged",
                Severity.DEAD,
            )
        if not allocator.platform.pcie:
            return None if allocator.has_free_slot else _full(self, port)
        if allocator.root_ports >= allocator.platform.root_ports:
            return self.refuse(
                port,
                "pci-io-windows",
                f"{allocator.platform.name} boots with {allocator.platform.root_ports} root ports "
                "that have an I/O window (64 KiB in all, 4 KiB each), and all are taken",
                "use --type usb or virtio for further hot-pluggable ports",
            )
        missing = self.missing_driver(allocator, port, "pcie-root-port")
        if missing:
            return missing
        return None if allocator.pci_functions_left(root_port=True) else _full(self, port)

    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        device_id = f"pciserial{port.index}"
        chardev = ("chardev", port.name)
        if port.hotplug and allocator.platform.pcie:
            made = allocator.root_port()
            assert made is not None
            root_port, root = made
            device = Device(
                self.driver, device_id, (("bus", root_port.id), ("addr", "00.0"), chardev)
            )
            path, bus, address = f"{root.path}/00.0", root_port.id, "00.0"
        elif port.hotplug:
            own = allocator.own_slot()
            assert own is not None
            device = Device(
                self.driver, device_id, (("bus", own.bus), ("addr", own.address), chardev)
            )
            path, bus, address = own.path, own.bus, own.address
        else:
            packed = allocator.pack_device(self.driver, device_id, chardev)
            assert packed is not None
            device, place = packed
            path, bus, address = place.path, place.bus, place.address
        allocator.uarts_8250 += 1
        allocator.pci_uarts += 1
        return pci_assignment(self, port, device, bus, address, f"{path}#0", port.hotplug, reason)


def pci_uart_obstacle(
    kind: DeviceKind, allocator: Allocator, port: SerialPort, more: int
) -> Finding | None:
    """Refuse what the binary or the guest's 8250 driver cannot carry."""
    missing = kind.missing_driver(allocator, port, kind.driver)
    if missing:
        return missing
    if problem := without_pci(kind, allocator, port):
        return problem
    if allocator.platform.dead_pci_uarts:
        return kind.refuse(
            port,
            "pci-serial-dead",
            f"{kind.driver} on {allocator.architecture.name} {allocator.platform.name}: "
            f"{allocator.platform.dead_pci_uarts}",
            "use --type usb or virtio",
            Severity.DEAD,
        )
    if not allocator.guest.pci_serial:
        return kind.refuse(
            port,
            "guest-driver-missing",
            f"the guest {allocator.guest.name} has no 8250_pci driver ({allocator.guest.source})",
            "use --type usb or virtio",
            Severity.DEAD,
        )
    return guest_8250_full(kind, allocator, port, more)


def _full(kind: DeviceKind, port: SerialPort) -> Finding:
    return kind.refuse(
        port,
        "pci-full",
        "the PCI root bus has no free place for another function",
        "ask for fewer ports, or use --type usb or virtio (many ports to one function)",
    )


def pci_assignment(
    kind: DeviceKind,
    port: SerialPort,
    device: Device,
    bus: str,
    address: str,
    identity: str,
    hot_pluggable: bool,
    reason: str,
) -> Assignment:
    """Return the assignment of a UART behind PCI."""
    return Assignment(
        port=port,
        kind=kind.name,
        chardev_id=port.name,
        device=device,
        bus=bus,
        address=address,
        identity=NodeIdentity("pci", identity),
        node="/dev/ttyS*",
        hot_pluggable=hot_pluggable,
        reason=reason,
        cautions=kind.cautions,
    )


class PciCardKind(DeviceKind):
    """``pci-2x``, ``pci-4x``: two or four 16550A in one function; never hot-pluggable singly."""

    hot_pluggable = False

    def __init__(self, uarts: int) -> None:
        self.uarts = uarts
        # ClassVars of the base, but two sizes share this class.
        self.name = f"pci-{uarts}x"  # type: ignore[misc]
        self.driver = f"pci-serial-{uarts}x"  # type: ignore[misc]
        self.title = f"{uarts} 16550A on one PCI function"  # type: ignore[misc]

    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        card = self._open_card(allocator)
        if card is not None:
            live = allocator.live_of_cards.get(card.id, self.uarts)
            return None if len(_chardevs(card)) < live else guest_8250_full(self, allocator, port)
        # A new card brings all its UARTs into the guest, used or not, and they are registered in
        # turn: past the limit its last ones are dead, if Linux finds no card after it.
        last = allocator.found_last() and not allocator.whole_cards
        needed = 1 if last else self.uarts
        problem = pci_uart_obstacle(self, allocator, port, needed)
        if problem:
            return problem
        return None if allocator.pci_functions_left() else _full(self, port)

    def _open_card(self, allocator: Allocator) -> Device | None:
        for device in allocator.devices:
            if device.driver == self.driver and len(_chardevs(device)) < self.uarts:
                return device
        return None

    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        card = self._open_card(allocator)
        if card is None:
            made = allocator.pack_device(self.driver, f"pciserial{self.uarts}x-{port.index}")
            assert made is not None
            card = made[0]
            left = allocator.guest.uarts_8250 - allocator.uarts_8250
            allocator.live_of_cards[card.id] = min(self.uarts, left)
            allocator.uarts_8250 += self.uarts
            allocator.pci_uarts += self.uarts
        else:
            allocator.devices.remove(card)
        number = len(_chardevs(card)) + 1
        card = Device(card.driver, card.id, (*card.properties, (f"chardev{number}", port.name)))
        allocator.devices.append(card)
        properties = dict(card.properties)
        address = str(properties["addr"])
        return pci_assignment(
            self,
            port,
            card,
            str(properties["bus"]),
            f"{address} uart {number}",
            f"{allocator.machine.free_path}{address}#{number - 1}",
            False,
            reason,
        )


def _chardevs(device: Device) -> list[str]:
    return [key for key, _ in device.properties if key.startswith("chardev")]


KINDS = (PciSerialKind(), PciCardKind(2), PciCardKind(4))
