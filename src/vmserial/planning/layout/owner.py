"""A VM that somebody else starts, for stock QEMU: the owner's own devices at its own places.

The guest must find the hardware that it knows.  So everything but the serial ports
is taken from the command that the owner starts; what stock QEMU, or a host without
the owner's files, cannot have is put in its place or left out, and named.
"""

from __future__ import annotations

from dataclasses import replace

from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.model import Disk, Machine
from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.options import Option, Scalar
from vmserial.planning.layout import Layout
from vmserial.planning.layout.base import Params

_TAKEN = frozenset({"controller", "input", "display", "agent", "disk", "net", "other"})
"""The roles of options that are the guest's hardware.  Those of ``host`` need what only the
owner's host has: the reader of the configuration names them."""

STOCK = {
    "virtio-serial": "virtio-serial-pci", "virtio-gpu": "virtio-gpu-pci",
    "virtio-gpu-gl": "virtio-gpu-gl-pci", "lsi": "lsi53c895a", "ahci": "ich9-ahci",
}  # fmt: skip
"""QEMU's own names of devices that the owner calls by an alias."""

_OURS = frozenset({"type", "accel", "pflash0", "pflash1", "memory-backend"})
"""Properties of -machine that the plan says itself."""

_VIDEO_MEMORY = frozenset({"VGA", "qxl-vga", "vmware-svga"})


def as_started(machine: Machine, lowered: LoweredCommand) -> Machine:
    """Return a machine with the type and the properties that its owner starts it with."""
    for each in lowered.options:
        if each.option.flag == "-machine" and each.origin.owner != "user":
            params = {key: str(value) for key, value in each.option.params}
            said = dict(machine.machine_options)
            said |= {key: value for key, value in params.items() if key not in _OURS}
            if lowered.owner == "libvirt":
                # Its type is as the domain has it.
                return replace(machine, machine_options=tuple(said.items()))
            kind = params.get("type", "")
            # A type without a version is the one that nobody names.
            named = machine.machine_type or "-" in kind
            return replace(
                machine, machine_type=kind if named else "", machine_options=tuple(said.items())
            )
    return machine


class OwnerLayout(Layout):
    """The options of everything but the ports, as the owner has them."""

    lowered: LoweredCommand
    numbers: dict[str, tuple[str, int]]

    def build(self) -> None:
        """Append all options, in the order in which people read a command line."""
        self.identity()
        self.machine_and_cpu()
        self.firmware_and_boot()
        self.flag("-display", "none", "display")
        machine = self.allocator.machine
        self._disks = {f"{disk.bus}{disk.index}": disk for disk in machine.disks}
        for disk in machine.disks:
            if disk.path and not self._moved(disk):
                self.block(f"drive-{disk.bus}{disk.index}", disk)
        self._nics = {f"net{nic.index}": nic for nic in machine.nics}
        for each in self.lowered.options:
            known = each.option.role in _TAKEN or each.option.flag in {"-global", "-rtc"}
            if each.origin.owner != "user" and known:
                self._option(each)
        self._scsi |= {
            str(dict(o.params).get("id")) for o in self.options if o.flag == "-device"
        }  # fmt: skip
        self.disks(tuple(disk for disk in machine.disks if self._moved(disk)))
        self._say()

    def _moved(self, disk: Disk) -> bool:
        return disk.bus == "ide" and not self.allocator.platform.ide

    def _option(self, each: LoweredOption) -> None:
        """Take over one option."""
        option = each.option
        if option.flag == "-device":
            self._device(each)
        elif option.flag == "-chardev" and option.role == "agent":
            self.options.append(option)
        elif option.flag == "-object":
            self._object(option)
        elif option.flag == "-rtc":
            self.options = [o for o in self.options if o.flag != "-rtc"]
            self.options.append(option)
        elif option.flag == "-global":
            self.options.append(option)

    def _object(self, option: Option) -> None:
        params = tuple(
            (key, "/dev/urandom" if key == "filename" else value) for key, value in option.params
        )
        self.options.append(replace(option, params=params))

    def _device(self, each: LoweredOption) -> None:
        option, params = each.option, dict(each.option.params)
        name = str(params.get("id", ""))
        driver = STOCK.get(option.head, option.head)
        if option.role == "disk":
            self._drive(option, name)
            return
        if driver == "isa-serial":
            self._isa_agent(each)
            return
        if driver == "vmgenid" and not (self.has(driver) and self.allocator.platform.isa):
            self.note(
                f"vmgenid is not a device of {self.allocator.architecture.name} QEMU: left out",
                "nothing to do: a guest there does not look for it",
                each.origin.where,
            )
            return
        if not self.need(driver, name or driver, each.origin.where, "take it out of the "
                         "configuration, or use a QEMU that has it"):  # fmt: skip
            return
        if option.role == "net":
            self._card(option, name, driver)
            return
        more: Params = ()
        memory = self.allocator.machine.display.memory_mib
        if name == "vga" and memory and driver in _VIDEO_MEMORY:
            more = (("vgamem_mb", memory),)
        elif name == "vga" and memory:
            self.left_out("vga memory", f"{driver} has no such property", each.origin.where)
        if name == "spice":
            self.options.append(Option("-chardev", "null", (("id", "vdagent"),), role="display"))
            self.note(
                "SPICE is not started here: the channel of the screen's agent leads nowhere",
                "the guest keeps its device",
                each.origin.where,
            )
        if params.get("chardev") == "foldershare":
            return
        self.add("-device", driver, *option.params, *more, role=option.role)

    def _isa_agent(self, each: LoweredOption) -> None:
        """Give the agent its isa-serial, or a virtio port where that is not there to have."""
        _, index = self.numbers.get("qga0", ("", ISA_SERIAL_PORTS))
        if index < ISA_SERIAL_PORTS:
            # It is QEMU's count where the owner says none; the ports name theirs.
            params = (("index", index), *each.option.params)
            self.add("-device", "isa-serial", *params, role="agent")
            return
        root = "pci.0" if self.allocator.platform.isa else self.allocator.platform.root_bus
        place: Params = (("id", "qga0"), ("bus", root), ("addr", "0x8"))
        self.add("-device", "virtio-serial-pci", *place, role="agent")
        port: Params = (
            ("bus", "qga0.0"), ("chardev", "qga0"), ("name", "org.qemu.guest_agent.0"),
        )  # fmt: skip
        self.add("-device", "virtserialport", *port, role="agent")
        self.note(
            "agent type=isa: there is no isa-serial left for it: a virtio port carries it",
            "use agent: 1 (virtio)",
            each.origin.where,
        )

    def _drive(self, option: Option, name: str) -> None:
        """Take over a drive whose medium this host can have, or that is empty."""
        disk = self._disks.get(name)
        if disk is None or self._moved(disk):
            return
        params: list[tuple[str, Scalar]] = [
            (key, value) for key, value in option.params if key != "drive" or disk.path
        ]
        if disk.serial:
            params.append(("serial", disk.serial))
        params += self.properties(disk, option.head)
        if self.need(option.head, name, disk.where, "use scsi or virtio"):
            self.add("-device", option.head, *params, role="disk")

    def _card(self, option: Option, name: str, driver: str) -> None:
        nic = self._nics.get(name)
        if nic is None:
            return
        mode, backend = self.netdev(name, nic)
        self.add("-netdev", mode, *backend, role="net")
        # Several queues are only to be had on a tap that is named.
        kept = tuple(pair for pair in option.params if pair[0] not in {"mq", "vectors"})
        more = self.card_properties(name, nic, driver, mode)
        self.add("-device", driver, *kept, *more, role="net")

    def _say(self) -> None:
        """Name what stock QEMU cannot have, or what vmserial does by itself."""
        where = self.allocator.machine.where
        self.left_out(
            "what PVE alone needs (-id, -pidfile, -daemonize, its monitors and VNC)",
            "vmserial starts the VM itself; the guest sees none of it", where,
        )  # fmt: skip
        if any(o.role == "display" and o.flag == "-device" for o in self.options):
            self.note(
                "the graphics card is there, its screen is not shown",
                "add '-vnc unix:PATH' or '-display gtk' to args to see it",
                self.allocator.machine.place_of("display"),
            )
