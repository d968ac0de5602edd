"""Everything that the rules look at, worked out once: ports, buses, board, guest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from vmserial.devices import virtio_serial
from vmserial.judge.base import Wishes
from vmserial.judge.ports import Port, ports_of
from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.machines import ARCHITECTURES, Architecture, Platform
from vmserial.model import Capabilities, GuestProfile
from vmserial.placing import onboard_uarts
from vmserial.sources.command import ChardevEntry, CommandLine, CommandView, DeviceEntry

_PVE_SUFFIX = re.compile(r"\+pve[0-9]+\Z")
_PVE_RUN = "/var/run/qemu-server/"

_PCI = frozenset(
    """
    AC97 ES1370 VGA ahci bochs-display cirrus-vga e1000 e1000e edu i6300esb i82559er ich9-ahci
    ich9-intel-hda igb intel-hda ioh3420 ivshmem-doorbell ivshmem-plain lsi lsi53c810 lsi53c895a
    megasas mptsas1068 ne2k_pci nvme pci-bridge pci-serial pci-serial-2x pci-serial-4x
    pcie-pci-bridge pcie-root-port pcnet pvscsi qxl qxl-vga rtl8139 secondary-vga vfio-pci
    virtio-gpu-gl-pci virtio-vga virtio-vga-gl vmware-svga vmxnet3
    """.split()
)
"""PCI devices whose name does not tell it, where the binary was not asked about them."""

MESSAGES: Mapping[str, int] = {kind.driver: kind.messages for kind in virtio_serial.KINDS}
"""What a starting virtio-serial controller answers for one port, by the port's device."""


@dataclass(frozen=True)
class Scene:
    """A command line with what it runs on and for whom.

    Attributes:
        command: the command line.
        view: what it says.
        capabilities: the binary's.
        guest: what the guest's kernel carries.
        wishes: what its owner prefers.
    """

    command: CommandLine
    view: CommandView
    capabilities: Capabilities
    guest: GuestProfile
    wishes: Wishes

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """The serial ports, in the order of the command line."""
        return ports_of(self.view)

    @cached_property
    def console(self) -> Port | None:
        """The port of the lowest number: it carries boot output, and stays where it is."""
        ports = [port for port in self.ports if not port.channel]
        return min(ports, key=lambda port: port.number, default=None)

    @cached_property
    def arch(self) -> str:
        """QEMU's target name; the binary's own where the command does not say it."""
        return self.view.arch or self.capabilities.target

    @cached_property
    def architecture(self) -> Architecture | None:
        """The architecture, if serial ports are planned on it."""
        return ARCHITECTURES.get(self.arch)

    @cached_property
    def machine_type(self) -> str:
        """The machine type without PVE's suffix; empty where none is given."""
        return _PVE_SUFFIX.sub("", self.view.machine_type)

    @cached_property
    def platform(self) -> Platform | None:
        """The machine type's facts, if serial ports are planned on it."""
        return self.architecture.platform(self.machine_type) if self.architecture else None

    @cached_property
    def is_pve(self) -> bool:
        """Proxmox VE started it: its map of PCI addresses holds."""
        options = self.command.options
        return any(option.name == "id" for option in options) or any(
            option.name == "pidfile" and (option.value or "").startswith(_PVE_RUN)
            for option in options
        )

    @cached_property
    def uarts(self) -> int:
        """How many ``-serial`` reach something."""
        assert self.platform is not None
        if self.platform.uart is None:
            return ISA_SERIAL_PORTS if self.platform.isa else 0
        return onboard_uarts(
            self.platform, self.machine_type, self.view.machine, self.capabilities
        )[0]

    @cached_property
    def complete(self) -> bool:
        """All options are seen: no -readconfig file is left unread."""
        read = {option.where.file for option in self.view.options if option.in_file}
        return all(option.value in read for option in self.command.named("readconfig"))

    @cached_property
    def root_buses(self) -> frozenset[str]:
        """Names of the root PCI bus; a device that names none is on it."""
        assert self.platform is not None
        return frozenset({"", self.platform.root_bus})

    @cached_property
    def device_ids(self) -> frozenset[str]:
        """Ids that devices have."""
        return frozenset(device.id for device in self.view.devices if device.id)

    @cached_property
    def chardevs(self) -> Mapping[str, ChardevEntry]:
        """The chardevs by id, of one id the first."""
        found: dict[str, ChardevEntry] = {}
        for entry in self.view.chardevs:
            found.setdefault(entry.id, entry)
        return found

    @cached_property
    def made(self) -> tuple[DeviceEntry, ...]:
        """The devices in the order in which QEMU makes them: those in JSON come last.

        It goes over the key=value ones first (system/vl.c, ``qemu_create_cli_devices()``).
        """
        return tuple(sorted(self.view.devices, key=lambda device: device.option.params.is_json))

    def knows(self, driver: str) -> bool:
        """Tell whether the binary has a device; an unknown binary has all."""
        return not self.capabilities.devices or driver in self.capabilities.devices

    def is_pci(self, device: DeviceEntry) -> bool:
        """Tell whether a device sits on a PCI bus."""
        known = self.capabilities.devices.get(device.driver)
        if known is not None:
            return known.bus.lower().startswith("pci")
        return (
            device.pci is not None
            or device.driver.endswith("-pci")
            or device.driver in _PCI
            or (device.is_usb_controller and device.driver != "sysbus-ohci")
        )
