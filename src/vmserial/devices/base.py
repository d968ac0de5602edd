"""What every device kind says about itself and how it takes a place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from vmserial.board import Board
from vmserial.model import Assignment, Finding, SerialPort, Severity, refusal


class DeviceKind(ABC):
    """One way to give a VM a serial port.

    Attributes:
        name: what ``--type`` calls it.
        driver: QEMU's device; empty for an on-board UART.
        title: one line for people.
        hot_pluggable: where the bus allows it.
        cautions: facts that its user must know, each with its source in facts.
        test_guest_modules: what a guest kernel needs for it, for people.
    """

    name: ClassVar[str]
    driver: ClassVar[str]
    title: ClassVar[str]
    hot_pluggable: ClassVar[bool]
    cautions: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def obstacle(self, board: Board, port: SerialPort) -> Finding | None:
        """Tell why this board, binary or guest cannot carry another port of this kind.

        None means that :meth:`place` will succeed.  Nothing is changed.
        """

    @abstractmethod
    def place(self, board: Board, port: SerialPort, reason: str) -> Assignment:
        """Take the place.  Only called where :meth:`obstacle` found none."""

    def missing_driver(self, board: Board, port: SerialPort, *drivers: str) -> Finding | None:
        """Refuse if the binary lacks one of ``drivers`` (an unknown binary lacks none)."""
        known = board.capabilities.devices
        for driver in drivers:
            if known and driver not in known:
                return refusal(
                    "binary-no-device",
                    f"'{driver}' is not a device of this QEMU "
                    f"({board.capabilities.target} {board.capabilities.version_text})",
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


def guest_8250_full(
    kind: DeviceKind, board: Board, port: SerialPort, more: int = 1
) -> Finding | None:
    """Refuse if the guest's kernel would register fewer 8250 ports than this needs."""
    limit = board.guest.uarts_8250
    if board.uarts_8250 + more <= limit:
        return None
    if board.guest.nr_uarts > limit:
        way = f"boot the guest with 8250.nr_uarts={board.guest.nr_uarts}, or "
    else:
        way = ""
    return kind.refuse(
        port,
        "guest-8250-limit",
        f"the guest {board.guest.name} registers {limit} 8250 ports ({board.guest.source}); "
        f"{board.uarts_8250} are taken and {port.name} as {kind.name} needs {more} more: it would "
        "be dead in the guest although QEMU is content",
        f"{way}use --type auto, usb or virtio for the ports past {limit}, "
        "or name the guest with --guest",
        Severity.DEAD,
    )
