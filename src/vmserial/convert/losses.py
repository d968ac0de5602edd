"""What a format cannot carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmserial.model import Machine, SerialPort, SourceRef


@dataclass(frozen=True)
class Loss:
    """Something that has no counterpart in the format that is written.

    Attributes:
        port: the port it concerns; empty for the VM as a whole.
        what: what is lost: ``telnet=on``.
        why: how it is in the other format.
        where: where it was asked for.
    """

    port: str
    what: str
    why: str
    where: SourceRef | None = None

    def __str__(self) -> str:
        return f"{self.port or 'the VM'}: {self.what} has no counterpart: {self.why}"


def lost(port: SerialPort, what: str, why: str) -> Loss:
    """Return a port's loss."""
    return Loss(port.name, what, why, port.where)


def beside_the_ports(machine: Machine, format_name: str) -> Iterator[str]:
    """Yield what of the VM is not its serial part, and so was not converted."""
    parts = {
        "disks": len(machine.disks), "network cards": len(machine.nics),
        "the guest agent": machine.agent is not None, "args": len(machine.args),
        "firmware": machine.firmware.kind != "default", "SMBIOS": len(machine.smbios),
    }  # fmt: skip
    for name, there in parts.items():
        if there:
            yield f"{name}: not a part of the serial ports, not written as {format_name}"
