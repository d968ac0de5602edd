"""What a QEMU binary has, and what a guest can register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PCI_UARTS: Mapping[str, int] = {"pci-serial": 1, "pci-serial-2x": 2, "pci-serial-4x": 4}
"""16550A on each serial card of QEMU; the guest registers all of them, used or not."""

VIRTIO_PORTS = frozenset({"virtserialport", "virtconsole"})
"""The ports that a virtio-serial controller carries."""

ABSENT = "absent"
"""How a guest's kernel has a driver that it was built without."""


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
        trimmed: only the devices that matter to serial ports are in it.
        cpus: the names of its CPU models, in small letters; empty where it does not tell.
        board_properties: of each machine type whose UARTs were measured, what ``-machine``
            takes behind its name.
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
    trimmed: bool = False
    cpus: frozenset[str] = frozenset()
    board_properties: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def lacks_cpu(self, model: str) -> bool:
        """Tell whether it is known that the binary has no CPU model of that name.

        A PowerPC's can be a number (its PVR), and ``host`` is the accelerator's.
        """
        name = model.lower()
        other = name in {"", "host", "max", "help", "?"} or name.endswith("-cpu") or name[0] == "0"
        return bool(self.cpus) and not other and name not in self.cpus

    @property
    def version_text(self) -> str:
        """``7.2.22``."""
        return ".".join(str(part) for part in self.version)

    @property
    def default_machine(self) -> str:
        """The machine type of a command that names none; empty where there is none."""
        return next((each.name for each in self.machines.values() if each.default), "")


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
        limits_known: False of a system of which no limit is known: the numbers and drivers
            here then only forbid nothing.
        drivers: how the kernel has each driver of a serial port, ``built in``, ``module`` or
            ``absent``, by the module's name; empty where its configuration was not read.
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
    limits_known: bool = True
    drivers: tuple[tuple[str, str], ...] = ()

    def has(self, driver: str) -> bool:
        """Tell whether it is known that the kernel was built with a driver."""
        return any(name == driver and how != ABSENT for name, how in self.drivers)

    def lacks(self, driver: str) -> bool:
        """Tell whether it is known that the kernel was built without a driver."""
        return (driver, ABSENT) in self.drivers

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


MMIO_WORDS = "virtio_mmio.device="
"""What a kernel with CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES reads, among its drivers."""
