"""What is wrong with the places of a domain's ports on USB and virtio-serial, and with their kinds.

Each refusal here was seen with libvirt 9.0 and QEMU 7.2.  Pure.
"""

from __future__ import annotations

from vmserial.context import RepairPolicy
from vmserial.judge.domain_host import HostRules
from vmserial.limits import LIBVIRT_VIRTIO_LAST_PORT, XHCI_PORTS
from vmserial.model import Severity
from vmserial.sources.libvirt.chardevice import CharDevice
from vmserial.sources.libvirt.view import Domain

_XHCI = frozenset({"qemu-xhci", "nec-xhci"})

_ONLY_ON = {"spapr-vio-serial": "ppc64", "sclp-serial": "s390x", "sclplm-serial": "s390x"}
"""Target types that libvirt refuses elsewhere; isa-serial it makes the board's own."""


_BUS = {"usb-serial": "usb", "pci-serial": "pci", "isa-serial": "isa"}


class BusRules(HostRules):
    """Judges kinds and places.

    Attributes:
        kinds: what each serial port is.
    """

    def __init__(self, domain: Domain, policy: RepairPolicy) -> None:
        super().__init__(domain, policy)
        self.kinds = {port: domain.kind(port) for port in domain.serials}

    def rehome(self, port: CharDevice, id: str, kind: str = "any") -> None:
        """Give a port another device."""
        need = self.found.need(port)
        need.kind, need.id = kind, need.id or id

    def moves(self, port: CharDevice) -> bool:
        """Tell whether a port gets another device."""
        return port in self.found.needs and bool(self.found.needs[port].kind)

    def staying(self, kind: str) -> list[CharDevice]:
        """Return the serial ports of a kind that keep their device."""
        return [port for port, own in self.kinds.items() if own == kind and not self.moves(port)]

    def strangers(self) -> None:
        """Targets that the architecture does not have."""
        for port, kind in self.kinds.items():
            if _ONLY_ON.get(kind, self.domain.arch) != self.domain.arch:
                self.rehome(port, "kind-not-on-arch")
                self.note_finding(
                    "kind-not-on-arch", Severity.FAILS,
                    f"{port.name}: libvirt refuses the domain: Serial device with target type "
                    f"'{kind}' not compatible with guest architecture or machine type", port,
                )  # fmt: skip

    def wrong_bus(self) -> None:
        """Addresses of another bus than the device's."""
        for port, kind in self.kinds.items():
            address = port.address
            if address is None or address.type == _BUS.get(kind, address.type):
                continue
            need = self.found.need(port)
            if need.drop_address:
                continue
            need.drop_address = True
            need.texts.append(("bus-wrong", f"{port.name}: libvirt chooses its address"))
            self.note_finding(
                "bus-wrong", Severity.FAILS,
                f"{port.name}: libvirt refuses the domain: Target type '{kind}' requires address "
                f"type '{_BUS[kind]}'", port,
            )  # fmt: skip

    # -------------------------------------------------------------- USB

    def usb_places(self) -> None:
        """usb-serial on a bus or port that is not there, or on a bus that is ehci alone."""
        controllers = self.domain.controllers_of("usb")
        if not controllers:
            return
        models: dict[int, set[str]] = {}
        rooms: dict[int, int] = {}
        for controller in controllers:
            index = controller.index or 0
            models.setdefault(index, set()).add(controller.model)
            if controller.model in _XHCI:
                rooms[index] = min(controller.ports or XHCI_PORTS, XHCI_PORTS)
        # ich9-uhci1 to 3 of one index with ich9-ehci1 are its companions for slower devices.
        fast = {index for index, names in models.items() if all("ehci" in n for n in names)}
        for port in self.staying("usb-serial"):
            address = port.address
            said = address is not None and bool(address.element.get("port"))
            bus = address.number("bus") if address is not None and said else min(models)
            number = address.element.get("port") if address is not None else ""
            if bus not in models:
                self.rehome(port, "usb-port-taken", "usb")
                self.note_finding("usb-port-taken", Severity.FAILS,
                          f"{port.name}: libvirt refuses the domain: Missing USB bus {bus}",
                          port)  # fmt: skip
            elif bus in fast:
                self.rehome(port, "usb-speed", "usb")
                self.note_finding(
                    "usb-speed", Severity.FAILS,
                    f"{port.name}: QEMU does not start: speed mismatch trying to attach usb "
                    f"device: usb-serial is full speed, and USB bus {bus} is ehci alone", port,
                )  # fmt: skip
            elif number.isdecimal() and len(number) < 9 and int(number) > rooms.get(bus, 1 << 30):
                self.rehome(port, "usb-port-taken", "usb")
                self.note_finding(
                    "usb-port-taken", Severity.FAILS,
                    f"{port.name}: libvirt refuses the domain: requested USB port {number} not "
                    f"present on USB bus {bus}", port,
                )  # fmt: skip

    # -------------------------------------------------------------- virtio-serial

    def virtio_places(self) -> None:
        """Virtio ports past the controller's last, and two of one name."""
        last = {
            c.index or 0: min(c.ports - 1, LIBVIRT_VIRTIO_LAST_PORT)
            for c in self.domain.controllers_of("virtio-serial") if c.ports
        }  # fmt: skip
        names: dict[tuple[int, str], CharDevice] = {}
        taken = {port.target_name for port in self.domain.channels}
        for port in (*self.domain.consoles, *self.domain.channels):
            if port.target_type != "virtio":
                continue
            address = port.address
            controller = address.number("controller") if address is not None else 0
            number = address.number("port") if address is not None else 0
            need = self.found.needs.get(port)
            if number > last.get(controller, LIBVIRT_VIRTIO_LAST_PORT) and not (
                need and need.drop_address
            ):
                need = self.found.need(port)
                need.drop_address = True
                need.texts.append(("virtio-port-range", f"{port.name}: libvirt chooses its port"))
                self.note_finding(
                    "virtio-port-range", Severity.FAILS,
                    f"{port.name}: libvirt refuses the domain: virtio serial controller "
                    f"{controller} does not have port {number}", port,
                )  # fmt: skip
            name = port.target_name
            first = names.setdefault((controller, name), port)
            if port.tag != "channel" or not name or first is port:
                continue
            stem = f"{name}-{port.number}"
            fresh = next(n for n in (stem, *(f"{stem}.{i}" for i in range(2, 10))) if
                         n not in taken)  # fmt: skip
            taken.add(fresh)
            need = self.found.need(port)
            need.name = fresh
            need.texts.append(("virtio-port-taken", f"{port.name}: its name is {fresh}"))
            self.note_finding(
                "virtio-port-taken", Severity.FAILS,
                f"{port.name}: QEMU does not start: virtio-serial-bus: A port already exists by "
                f"name {name}", first, port,
            )  # fmt: skip
