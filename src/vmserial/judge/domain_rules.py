"""What is wrong with a libvirt domain's serial ports, and what each of them needs.  Pure.

libvirt itself never warns: it writes the command line, and the port is dead, or QEMU fails.
The facts were run with libvirt 9.0 and QEMU 7.2.
"""

from __future__ import annotations

from vmserial.context import RepairPolicy
from vmserial.judge.domain_buses import BusRules
from vmserial.judge.domain_host import Judged, place_of
from vmserial.limits import (
    EHCI_PORTS,
    HVC_NODES,
    ISA_SERIAL_PORTS,
    LIBVIRT_VIRTIO_CONSOLES,
    OHCI_PORTS,
    UHCI_PORTS,
    XHCI_DEFAULT_PORTS,
)
from vmserial.machines import ARCHITECTURES, Platform
from vmserial.model import Capabilities, GuestProfile, Severity
from vmserial.placing import onboard_uarts
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.view import Domain

ALWAYS_PLUGGED = "usb-serial.always-plugged=on"
"""The value of ``-global`` that keeps each usb-serial plugged in; libvirt never sets it."""

DEFAULT_USB = frozenset({"x86_64", "ppc64"})
"""Architectures on which libvirt adds a USB controller where the XML has none."""

_PORTS_OF = {
    "qemu-xhci": XHCI_DEFAULT_PORTS, "nec-xhci": XHCI_DEFAULT_PORTS, "piix3-uhci": UHCI_PORTS,
    "piix4-uhci": UHCI_PORTS, "vt82c686b-uhci": UHCI_PORTS, "ehci": EHCI_PORTS,
    "ich9-ehci1": EHCI_PORTS, "pci-ohci": OHCI_PORTS,
}  # fmt: skip
"""USB ports as libvirt counts them (its src/conf/domain_addr.c)."""


class Rules(BusRules):
    """Judges one domain."""

    def __init__(
        self, domain: Domain, capabilities: Capabilities, guest: GuestProfile, policy: RepairPolicy
    ) -> None:
        super().__init__(domain, policy)
        self.guest = guest
        self.version = capabilities.version
        architecture = ARCHITECTURES.get(domain.arch)
        self.platform: Platform | None = (
            architecture.platform(domain.machine_type) if architecture else None
        )
        self.uarts = 0
        if self.platform is not None and self.platform.uart is not None:
            options = {"secure": "on"} if "secure" in str(domain.arguments) else {}
            self.uarts = onboard_uarts(
                self.platform, domain.machine_type, options, capabilities
            )[0]  # fmt: skip

    def judged(self) -> Judged:
        """Return what is wrong."""
        self.sources()
        self.sockets()
        self.aliases()
        self.addresses()
        self.strangers()
        self.wrong_bus()
        if self.platform is not None:
            self.onboard()
            self.isa()
            self.sclp()
            self.consoles()
            self.usb_bus()
            self.guest_8250()
        self.usb_places()
        self.virtio_places()
        self.usb_order()
        self.plugged()
        self.notes()
        return self.found

    # -------------------------------------------------------------- what the machine carries

    def onboard(self) -> None:
        """System serials past the UARTs that the machine type wires up."""
        assert self.platform is not None
        uart = self.platform.uart
        if uart is None or self.domain.arch == "s390x":
            return
        systems = [
            p for p, kind in self.kinds.items() if kind in _ONBOARD and not self.moves(p)
        ]  # fmt: skip
        for port in systems:
            if self.kinds[port] == "isa-serial":
                self.note_finding(
                    "libvirt-isa-onboard", Severity.NOTE,
                    f"{port.name} says isa-serial, and {self.domain.arch} has no ISA bus: libvirt "
                    f"makes it a {uart.model} of the board without a word", port,
                )  # fmt: skip
        alive = f"{self.uarts} {uart.model}"
        for port in systems[self.uarts :]:
            if port.type == "null":
                continue  # it keeps a number free; nobody misses it
            self.rehome(port, "onboard-uart-limit")
            self.note_finding(
                "onboard-uart-limit", Severity.DEAD,
                f"{port.name}: libvirt writes -serial for it, QEMU "
                f"{'.'.join(map(str, self.version))} wires up {alive} of {self.platform.name} and "
                "ignores this one without a word: `virsh console` says Connected and stays silent",
                port,
            )  # fmt: skip

    def isa(self) -> None:
        """A fifth isa-serial."""
        assert self.platform is not None
        if not self.platform.isa:
            return
        for port in [p for p, kind in self.kinds.items() if kind == "isa-serial"][
            ISA_SERIAL_PORTS:
        ]:
            self.rehome(port, "isa-limit")
            self.note_finding(
                "isa-limit", Severity.FAILS,
                f"{port.name}: the domain does not start: Maximum supported number of ISA serial "
                "ports is '4'", port,
            )  # fmt: skip
        self.isa_numbers()

    def isa_numbers(self) -> None:
        """ISA ports whose number is past 3, given or counted on by libvirt, or there twice."""
        largest = max((whole(p.target_port, -1) for p in self.kinds), default=-1)
        mine = set(self.staying("isa-serial"))
        numbers: dict[CharDevice, int] = {}
        for port in self.kinds:
            number = whole(port.target_port, -1)
            if number < 0:
                largest += 1
                number = largest
            if port in mine:
                numbers[port] = number
        taken: set[int] = set()
        wrong = []
        for port, number in numbers.items():
            if number >= ISA_SERIAL_PORTS or number in taken:
                wrong.append(port)
            else:
                taken.add(number)
        free = [n for n in range(ISA_SERIAL_PORTS) if n not in taken]
        for port, number in zip(wrong, free, strict=False):
            need = self.found.need(port)
            need.number = number
            need.texts.append(("isa-limit", f"{port.name}: ISA port {number}"))
        if wrong:
            self.note_finding(
                "isa-limit", Severity.FAILS,
                f"{', '.join(p.name for p in wrong)}: the domain does not start: an ISA port's "
                "number (<target port='…'/>) goes from 0 to 3 and is there once; where none is "
                "given, libvirt counts on from the largest one of the domain", *wrong,
            )  # fmt: skip

    def sclp(self) -> None:
        """A second console of one sclp kind."""
        if self.domain.arch != "s390x":
            return
        used: set[str] = set()
        waiting: list[CharDevice] = []
        candidates = [p for p, kind in self.kinds.items() if kind in _ONBOARD]
        candidates += [p for p in self.domain.consoles if p.target_type in {"sclp", "sclplm"}]
        for port in candidates:
            lm = port.target_type == "sclplm" or port.target_model == "sclplmconsole"
            model = "sclplmconsole" if lm else "sclpconsole"
            if model in used:
                waiting.append(port)
            used.add(model)
        for port in waiting:
            free = "sclplmconsole" not in used and port.tag == "serial"
            used.add("sclplmconsole")
            self.rehome(port, "sclp-limit", "sclplm" if free else "virtio")
            self.note_finding(
                "sclp-limit", Severity.FAILS,
                f"{port.name}: QEMU does not start: s390x has one sclpconsole and one "
                "sclplmconsole", port,
            )  # fmt: skip

    def consoles(self) -> None:
        """Virtio consoles past the guest's hvc nodes, and past their one controller."""
        virtio = [p for p in self.domain.consoles if p.target_type == "virtio"]
        if len(virtio) > LIBVIRT_VIRTIO_CONSOLES:
            self.note_finding(
                "virtio-port-range", Severity.FAILS,
                f"{len(virtio)} virtio consoles: libvirt puts all on one controller, and QEMU does "
                "not start: Out-of-range port id specified, max. allowed: 30", *virtio[HVC_NODES:],
            )  # fmt: skip
        for port in virtio[HVC_NODES:]:
            past = len(virtio) > LIBVIRT_VIRTIO_CONSOLES
            self.rehome(port, "virtio-port-range" if past else "hvc-limit", "virtio")
        if HVC_NODES < len(virtio) <= LIBVIRT_VIRTIO_CONSOLES:
            self.note_finding(
                "hvc-limit", Severity.DEAD,
                f"{len(virtio)} virtio consoles: Linux has hvc0 to hvc7, the others have no tty",
                *virtio[HVC_NODES:],
            )  # fmt: skip
        if virtio and self.domain.channels:
            self.note_finding(
                "libvirt-phantom-hvc", Severity.NOTE,
                "virtio consoles and channels share a controller: the guest shows hvc nodes that "
                "no port is behind; count on /sys/class/virtio-ports, not on /dev/hvc*", *virtio,
            )  # fmt: skip

    def guest_8250(self) -> None:
        """PCI serial ports past the 8250 ports of the guest's kernel."""
        assert self.platform is not None
        limit = self.guest.uarts_8250
        used = len(self.staying("isa-serial")) if self.platform.isa else 0
        if self.platform.uart is not None and self.platform.uart.is_8250:
            used += sum(len(self.staying(kind)) for kind in _ONBOARD)
        cards = self.staying("pci-serial")
        over = cards[max(limit - used, 0) :]
        for port in over:
            self.rehome(port, "guest-8250-limit", "usb")
        if over:
            self.note_finding(
                "guest-8250-limit", Severity.DEAD,
                f"{', '.join(p.name for p in over)}: the guest's kernel registers {limit} 8250 "
                "ports; libvirt and QEMU start, and these are dead (error -28 in the guest's log)",
                *over,
            )  # fmt: skip

    # -------------------------------------------------------------- USB

    def usb_bus(self) -> None:
        """usb-serial without a controller."""
        ports = self.staying("usb-serial")
        controllers = self.domain.controllers_of("usb")
        none = bool(controllers) and all(c.model == "none" for c in controllers)
        if ports and (none or (not controllers and self.domain.arch not in DEFAULT_USB)):
            for port in ports:
                self.rehome(port, "libvirt-no-usb", "usb")
            self.note_finding(
                "libvirt-no-usb",
                Severity.FAILS,
                "libvirt refuses the domain: USB is disabled for this domain",
                *ports,
            )
            return

    def usb_order(self) -> None:
        """More usb ports than the controllers have: libvirt adds hubs, and the order is lost."""
        ports = [
            p for p in self.staying("usb-serial") if place_of(p.element.child("address")) is None
        ]
        controllers = self.domain.controllers_of("usb")
        room = sum(c.ports or _PORTS_OF.get(c.model, UHCI_PORTS) for c in controllers) or UHCI_PORTS
        others = [e for e in self.domain.usb_devices if e.child("address") is None]
        placed = sum(
            1 for e in self.domain.root.walk()
            if e.name == "address" and e.get("type") == "usb" and "." not in e.get("port")
        )  # fmt: skip
        if not ports or len(ports) + len(others) + placed <= room:
            return
        for port in ports:
            self.rehome(port, "libvirt-usb-order", "usb")
        self.note_finding(
            "libvirt-usb-order", Severity.NOTE,
            f"{len(ports)} usb-serial on {room} USB ports: libvirt adds hubs, and the guest's "
            "ttyUSB numbers do not follow serialN", *ports,
        )  # fmt: skip

    def plugged(self) -> None:
        """usb-serial that comes and goes with its client."""
        ports = [p for p, kind in self.kinds.items() if kind == "usb-serial"]
        later = [p for p, need in self.found.needs.items() if need.kind in {"any", "usb"}]
        if ALWAYS_PLUGGED in self.domain.arguments:
            return
        self.found.plug = bool(ports or later)
        if ports:
            self.note_finding(
                "usb-not-plugged", Severity.DEAD,
                "the guest has no ttyUSB for a usb-serial until a client opens its host side once: "
                "libvirt never sets always-plugged", *ports,
            )  # fmt: skip


_ONBOARD = ("system-serial", "isa-serial", "sclp-serial")
"""Kinds that become ``-serial`` where there is no ISA bus."""
