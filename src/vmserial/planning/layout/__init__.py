"""Everything of a Machine that is not a serial port, as options with explicit addresses.

The places are those of PVE's fixed map where it has one (video at slot 2,
balloon 3, scsi 5, sata 7, agent 8, virtio disks from 0xa, network from 0x12), so
that a guest that came from PVE keeps the names of its cards; what does not fit
on the root bus goes to a bridge at 0x1e, as there.
"""

from __future__ import annotations

from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.model import refusal
from vmserial.options import Scalar
from vmserial.planning.layout.base import Params
from vmserial.planning.layout.disks import Disks
from vmserial.planning.layout.network import Network
from vmserial.planning.layout.system import System

VIDEO_DRIVERS = {
    "std": "VGA",
    "cirrus": "cirrus-vga",
    "vmware": "vmware-svga",
    "qxl": "qxl-vga",
    "virtio": "virtio-vga",
    "virtio-gl": "virtio-vga-gl",
}


class Layout(System, Disks, Network):
    """The options of everything but the ports, and what must be said about them."""

    def build(self) -> None:
        """Append all options, in the order in which people read a command line."""
        self.identity()
        self.machine_and_cpu()
        self.firmware_and_boot()
        self.video()
        self.usb_input()
        self.agent()
        self.disks()
        self.nics()
        self.extras()

    def video(self) -> None:
        """Say which graphics card there is; its screen is never shown by itself."""
        machine = self.allocator.machine
        self.flag("-display", "none", "display")
        kind = machine.display.kind
        if kind in {"none", "serial"}:
            return
        where = machine.place_of("display")
        if self.allocator.platform.isa:
            driver = VIDEO_DRIVERS.get(kind, "")
        else:
            driver = "virtio-gpu-pci"
            if kind != "virtio":
                self.note(
                    f"vga {kind} does not exist on {self.allocator.architecture.name}: "
                    "virtio is used",
                    "set vga: virtio",
                    where,
                )
        hint = "set vga: virtio or none"
        if not driver:
            self.note(f"vga {kind} is not known: no graphics", hint, where)
            return
        if not self.need(driver, f"vga {kind}", where, hint):
            return
        params: list[tuple[str, Scalar]] = [("id", "vga"), *self.at(2)]
        if machine.display.memory_mib and driver in {"VGA", "qxl-vga", "vmware-svga"}:
            params.append(("vgamem_mb", machine.display.memory_mib))
        elif machine.display.memory_mib:
            self.left_out("vga memory", f"{driver} has no such property", where)
        self.add("-device", driver, *params, role="display")
        self.note(
            "the graphics card is there, its screen is not shown",
            "add '-vnc unix:PATH' or '-display gtk' to args to see it",
            where,
        )

    def usb_input(self) -> None:
        """Add the USB controller, tablet and keyboard that were asked for."""
        allocator, machine = self.allocator, self.allocator.machine
        if not (machine.tablet or machine.keyboard or machine.usb_controller):
            return
        driver = machine.usb_controller or ("piix3-usb-uhci" if not allocator.platform.pcie
                                            else "usb-ehci")  # fmt: skip
        if not self.need(driver, "the usb tablet", machine.place_of("tablet"), "set tablet: 0"):
            return
        if driver == "piix3-usb-uhci":
            allocator.take(1)
            place: Params = (("bus", allocator.platform.root_bus), ("addr", "01.2"))
        else:
            place = self.at(1) if allocator.platform.pcie else self.at(0x1B)
        self.add("-device", driver, ("id", "usb"), *place, role="input")
        for wanted, device, port in (
            (machine.tablet, "usb-tablet", 1),
            (machine.keyboard, "usb-kbd", 2),
        ):
            if wanted:
                self.add(
                    "-device", device, ("id", device[4:]), ("bus", "usb.0"), ("port", str(port)),
                    role="input",
                )  # fmt: skip

    def agent(self) -> None:
        """Add the guest agent's port, which takes a virtio port or an ISA index."""
        allocator, agent = self.allocator, self.allocator.machine.agent
        if agent is None:
            return
        isa = agent.kind == "isa"
        if isa and not (allocator.platform.isa and self.has("isa-serial")):
            self.refusals.append(
                refusal(
                    "agent-isa-not-on-arch",
                    "agent type=isa: 'isa-serial' is not a valid device model name on "
                    f"{allocator.architecture.name}",
                    "use agent: 1 (virtio)",
                    where=agent.where,
                )
            )
            return
        if isa and not allocator.isa_free:
            self.refusals.append(
                refusal(
                    "isa-limit",
                    "agent type=isa: Max. supported number of ISA serial ports is "
                    f"{ISA_SERIAL_PORTS}",
                    "use agent: 1 (virtio)",
                    where=agent.where,
                )
            )
            return
        self.add(
            "-chardev", "socket", ("id", "qga0"), ("path", agent.path), ("server", True),
            ("wait", False), role="agent",
        )  # fmt: skip
        if isa:
            # The last index: the ports keep COM1 and up.
            index = allocator.isa_free.pop()
            allocator.uarts_8250 += 1
            self.add(
                "-device", "isa-serial", ("id", "qga"), ("index", index), ("chardev", "qga0"),
                role="agent",
            )  # fmt: skip
            return
        self.add("-device", "virtio-serial-pci", ("id", "qga0"), *self.at(8), role="agent")
        self.add(
            "-device", "virtserialport", ("id", "qga0-port"), ("bus", "qga0.0"), ("nr", 1),
            ("chardev", "qga0"), ("name", "org.qemu.guest_agent.0"), role="agent",
        )  # fmt: skip

    def extras(self) -> None:
        """Add balloon, random numbers and the generation id."""
        machine = self.allocator.machine
        if machine.balloon and self.need(
            "virtio-balloon-pci", "balloon", machine.place_of("balloon"), "set balloon: 0"
        ):
            self.add("-device", "virtio-balloon-pci", ("id", "balloon0"),
                     *self.at(3), role="other")  # fmt: skip
        if machine.rng and self.need(
            "virtio-rng-pci", "rng0", machine.place_of("rng"), "remove rng0"
        ):
            self.add("-object", "rng-random", ("id", "rng0"), ("filename", "/dev/urandom"),
                     role="other")  # fmt: skip
            self.add("-device", "virtio-rng-pci", ("id", "rng0-device"), ("rng", "rng0"),
                     *self.at(0x1C), role="other")  # fmt: skip
        if machine.vmgenid:
            if self.has("vmgenid") and self.allocator.platform.isa:
                self.add("-device", "vmgenid", ("guid", machine.vmgenid), role="other")
            else:
                self.note(
                    f"vmgenid is not a device of {self.allocator.architecture.name} QEMU: left out",
                    "nothing to do: a guest there does not look for it",
                    machine.place_of("vmgenid"),
                )
