"""What every device kind says about itself and how it takes a place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from vmserial.allocator import Allocator
from vmserial.model import Assignment, Capabilities, Finding, SerialPort, Severity, refusal


class DeviceKind(ABC):
    """One way to give a VM a serial port.

    Attributes:
        name: what ``--type`` calls it.
        driver: QEMU's device; empty for an on-board UART.
        title: one line for people.
        hot_pluggable: where the bus allows it.
        cautions: facts that its user must know, each with its source in facts.
        guest_kib: memory of the guest that a port takes, in KiB; 0: nothing that can be measured.
        test_guest_modules: what a guest kernel needs for it, for people.
    """

    name: ClassVar[str]
    driver: ClassVar[str]
    title: ClassVar[str]
    hot_pluggable: ClassVar[bool]
    cautions: ClassVar[tuple[str, ...]] = ()
    guest_kib: ClassVar[int] = 0

    def memory_kib(self, capabilities: Capabilities) -> int:
        """Return the memory of the guest that a port of this kind takes on a binary, in KiB."""
        del capabilities
        return self.guest_kib

    @abstractmethod
    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """Tell why this board, binary or guest cannot carry another port of this kind.

        None means that :meth:`place` will succeed.  Nothing is changed.
        """

    @abstractmethod
    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """Take the place.  Only called where :meth:`obstacle` found none."""

    def missing_driver(
        self, allocator: Allocator, port: SerialPort, *drivers: str
    ) -> Finding | None:
        """Refuse if the binary lacks one of ``drivers`` (an unknown binary lacks none)."""
        known = allocator.capabilities.devices
        for driver in drivers:
            if known and driver not in known:
                return refusal(
                    "binary-no-device",
                    f"'{driver}' is not a device of this QEMU "
                    f"({allocator.capabilities.target} {allocator.capabilities.version_text})",
                    fix=f"choose another type than {self.name}, or --type auto",
                    ports=(port.name,),
                    where=port.where,
                )
        return None

    def refuse(
        self,
        port: SerialPort,
        id: str,
        happens: str,
        fix: str,
        severity: Severity = Severity.FAILS,
    ) -> Finding:
        """Return a refusal of this port."""
        return refusal(id, happens, fix, ports=(port.name,), where=port.where, severity=severity)


def without_pci(kind: DeviceKind, allocator: Allocator, port: SerialPort) -> Finding | None:
    """Refuse what stands on PCI where the board has none."""
    board = allocator.platform
    if board.root_bus:
        return None
    wanted = dict(board.options).get("pcie")
    return kind.refuse(
        port, "pci-no-bus",
        f"{allocator.architecture.name} {board.name} has no PCI bus, which {kind.driver} needs",
        f"--machine {board.name},pcie=on (and no acpi=off), or use another type" if wanted
        else "use --type auto, uart or virtio",
    )  # fmt: skip


def guest_8250_full(
    kind: DeviceKind, allocator: Allocator, port: SerialPort, more: int = 1
) -> Finding | None:
    """Refuse if the guest's kernel would register fewer 8250 ports than this needs."""
    limit = allocator.guest.uarts_8250
    if allocator.uarts_8250 + more <= limit:
        return None
    taken = min(allocator.uarts_8250, limit)
    if allocator.guest.nr_uarts > limit:
        way = f"boot the guest with 8250.nr_uarts={allocator.guest.nr_uarts}, or "
    else:
        way = ""
    return kind.refuse(
        port,
        "guest-8250-limit",
        f"the guest {allocator.guest.name} registers {limit} 8250 ports "
        f"({allocator.guest.source}); {taken} are taken and {port.name} as "
        f"{kind.name} needs {more} more: it would be dead in the guest although QEMU is content",
        f"{way}use --type auto, usb or virtio for the ports past {limit}, "
        "or name the guest with --guest",
        Severity.DEAD,
    )
