"""On-board UARTs: part of the board, reached only by ``-serial chardev:ID``."""

from __future__ import annotations

from vmserial.board import Board
from vmserial.devices.base import DeviceKind
from vmserial.model import Assignment, Finding, SerialPort, Severity


class OnBoardUartKind(DeviceKind):
    """``uart``: pl011 on aarch64's ``virt``; carries firmware and boot output."""

    name = "uart"
    driver = ""
    title = "the board's own UART; it carries firmware and boot output"
    hot_pluggable = False

    def obstacle(self, board: Board, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        uart = board.platform.uart
        if uart is None:
            return self.refuse(
                port,
                "kind-not-on-arch",
                f"{board.architecture.name} {board.platform.name} has no on-board UART that "
                "-serial alone reaches",
                "its classic ports are isa-serial: use --type isa",
            )
        if board.uarts_left > 0:
            return None
        old = board.capabilities.version < (9, 1, 0)
        newer = "; QEMU 9.1 and later wire up two" if old else ""
        return self.refuse(
            port,
            "onboard-uart-limit",
            f"{board.platform.name} of QEMU {board.capabilities.version_text} wires up "
            f"{board.uarts_used + board.uarts_of_args} {uart.model}, and {port.name} would be one "
            "more: QEMU starts and the port is silently dead",
            f"use --type auto, usb, pci or virtio for it{newer}",
            Severity.DEAD,
        )

    def place(self, board: Board, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        uart = board.platform.uart
        assert uart is not None
        number = board.uarts_used
        board.uarts_used += 1
        board.uarts_left -= 1
        identity = uart.identities[number]
        return Assignment(
            port=port,
            kind=self.name,
            chardev_id=port.name,
            device=None,
            bus="board",
            address=identity.value,
            identity=identity,
            node=f"{uart.node}{number}",
            hot_pluggable=False,
            reason=reason,
            cautions=uart.cautions,
        )


KINDS = (OnBoardUartKind(),)
