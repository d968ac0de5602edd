"""What a VM is, what a binary and a guest can carry, and what was planned: plain data.

Everything here is frozen and knows no I/O.  A reader in :mod:`vmserial.formats`
makes a :class:`Machine`; :mod:`vmserial.qemu.binary` makes
:class:`Capabilities`; :mod:`vmserial.guests.profile` makes a
:class:`GuestProfile`; :func:`vmserial.planner.plan` turns the three into a
:class:`Plan`.

No ``slots=True`` here: it makes each class twice, which costs every start of
the command line 12 ms, and there are too few objects for it to save anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vmserial.options import Option, Scalar

# ------------------------------------------------------------------ places in files


@dataclass(frozen=True)
class SourceRef:
    """Where something was written: a file and a line (1-based), or an option."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Note:
    """Something the user must hear about the input; never fatal.

    Attributes:
        kind: ``warning`` (the input is odd), ``untranslated`` (a key that has no
            part in the command), ``replaced`` (translated to something else).
    """

    kind: Literal["warning", "untranslated", "replaced"]
    message: str
    where: SourceRef | None = None
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text


# ------------------------------------------------------------------ chardev backends


@dataclass(frozen=True)
class UnixSocket:
    """``-chardev socket,path=…``: as server (the default) or as client.

    ``reconnect_ms`` is in milliseconds and only for a client; QEMU before 9.2
    knows whole seconds only.
    """

    path: str
    server: bool = True
    wait: bool = False
    abstract: bool = False
    tight: bool = True
    telnet: bool = False
    websocket: bool = False
    reconnect_ms: int = 0


@dataclass(frozen=True)
class TcpSocket:
    """``-chardev socket,host=…,port=…``: as server (the default) or as client."""

    host: str
    port: int
    server: bool = True
    wait: bool = False
    to: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None
    nodelay: bool = False
    telnet: bool = False
    websocket: bool = False
    tls_creds: str = ""
    tls_authz: str = ""
    reconnect_ms: int = 0


@dataclass(frozen=True)
class Pty:
    """``-chardev pty``; ``path`` (a symlink to the pty) needs QEMU 9.2."""

    path: str = ""


@dataclass(frozen=True)
class HostTty:
    """``-chardev serial,path=…``: a tty of the host; must be a character device."""

    path: str


@dataclass(frozen=True)
class File:
    """``-chardev file,path=…``: output only, or with ``input_path`` both ways."""

    path: str
    append: bool = False
    input_path: str = ""


@dataclass(frozen=True)
class Pipe:
    """``-chardev pipe,path=…``: PATH.in and PATH.out, or one FIFO of that name."""

    path: str


@dataclass(frozen=True)
class Udp:
    """``-chardev udp``: datagrams to ``host:port``, received on ``localaddr:localport``."""

    host: str
    port: int
    localaddr: str = ""
    localport: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None


@dataclass(frozen=True)
class Null:
    """``-chardev null``: output is thrown away, input never comes."""


@dataclass(frozen=True)
class Ringbuf:
    """``-chardev ringbuf``: the last ``size`` bytes (a power of two) in QEMU's memory."""

    size: int = 65536


@dataclass(frozen=True)
class Stdio:
    """``-chardev stdio``: QEMU's own standard input and output; one port at most."""

    signal: bool = False


@dataclass(frozen=True)
class Vc:
    """``-chardev vc``: a text console inside QEMU's own window; sizes in pixels or cells."""

    width: int | None = None
    height: int | None = None
    cols: int | None = None
    rows: int | None = None


Backend = UnixSocket | TcpSocket | Pty | HostTty | File | Pipe | Udp | Null | Ringbuf | Stdio | Vc


@dataclass(frozen=True)
class Chardev:
    """The host side of a port: a backend and, if wanted, a log of all that the guest sends.

    Attributes:
        logfile: QEMU writes each byte that the guest sends here (QEMU ≥ 2.6).
        logappend: add to an existing log instead of truncating it.
    """

    backend: Backend
    logfile: str = ""
    logappend: bool = False


# ------------------------------------------------------------------ the VM that is asked for

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
    """

    index: int
    chardev: Chardev
    kind: str = "auto"
    hotplug: bool = False
    state: PortState = "plugged"
    where: SourceRef | None = None

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
    """``-kernel``, ``-initrd``, ``-append``."""

    kernel: str
    initrd: str = ""
    append: str = ""


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
        free_slots: if not empty, the only root-bus slots that ports may use.
        args: a user's own words, put last on the command line.
        args_where: where they were given.
        notes: what the reader wants the user to hear.
        origin: ``pve``, ``toml`` or ``options``.
        pve_serials: what PVE itself reads, for the doctor; empty for other origins.
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
    notes: tuple[Note, ...] = ()
    origin: Literal["pve", "toml", "options"] = "options"
    pve_serials: tuple[PveSerial, ...] = ()
    where: SourceRef | None = None


# ------------------------------------------------------------------ what the hardware can carry


@dataclass(frozen=True)
class DeviceType:
    """A device of a QEMU binary: its bus (empty for none) and its properties."""

    name: str
    bus: str = ""
    properties: frozenset[str] = frozenset()
    hotpluggable: bool = True


@dataclass(frozen=True)
class MachineType:
    """A machine type of a QEMU binary; ``alias`` is the short name (``virt``, ``q35``)."""

    name: str
    alias: str = ""
    max_cpus: int = 1
    default: bool = False
    deprecated: bool = False


@dataclass(frozen=True)
class Capabilities:
    """What one QEMU binary has, as asked over QMP.

    Attributes:
        binary: the path that was asked; empty for a recorded or assumed one.
        version: major, minor, micro.
        target: QEMU's target name (``query-target``).
        devices: by name.
        machines: by name and by alias.
        onboard_uarts: by machine type *as asked for* (``virt``), how many on-board
            UARTs ``-serial`` really reaches; measured on a paused VM.
        accelerators: those compiled in and *proven* to make progress.
        chardevs: backend names that the binary has.
        package: the packager's suffix of the version, such as ``Debian 1:7.2…``.
        measured: False where a number was taken from a table, not from the binary.
    """

    version: tuple[int, int, int]
    target: str
    devices: Mapping[str, DeviceType] = field(default_factory=dict)
    machines: Mapping[str, MachineType] = field(default_factory=dict)
    onboard_uarts: Mapping[str, int] = field(default_factory=dict)
    accelerators: frozenset[str] = frozenset({"tcg"})
    chardevs: frozenset[str] = frozenset()
    binary: str = ""
    package: str = ""
    measured: bool = True

    @property
    def version_text(self) -> str:
        """``7.2.22``."""
        return ".".join(str(part) for part in self.version)


@dataclass(frozen=True)
class GuestProfile:
    """What a guest's kernel can carry.

    Attributes:
        name: such as ``debian-12-arm64``; ``unknown`` where nothing was said.
        source: where the numbers come from: a kernel config file, a table, an assumption.
        assumed: True if nobody said which guest it is; the plan then says so.
        kernel: major and minor version of the kernel, or None.
        nr_uarts: CONFIG_SERIAL_8250_NR_UARTS, a hard limit.
        runtime_uarts: CONFIG_SERIAL_8250_RUNTIME_UARTS.
        nr_uarts_parameter: ``8250.nr_uarts=`` on its command line, or None.
        usb_serial: it has xhci and ftdi_sio (built in or as modules).
        virtio_console: it has the virtio_console driver.
        pci_hotplug: it handles PCI hot-plug (CONFIG_HOTPLUG_PCI_PCIE).
        pci_serial: it has 8250_pci.
    """

    name: str
    source: str = ""
    assumed: bool = False
    kernel: tuple[int, int] | None = None
    nr_uarts: int = 4
    runtime_uarts: int = 4
    nr_uarts_parameter: int | None = None
    usb_serial: bool = True
    virtio_console: bool = True
    pci_hotplug: bool = True
    pci_serial: bool = True

    @property
    def uarts_8250(self) -> int:
        """How many 8250 ports the kernel registers.

        Before Linux 6.5 it is RUNTIME_UARTS (or ``8250.nr_uarts=``), from 6.5 on
        ports added later may use all of NR_UARTS; never more than NR_UARTS.
        """
        if self.nr_uarts_parameter is not None:
            wanted = self.nr_uarts_parameter
        elif self.kernel is not None and self.kernel >= (6, 5):
            wanted = self.nr_uarts
        else:
            wanted = self.runtime_uarts
        return min(wanted, self.nr_uarts)


# ------------------------------------------------------------------ what was planned


@dataclass(frozen=True)
class Device:
    """One ``-device``: driver, id, and properties in order (bus and addr among them)."""

    driver: str
    id: str
    properties: tuple[tuple[str, Scalar], ...] = ()

    def option(self, role: str = "serial") -> Option:
        """Return it as a command-line option."""
        return Option("-device", self.driver, (("id", self.id), *self.properties), role=role)

    def qmp(self) -> dict[str, Scalar]:
        """Return the arguments of QMP ``device_add``."""
        return {"driver": self.driver, "id": self.id, **dict(self.properties)}


IdentityKind = Literal["mmio", "io", "usb", "pci", "virtio"]


@dataclass(frozen=True)
class NodeIdentity:
    """By what a port is known inside the guest; never by order or by counting.

    Attributes:
        kind: ``mmio``: the UART's physical address (``iomem_base`` in sysfs);
            ``io``: its I/O port (``port`` in sysfs); ``usb``: the USB serial
            string; ``pci``: the path of slot.function pairs from the root bus,
            then ``#`` and the number of the UART in the function; ``virtio``:
            the port's name.
        value: ``0x9000000``, ``0x3f8``, ``serial3``, ``1d.2/00.0#0``, ``serial3``.
    """

    kind: IdentityKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True)
class Assignment:
    """What one port got, and why.

    Attributes:
        port: the request.
        kind: the device kind's name; never ``auto``.
        chardev_id: the chardev's id, ``serialN``.
        device: the device; None for an on-board UART (``-serial chardev:ID``).
            Ports of one pci-serial-2x/-4x card share one device.
        bus: the bus's id, for people (``pcie.0``, ``xhci0.0``, ``virtio-serial0.0``).
        address: the place on it, for people (``1d.2``, ``port 3``, ``nr 5``).
        identity: by what the guest's node will be known.
        node: the node that is expected; ``*`` where the number is the kernel's choice.
        hot_pluggable: it can be unplugged and plugged on a running VM.
        reason: why this kind and this place.
        cautions: facts about this kind that its user must know.
    """

    port: SerialPort
    kind: str
    chardev_id: str
    device: Device | None
    bus: str
    address: str
    identity: NodeIdentity
    node: str
    hot_pluggable: bool
    reason: str
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why something cannot be carried, named before anything starts.

    Attributes:
        id: stable, such as ``guest-8250-limit``.
        ports: the ports it concerns; empty for the VM as a whole.
        message: what does not fit, with the limit.
        hint: the way out.
        where: where it was asked for.
    """

    id: str
    message: str
    hint: str
    ports: tuple[str, ...] = ()
    where: SourceRef | None = None


@dataclass(frozen=True)
class Plan:
    """The whole answer: every option of the command line and every port's place.

    Attributes:
        machine: what was asked for.
        qemu: what it was planned for.
        guest: the guest it was planned for.
        options: the command line without the binary, in order.
        assignments: one per port that could be placed, by index.
        control: the harness's own port, if one was asked for (role ``control``).
        warnings: what is carried but must be known.
        assumptions: what nobody said and the plan took for granted.
        refusals: what is not carried; a plan with one must not be started.
    """

    machine: Machine
    qemu: Capabilities
    guest: GuestProfile
    options: tuple[Option, ...]
    assignments: tuple[Assignment, ...]
    control: Assignment | None = None
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def assignment(self, index: int) -> Assignment:
        """Return the assignment of ``serial<index>``; KeyError if it has none."""
        for assignment in self.assignments:
            if assignment.port.index == index:
                return assignment
        raise KeyError(f"serial{index}")
