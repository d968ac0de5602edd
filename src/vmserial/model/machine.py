"""The VM that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vmserial.model.backends import Chardev
from vmserial.model.source import Note, SourceRef

if TYPE_CHECKING:
    from vmserial.model.origin import LoweredCommand

    Started = Callable[[tuple[int, int, int]], LoweredCommand]

PortState = Literal["plugged", "unplugged", "absent"]


@dataclass(frozen=True)
class SerialPort:
    """One serial port as its owner asks for it.

    Attributes:
        index: N of ``serialN``; any N ≥ 0, gaps are allowed.
        chardev: the host side.
        kind: the name of a device kind (:mod:`vmserial.devices`) or ``auto``.
        hotplug: True if the port must sit where it can be unplugged and plugged.
        state: ``plugged`` (there from the start), ``unplugged`` (its chardev is
            given at the start and its place is kept, its device comes later),
            ``absent`` (only its place is kept; chardev and device come later).
        where: where it was asked for.
        com: of an isa port which of the PC's four it is, from 0; None: that of its number.
    """

    index: int
    chardev: Chardev
    kind: str = "auto"
    hotplug: bool = False
    state: PortState = "plugged"
    where: SourceRef | None = None
    com: int | None = None

    @property
    def name(self) -> str:
        """``serialN``."""
        return f"serial{self.index}"


@dataclass(frozen=True)
class Cpu:
    """``-cpu``; an empty model is the machine's own default. ``flags`` as ``+aes``."""

    model: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Topology:
    """``-smp``: vcpus at start, and the sockets and cores that bound them."""

    vcpus: int = 1
    sockets: int = 1
    cores: int = 1


@dataclass(frozen=True)
class Display:
    """What the VM shows: nothing, its console on ``serialN``, or a graphics card.

    Attributes:
        kind: PVE's names: ``none``, ``serial``, ``std``, ``cirrus``, ``vmware``,
            ``qxl``, ``virtio``, ``virtio-gl``.
        serial: for kind ``serial``, the port's index.
        memory_mib: video memory, 0 for the default.
    """

    kind: str = "none"
    serial: int = 0
    memory_mib: int = 0


@dataclass(frozen=True)
class Firmware:
    """``default`` (the machine's own), ``seabios`` or ``ovmf``.

    Attributes:
        code: the read-only image of ovmf; empty: the packaged one.
        variables: the writable variable store; empty: none.
        variables_format: ``raw`` or ``qcow2``.
    """

    kind: Literal["default", "seabios", "ovmf"] = "default"
    code: str = ""
    variables: str = ""
    variables_format: str = "raw"


@dataclass(frozen=True)
class Disk:
    """One drive.

    Attributes:
        bus: ``ide``, ``sata``, ``scsi`` or ``virtio``.
        index: N of ``scsiN``.
        path: absolute path of the image or block device; empty: no medium.
        format: ``raw`` or ``qcow2``.
        cdrom: a read-only optical drive.
        cache, discard, iothread, serial, readonly: as in PVE and QEMU.
        boot_index: place in the boot order, 0 for none, 1 first.
    """

    bus: str
    index: int
    path: str
    format: str = "raw"
    cdrom: bool = False
    readonly: bool = False
    cache: str = ""
    discard: bool = False
    ssd: bool = False
    serial: str = ""
    boot_index: int = 0
    where: SourceRef | None = None


@dataclass(frozen=True)
class Nic:
    """One network card: ``user`` mode, or a ``tap`` that joins ``bridge``."""

    index: int
    model: str = "virtio"
    mac: str = ""
    mode: Literal["user", "tap"] = "user"
    bridge: str = ""
    ifname: str = ""
    queues: int = 0
    mtu: int = 0
    link_down: bool = False
    boot_index: int = 0
    where: SourceRef | None = None


@dataclass(frozen=True)
class Agent:
    """The QEMU guest agent's port: it takes a virtio port or one of ISA's four."""

    kind: Literal["virtio", "isa"] = "virtio"
    path: str = ""
    where: SourceRef | None = None


@dataclass(frozen=True)
class DirectBoot:
    """``-kernel``, ``-initrd``, ``-append``, ``-dtb``; ``-bios``, where firmware starts them."""

    kernel: str
    initrd: str = ""
    append: str = ""
    dtb: str = ""
    bios: str = ""


@dataclass(frozen=True)
class PveSerial:
    """A ``serialN:`` line as PVE itself reads it, whatever our own directives add to it.

    Attributes:
        index: N.
        value: the text after the colon, without surrounding blanks.
        where: its line.
    """

    index: int
    value: str
    where: SourceRef


@dataclass(frozen=True)
class Machine:
    """A VM as its owner describes it, whatever the description's format was.

    Attributes:
        arch: QEMU's target name: ``aarch64``, ``x86_64``.
        machine_type: ``virt``, ``q35``, ``pc-i440fx-7.2``…; empty: the
            architecture's default.
        machine_options: further ``-machine`` properties.
        accel: ``auto`` (proven, :mod:`vmserial.qemu.accel`), ``kvm`` or ``tcg``.
        taken: places on the root PCI bus that something outside this description
            uses (PVE's fixed map): pairs of slot and function.
        free_slots: if not empty, the only slots that ports may use.
        free_bus: the bus whose slots these are, where it is not the root bus.
        free_path: the slots and functions that lead to it, ``1f.0/``.
        root_port_slots: of the root bus, where ports have another bus.
        args: a user's own words, put last on the command line.
        args_where: where they were given.
        notes: what the reader wants the user to hear.
        left_behind: what is lost where the VM is written as anything but the command that its
            owner starts.
        origin: ``pve``, ``libvirt``, ``argv``, ``toml`` or ``options``.
        pve_serials: what PVE itself reads, for the doctor; empty for other origins.
        pve_args_ports: the ports whose chardevs and devices stand in PVE's ``args:``, as
            ``vmserial fix`` writes them; they are not among ``args`` any more.
        guest_os: the guest's system where it is said and no Linux, in PVE's words (``win11``).
        vmid: PVE's number of the VM; 0 where it is not known.
        emulator: the program that its owner starts, where the description names it.
        started: returns the command that its owner starts with a QEMU of a version; None where
            nobody but vmserial starts it.
        where: the file as a whole.
        lines: where single settings stand, by the name of their field here (``cpu``); for
            messages only.
    """

    arch: str
    ports: tuple[SerialPort, ...]
    name: str = "vm"
    machine_type: str = ""
    machine_options: tuple[tuple[str, str], ...] = ()
    cpu: Cpu = Cpu()
    topology: Topology = Topology()
    memory_mib: int = 512
    accel: Literal["auto", "kvm", "tcg"] = "auto"
    uuid: str = ""
    smbios: tuple[tuple[str, str], ...] = ()
    display: Display = Display()
    tablet: bool = False
    keyboard: bool = False
    usb_controller: str = ""
    agent: Agent | None = None
    firmware: Firmware = Firmware()
    scsi_controller: str = "virtio-scsi-pci"
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    balloon: bool = False
    rng: bool = False
    boot: DirectBoot | None = None
    args: tuple[str, ...] = ()
    args_where: SourceRef | None = None
    vmgenid: str = ""
    localtime: bool = False
    taken: frozenset[tuple[int, int]] = frozenset()
    free_slots: tuple[int, ...] = ()
    free_bus: str = ""
    free_path: str = ""
    root_port_slots: tuple[int, ...] = ()
    notes: tuple[Note, ...] = ()
    left_behind: tuple[Note, ...] = ()
    origin: Literal["pve", "toml", "options", "libvirt", "argv"] = "options"
    pve_serials: tuple[PveSerial, ...] = ()
    pve_args_ports: tuple[int, ...] = ()
    guest_os: str = ""
    vmid: int = 0
    emulator: str = ""
    started: Started | None = field(default=None, compare=False, repr=False)
    where: SourceRef | None = None
    lines: Mapping[str, SourceRef] = field(default_factory=dict, compare=False, repr=False)

    def place_of(self, name: str) -> SourceRef | None:
        """Return where a field's setting stands; the file as a whole where that is not known."""
        return self.lines.get(name, self.where)
