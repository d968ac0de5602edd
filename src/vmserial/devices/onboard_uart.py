"""On-board UARTs: part of the board, reached only by ``-serial chardev:ID``."""

from __future__ import annotations

from vmserial.allocator import Allocator
from vmserial.devices.base import DeviceKind
from vmserial.limits import HVC_NODE, HVC_NODES
from vmserial.machines import OnBoardUart
from vmserial.model import Assignment, Finding, SerialPort, Severity

_MORE_SINCE = ((9, 1, 0), (9, 2, 0))
"""Where a board got more UARTs: arm's ``virt``, loongarch64's ``virt``."""


class OnBoardUartKind(DeviceKind):
    """``uart``: pl011 on aarch64's ``virt``; carries firmware and boot output."""

    name = "uart"
    driver = ""
    title = "the board's own UART; it carries firmware and boot output"
    hot_pluggable = False

    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        uart = allocator.platform.uart
        if uart is None:
            return self.refuse(
                port,
                "kind-not-on-arch",
                f"{allocator.architecture.name} {allocator.platform.name} has no on-board UART "
                "that -serial alone reaches",
                "its classic ports are isa-serial: use --type isa",
            )
        driver = uart.driver
        if allocator.guest.lacks(driver):
            return self.refuse(
                port,
                "guest-driver-missing",
                f"the guest {allocator.guest.name} has no {driver} driver, which {uart.model} "
                f"needs ({allocator.guest.source})",
                "use --type auto, usb, pci or virtio for it",
                Severity.DEAD,
            )
        if uart.node == HVC_NODE and allocator.hvc >= HVC_NODES:
            return self.refuse(
                port,
                "hvc-limit",
                f"Linux has {HVC_NODES} hvc nodes (hvc0 to hvc{HVC_NODES - 1}), which {uart.model} "
                f"and virtconsole share, and all are taken; {port.name} would have no node",
                "use --type auto, usb, pci or virtio for it",
                Severity.DEAD,
            )
        if allocator.uarts_left > 0:
            return None
        newer = _newer(uart, allocator.capabilities.version)
        return self.refuse(
            port,
            "onboard-uart-limit",
            f"{allocator.platform.name} of QEMU {allocator.capabilities.version_text} wires up "
            f"{allocator.uarts_used + allocator.uarts_of_args} {uart.model}, and {port.name} would "
            "be one more: QEMU starts and the port is silently dead",
            f"use --type auto, usb, pci or virtio for it{newer}",
            Severity.DEAD,
        )

    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        uart = allocator.platform.uart
        assert uart is not None
        number = allocator.uarts_used
        allocator.uarts_used += 1
        allocator.uarts_left -= 1
        allocator.hvc += uart.node == HVC_NODE
        identity = uart.identities[number]
        late = uart.is_late(allocator.machine.machine_options)
        return Assignment(
            port=port,
            kind=self.name,
            chardev_id=port.name,
            device=None,
            bus="board",
            address=identity.value,
            identity=identity,
            node=f"{uart.node}*" if late else uart.node_of(number),
            hot_pluggable=False,
            reason=reason,
            cautions=(*uart.cautions, uart.late_caution) if late else uart.cautions,
            carries=uart.carried_by(number),
            on_board=uart.model,
        )


KINDS = (OnBoardUartKind(),)


def _newer(uart: OnBoardUart, version: tuple[int, int, int]) -> str:
    """Say which later QEMU has more of them; most boards never have."""
    for later in _MORE_SINCE:
        if version < later and uart.assumed(later) > uart.assumed(version):
            return f"; QEMU {later[0]}.{later[1]} and later wire up {uart.assumed(later)}"
    return ""
