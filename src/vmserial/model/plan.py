"""What was planned: devices, ports with their places and nodes, refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vmserial.model.carries import ALL_BYTES, Carries
from vmserial.model.finding import Finding
from vmserial.model.hardware import Capabilities, GuestProfile
from vmserial.model.machine import Machine, SerialPort
from vmserial.options import Option, Scalar


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


IdentityKind = Literal["mmio", "io", "usb", "pci", "virtio", "vio", "sclp"]


@dataclass(frozen=True)
class NodeIdentity:
    """By what a port is known inside the guest; never by order or by counting.

    Attributes:
        kind: ``mmio``: the UART's physical address (``iomem_base`` in sysfs);
            ``io``: its I/O port (``port`` in sysfs); ``usb``: the USB serial
            string, or QEMU's bus and port where it has none; ``pci``: the path of
            slot.function pairs from the root bus, then ``#`` and the number of the UART in
            the function; ``virtio``: the port's name, or its bus and number where it has none;
            ``vio``: its register on pseries; ``sclp``: its device.
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
        chardev_id: the chardev's id: ``serialN``, or its owner's (``charserialN``).
        device: the device; None for an on-board UART (``-serial chardev:ID``).
            Ports of one pci-serial-2x/-4x card share one device.
        bus: the bus's id, for people (``pcie.0``, ``xhci0.0``, ``virtio-serial0.0``).
        address: the place on it, for people (``1d.2``, ``port 3``, ``nr 5``).
        identity: by what the guest's node will be known.
        node: the node that is expected; ``*`` where the number is the kernel's choice.
        at_boot: the node, with its number, of a Linux that boots with all ports plugged; empty
            where it is not certain.  Later plugging changes numbers, never the identity.
        hot_pluggable: it can be unplugged and plugged on a running VM.
        reason: why this kind and this place.
        cautions: facts about its device model that its user must know.
        carries: which of its bytes come out at the other end.
        on_board: the device model of an on-board UART, for people; empty for a device.
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
    carries: Carries = ALL_BYTES
    on_board: str = ""
    at_boot: str = ""

    @property
    def model(self) -> str:
        """QEMU's device model, which its cautions are about: ``pl011``, ``usb-serial``."""
        return self.device.driver if self.device is not None else self.on_board or self.kind


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
        memory_kib: what all its ports take of the guest's memory, in KiB.
    """

    machine: Machine
    qemu: Capabilities
    guest: GuestProfile
    options: tuple[Option, ...]
    assignments: tuple[Assignment, ...]
    control: Assignment | None = None
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    refusals: tuple[Finding, ...] = ()
    memory_kib: int = 0

    @property
    def memory_mib(self) -> int:
        """The same in MiB, rounded up."""
        return -(-self.memory_kib // 1024)

    def assignment(self, index: int) -> Assignment:
        """Return the assignment of ``serial<index>``; KeyError if it has none."""
        for assignment in self.assignments:
            if assignment.port.index == index:
                return assignment
        raise KeyError(f"serial{index}")
