"""Giving single ports their places on a board: the kind asked for, or the first that fits.

``auto`` tries the architecture's kinds in order and takes the first that this
board, this binary and this guest can carry.  Both the planner (a whole VM) and
:mod:`vmserial.judging` (what is wrong on a command line) place ports here.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vmserial import chardevs
from vmserial.allocator import Allocator
from vmserial.devices import KINDS, DeviceKind, kind
from vmserial.errors import UsageError
from vmserial.limits import AUTO_USB_PORTS, UARTS_MEASURED
from vmserial.machines import Platform
from vmserial.model import Assignment, Capabilities, Finding, SerialPort, refusal
from vmserial.options import Option
from vmserial.values import is_on


def is_secure(platform: Platform, machine_options: Mapping[str, str]) -> bool:
    """Tell whether the second ``-serial`` is the UART of ARM's secure world (hw/arm/virt.c)."""
    return platform.name == "virt" and is_on(machine_options.get("secure"))


def onboard_uarts(
    platform: Platform,
    machine_type: str,
    machine_options: Mapping[str, str],
    capabilities: Capabilities,
) -> tuple[int, bool]:
    """Return how many UARTs ``-serial`` reaches, and whether that was measured.

    Args:
        platform: of the machine type.
        machine_type: as asked for; it may be empty.
        machine_options: further ``-machine`` properties.
        capabilities: the binary's.
    """
    uart = platform.uart
    if uart is None:
        return 0, True
    known = capabilities.onboard_uarts
    name = next((name for name in (machine_type, platform.name) if name in known), None)
    assumed = uart.assumed(capabilities.version)
    count = assumed if name is None else known[name]
    if count >= UARTS_MEASURED:
        # More were not looked for.
        count = max(count, assumed)
    if is_secure(platform, machine_options):
        # With secure=on the second -serial is the secure world's UART.
        count = min(count, 1)
    return min(count, len(uart.identities)), name is not None


class Placer:
    """Places ports on a board, and collects why some cannot be carried.

    Attributes:
        allocator: its places; changed with each port.
        refusals: what could not be placed.
        chardevs: the option of each backend that can be written, by the port's name.
    """

    def __init__(self, allocator: Allocator, refusals: list[Finding] | None = None) -> None:
        self.allocator = allocator
        self.refusals: list[Finding] = [] if refusals is None else refusals
        self.chardevs: dict[str, Option] = {}

    def assign(self, port: SerialPort) -> Assignment | None:
        """Give a port its device and its place, if its backend can be written.

        None where it cannot be carried; then the refusal is in :attr:`refusals`.
        """
        try:
            name, version = port.name, self.allocator.capabilities.version
            self.chardevs[name] = chardevs.option(name, port.chardev, version)
            if port.state == "absent":
                chardevs.qmp(name, port.chardev, version)
            return self.place(port)
        except UsageError as error:
            self.refuse(port, "bad-value", error.message, error.hint)
            return None

    def keep(self, port: SerialPort, name: str) -> Assignment | None:
        """Give a port the device that its owner gives it; None if its backend cannot be written."""
        try:
            self.chardevs[port.name] = chardevs.option(
                port.name, port.chardev, self.allocator.capabilities.version
            )
        except UsageError as error:
            self.refuse(port, "bad-value", error.message, error.hint)
            return None
        return KINDS[name].place(self.allocator, port, _WHY[name])

    def place(self, port: SerialPort) -> Assignment | None:
        """Give a port its device and its place, whatever its backend is.

        Raises:
            UsageError: there is no such kind.
        """
        if port.kind == "auto":
            return self.assign_auto(port)
        chosen = kind(port.kind)
        problem = self.hotplug_obstacle(chosen, port) or chosen.obstacle(self.allocator, port)
        if problem is not None:
            self.refusals.append(problem)
            return None
        return chosen.place(self.allocator, port, f"{chosen.name} was asked for")

    def assign_auto(self, port: SerialPort) -> Assignment | None:
        """Give a port the first kind of its architecture that fits."""
        passed: list[str] = []
        for name in self.allocator.architecture.order:
            candidate = KINDS[name]
            if name in self.allocator.avoid:
                passed.append(f"{name}: not unasked")
                continue
            if name == "usb" and self.allocator.ttyusb >= AUTO_USB_PORTS:
                passed.append(f"usb: {AUTO_USB_PORTS} are taken, more is not proven")
                continue
            problem = self.hotplug_obstacle(candidate, port) or candidate.obstacle(
                self.allocator, port
            )
            if problem is None:
                reason = _WHY.get(name, candidate.title)
                if passed:
                    reason += f" (not {'; not '.join(passed)})"
                return candidate.place(self.allocator, port, reason)
            passed.append(f"{name}: {_short(problem)}")
        self.refuse(
            port,
            "no-kind-fits",
            f"{port.name}: no kind of port fits any more: {'; '.join(passed)}",
            "ask for fewer ports",
        )
        return None

    def hotplug_obstacle(self, candidate: DeviceKind, port: SerialPort) -> Finding | None:
        """Tell whether a port that must be hot-pluggable cannot be of this kind."""
        if (port.hotplug or port.state != "plugged") and not candidate.hot_pluggable:
            return candidate.refuse(
                port,
                "not-hot-pluggable",
                f"{port.name}: {candidate.name} ({candidate.title}) cannot be hot-plugged",
                "use --type usb, virtio or pci for it",
            )
        return None

    def settled(self, assignment: Assignment) -> Assignment:
        """Return it with the final form of a card that later ports joined."""
        if assignment.device is None:
            return assignment
        for device in self.allocator.devices:
            if device.id == assignment.device.id:
                return replace(assignment, device=device)
        return assignment

    def refuse(self, port: SerialPort, id: str, message: str, hint: str) -> None:
        """Note that a port cannot be carried."""
        self.refusals.append(refusal(id, message, hint, ports=(port.name,), where=port.where))


_WHY = {
    "uart": "the board's own UART carries firmware and boot output",
    "isa": "the PC's classic port: firmware, boot loader and every system know it",
    "usb": "a real tty, hot-pluggable, and it takes no PCI slot of its own",
    "pci": "a real tty within the guest's 8250 ports",
    "virtio": "a named virtio port: the only kind left with room",
}


def _short(problem: Finding) -> str:
    return {
        "onboard-uart-limit": "the board's UARTs are taken",
        "isa-limit": "the four ISA ports are taken",
        "guest-8250-limit": "the guest's 8250 ports are used up",
        "not-hot-pluggable": "cannot be hot-plugged",
        "pci-full": "no PCI place is left",
        "guest-driver-missing": "the guest has no driver",
        "binary-no-device": "the binary does not have it",
        "kind-not-on-arch": "not on this machine",
    }.get(problem.id, problem.happens)
