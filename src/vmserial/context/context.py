"""Everything that the rules look at, worked out once: ports, buses, board, guest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from vmserial.context.chardevs import HostSides
from vmserial.context.isa import IsaConflict, isa_conflicts
from vmserial.context.occupancy import Occupancy
from vmserial.context.ports import Port, PortNames, numbers_of, ports_of
from vmserial.context.repairs import RepairPolicy
from vmserial.lazy import once
from vmserial.machines import ARCHITECTURES, Architecture, Platform
from vmserial.model import Capabilities, GuestProfile
from vmserial.placing import is_secure, onboard_uarts
from vmserial.records import record
from vmserial.sources.command import (
    ChardevEntry,
    CommandLine,
    CommandOption,
    CommandView,
    DeviceEntry,
)
from vmserial.sources.command.places import sort_of

if TYPE_CHECKING:
    from vmserial.context.origins import Origins
    from vmserial.model.host import HostFacts
    from vmserial.model.origin import Owner

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

_BY_PHASE = frozenset({"isa", "occupancy", "staying"})
"""Facts that depend on which ports leave their places."""


@record(frozen=True, eq=False)
class RuleContext:
    """A command line with what it runs on and for whom.

    Attributes:
        command: the command line.
        view: what it says.
        capabilities: the binary's.
        guest: what the guest's kernel carries.
        policy: what its owner prefers.
        lowered: what the command was lowered from; None: the command is its own source.
        host: what was seen of the host; None: it was not looked at.
        leaving: ports that get another place by what the rules of earlier phases found; they
            no longer count where they are.
    """

    command: CommandLine
    view: CommandView
    capabilities: Capabilities
    guest: GuestProfile
    policy: RepairPolicy
    lowered: Origins | None = None
    host: HostFacts | None = None
    leaving: frozenset[Port] = frozenset()

    def after(self, leaving: frozenset[Port]) -> RuleContext:
        """Return the context of the next phase; what does not depend on it is kept."""
        made = replace(self, leaving=leaving)
        for name, fact in self.__dict__.items():
            if name not in made.__dict__ and name not in _BY_PHASE:
                made.__dict__[name] = fact
        return made

    # -------------------------------------------------------------- where it comes from

    @property
    def owner(self) -> Owner:
        """Who starts the VM: ``pve``, ``libvirt``, …; ``user`` for a command line."""
        return self.lowered.command.owner if self.lowered else "user"

    def owner_of(self, option: CommandOption) -> Owner:
        """Return who wrote an option: PVE's own hardware, or the user's words in ``args:``."""
        origin = self.lowered.of(option) if self.lowered else None
        return origin.origin.owner if origin else "user"

    @once
    def gaps(self) -> frozenset[str]:
        """What is not known of the command; a rule that needs it is silent."""
        found = {gap.id for gap in self.lowered.command.gaps} if self.lowered else set()
        if not self.complete:
            found.add("readconfig")
        return frozenset(found)

    # -------------------------------------------------------------- the VM

    @once
    def ports(self) -> tuple[Port, ...]:
        """The serial ports, in the order of the command line."""
        return ports_of(self.view, self.lowered.command.labels if self.lowered else None)

    @once
    def port_numbers(self) -> frozenset[int]:
        """The numbers that ports have, or would have that their source asks for in vain."""
        asked = numbers_of(self.lowered.command.labels) if self.lowered else set[int]()
        return frozenset([port.number for port in self.ports]) | asked

    @once
    def console(self) -> Port | None:
        """The port of the lowest number: it carries boot output, and stays where it is."""
        ports = [port for port in self.ports if not port.channel]
        return min(ports, key=lambda port: port.number, default=None)

    @once
    def arch(self) -> str:
        """QEMU's target name; the binary's own where the command does not say it."""
        return self.view.arch or self.capabilities.target

    @once
    def architecture(self) -> Architecture | None:
        """The architecture, if serial ports are planned on it."""
        return ARCHITECTURES.get(self.arch)

    @once
    def machine_type(self) -> str:
        """The machine type without PVE's suffix; empty where none is given."""
        return _PVE_SUFFIX.sub("", self.view.machine_type)

    @property
    def board(self) -> str:
        """The machine type, said or the binary's default; empty where neither is known."""
        return self.machine_type or self.capabilities.default_machine

    @once
    def platform(self) -> Platform | None:
        """The machine type's facts, if serial ports are planned on it."""
        known = self.architecture
        return known.platform(self.board, self.view.machine) if known else None

    @once
    def is_pve(self) -> bool:
        """Proxmox VE started it: its map of PCI addresses holds."""
        options = self.command.options
        return any(option.name == "id" for option in options) or any(
            option.name == "pidfile" and (option.value or "").startswith(_PVE_RUN)
            for option in options
        )

    @once
    def uarts(self) -> int:
        """How many ``-serial`` reach something."""
        assert self.platform is not None
        if self.platform.uart is None:
            return self.platform.isa_serials if self.platform.isa else 0
        count = onboard_uarts(
            self.platform, self.machine_type, self.view.machine, self.capabilities
        )[0]
        return _before_none(self.view, count) if self.platform.uart.none_ends else count

    @property
    def virtio_serial(self) -> str:
        """The controller of the machine type's virtio ports."""
        return self.platform.virtio_serial if self.platform else "virtio-serial-pci"

    @once
    def uarts_wired(self) -> int:
        """How many ``-serial`` the board takes: with the secure world's, which is nobody's else."""
        assert self.platform is not None
        return self.uarts + is_secure(self.platform, self.view.machine)

    @once
    def complete(self) -> bool:
        """All options are seen: no -readconfig file is left unread."""
        if self.lowered and any(gap.id == "readconfig" for gap in self.lowered.command.gaps):
            return False
        read = {option.where.file for option in self.view.options if option.in_file}
        return all(option.value in read for option in self.command.named("readconfig"))

    @once
    def root_buses(self) -> frozenset[str]:
        """Names of the root PCI bus; a device that names none is on it."""
        assert self.platform is not None
        return frozenset({"", self.platform.root_bus})

    @once
    def device_ids(self) -> frozenset[str]:
        """Ids that devices have."""
        return frozenset(device.id for device in self.view.devices if device.id)

    @once
    def chardevs(self) -> Mapping[str, ChardevEntry]:
        """The chardevs by id, of one id the first."""
        return self.view.chardevs_by_id

    @once
    def any_ids(self) -> frozenset[str]:
        """Ids of devices, and the empty one where a device has none."""
        return frozenset([device.id for device in self.view.devices])

    @once
    def bridge_ids(self) -> frozenset[str]:
        """Ids of PCI bridges."""
        return frozenset([device.id for device in self.view.devices if device.is_bridge])

    @once
    def made(self) -> tuple[DeviceEntry, ...]:
        """The devices in the order in which QEMU makes them: those in JSON come last.

        It goes over the key=value ones first (system/vl.c, ``qemu_create_cli_devices()``).
        """
        late = [device for device in self.view.devices if device.option.params.is_json]
        if not late or len(late) == len(self.view.devices):
            return self.view.devices
        return (*(d for d in self.view.devices if not d.option.params.is_json), *late)

    @once
    def order(self) -> Mapping[int, int]:
        """The place of each option (by ``id()``) in the order in which QEMU looks at them."""
        options = self.view.options
        last = {id(device.option) for device in self.made if device.option.params.is_json}
        if not last:
            return {id(option): place for place, option in enumerate(options)}
        late = [option for option in options if id(option) in last]
        early = [option for option in options if id(option) not in last]
        return {id(option): place for place, option in enumerate((*early, *late))}

    @once
    def staying(self) -> tuple[Port, ...]:
        """The ports that keep their place so far."""
        return tuple(port for port in self.ports if port not in self.leaving)

    @once
    def unsupported(self) -> tuple[Port, ...]:
        """The ports whose device this binary or this board does not have."""
        assert self.platform is not None
        isa = self.platform.isa
        lacking = {
            driver for driver in {port.driver for port in self.ports} - {""}
            if not (self.knows(driver) and (isa or driver != "isa-serial"))
        }  # fmt: skip
        return tuple([p for p in self.ports if p.driver in lacking]) if lacking else ()

    @once
    def host_sides(self) -> HostSides:
        """The chardevs: who uses which, what is there twice or not at all."""
        return HostSides(self)

    @once
    def isa(self) -> tuple[IsaConflict, ...]:
        """isa-serial devices past the fourth, or at an index that another one has."""
        return isa_conflicts(self)

    @once
    def occupancy(self) -> Occupancy:
        """The places on USB, virtio-serial and PCI: who has which, who collides."""
        return Occupancy(self)

    @once
    def named(self) -> PortNames:
        """The ports by their options and chardevs."""
        return PortNames(self.ports)

    def ports_at(self, option: CommandOption, chardev_id: str) -> tuple[str, ...]:
        """Return the name of the port that has a host side; nothing for a monitor's."""
        return self.named.at(option, chardev_id)

    def chardev_user(self, chardev_id: str) -> str:
        """Return the name of the port that has a chardev; else the chardev's id."""
        return self.named.user(chardev_id)

    def port_at(self, option: CommandOption, chardev_id: str) -> str:
        """Return the name of the port that an option is; else what uses the chardev, or itself."""
        return self.named.of_option(option) or (
            self.chardev_user(chardev_id) if chardev_id else str(option)
        )

    def carries(self, device: DeviceEntry) -> bool:
        """Tell whether a device is a controller that ports may be on, where there are ports."""
        controller = device.is_virtio_serial or device.is_usb_controller
        return controller and bool(self.ports)

    def knows(self, driver: str) -> bool:
        """Tell whether the binary has a device; an unknown binary has all."""
        return not self.capabilities.devices or driver in self.capabilities.devices

    def is_pci(self, device: DeviceEntry) -> bool:
        """Tell whether a device sits on a PCI bus."""
        known = self.capabilities.devices.get(device.driver)
        if known is not None:
            return known.bus.lower().startswith("pci")
        return _named_as_pci(device.driver) or device.pci is not None


@lru_cache(maxsize=512)
def _named_as_pci(driver: str) -> bool:
    """Tell whether a device's name tells that it sits on a PCI bus."""
    usb = sort_of(driver).makes_usb and driver != "sysbus-ohci"
    return driver.endswith("-pci") or driver in _PCI or usb


def _before_none(view: CommandView, count: int) -> int:
    """Return how many of ``count`` UARTs there are where the first ``-serial none`` ends them."""
    return min([count, *(port.index for port in view.onboard if port.host.form == "none")])
