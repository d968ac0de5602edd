"""The ports that their owner starts itself: they stay where it has them."""

from __future__ import annotations

from vmserial.allocator import Allocator
from vmserial.free_places import PVE_SOCKETS
from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.model import Assignment, Machine, SerialPort, UnixSocket
from vmserial.model.origin import LoweredCommand
from vmserial.placing import Placer


def own_ports(machine: Machine, lowered: LoweredCommand, isa: bool) -> dict[str, tuple[str, int]]:
    """Return the kind and the number of each device that the owner's own lines give a port.

    Those of isa-serial are numbered as QEMU does, in the order of the command.

    Args:
        machine: with the ports as they are to be.
        lowered: what the owner starts.
        isa: the board has an ISA bus.
    """
    wanted = {port.name: port for port in machine.ports}
    found: dict[str, tuple[str, int]] = {}
    uarts = made = 0
    for each in lowered.options:
        option = each.option
        if each.origin.owner == "user":
            continue
        if option.flag == "-serial":
            name, kind, number = (option.raw or "").removeprefix("chardev:"), "uart", uarts
            uarts += 1
        elif option.flag == "-device" and option.head == "isa-serial" and isa:
            name, kind, number = str(dict(option.params).get("chardev", "")), "isa", made
            made += 1
        else:
            continue
        port = wanted.get(name)
        if port is None:
            # The guest agent's.
            found[name] = kind, number
        elif (
            port.kind in {"auto", kind} and not port.hotplug and port.state == "plugged"
            and port.where == each.origin.where
        ):  # fmt: skip
            found[name] = kind, number
    return found


class OwnersPorts:
    """Places the ports that the owner's own lines start.

    No limit of a guest is a reason to move these: they are there.

    Attributes:
        lowered: what the owner starts.
        numbers: the kind and the number of each device that its lines give a port.
    """

    def __init__(self, allocator: Allocator, lowered: LoweredCommand) -> None:
        self.allocator, self.lowered = allocator, lowered
        self.numbers = own_ports(allocator.machine, lowered, allocator.platform.isa)

    def place(self, ports: list[SerialPort], placer: Placer) -> list[Assignment]:
        """Place them, and keep the others off what would be counted among them."""
        allocator = self.allocator
        kept = []
        for port in ports:
            kind, number = self.numbers.get(port.name, ("", 0))
            if not kind or (kind == "uart" and not allocator.uarts_left):
                continue
            allocator.isa_at[port.name] = number
            if (made := placer.keep(port, kind)) is not None:
                kept.append(made)
        kept += self._further_lines(ports, placer, kept)
        agent = self.numbers.get("qga0", ("", 0))
        if agent[0] == "isa":
            allocator.isa_free = [index for index in allocator.isa_free if index != agent[1]]
            allocator.uarts_8250 += 1
        # A further isa-serial, or -serial, would be counted among the owner's own.
        serial = "-serial" in allocator.machine.args
        allocator.avoid = frozenset({"isa", "uart"} if serial else {"isa"})
        return kept

    def _further_lines(
        self, ports: list[SerialPort], placer: Placer, kept: list[Assignment]
    ) -> list[Assignment]:
        """Place ports that get lines of the owner's own by `fix`: behind all that are there."""
        allocator = self.allocator
        words = allocator.machine.args
        counted = "-serial" in words or "isa-serial" in " ".join(words)
        if not allocator.platform.isa or "qga0" in self.numbers or counted:
            return []
        last = max((made.port.index for made in kept), default=-1)
        found: list[Assignment] = []
        for port in ports:
            backend = port.chardev.backend
            own = isinstance(backend, UnixSocket) and backend.path.startswith(PVE_SOCKETS)
            plain = port.kind == "auto" and not port.hotplug and port.state == "plugged"
            if last < port.index < PVE_SERIAL_PORTS and own and plain and allocator.isa_free:
                allocator.isa_at[port.name] = min(allocator.isa_free)
                if (made := placer.keep(port, "isa")) is not None:
                    found.append(made)
        return found
