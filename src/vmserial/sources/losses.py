"""What a format cannot say, collected while it is written."""

from __future__ import annotations

from vmserial.model import Machine, Note, SerialPort, SourceRef


class Losses:
    """The notes of one writer.

    Args:
        machine: what is written.
        target: the format's name as people know it, such as ``libvirt``.
    """

    def __init__(self, machine: Machine, target: str) -> None:
        self.machine, self.target = machine, target
        self.notes: list[Note] = []

    def port(self, port: SerialPort, what: str, hint: str = "") -> None:
        """Name what of a port has no counterpart."""
        self._lost(f"{port.name}: {what} has no counterpart in {self.target}", port.where, hint)

    def vm(self, what: str, hint: str = "", where: SourceRef | None = None) -> None:
        """Name what of the VM has no counterpart."""
        self._lost(f"{what} has no counterpart in {self.target}", where or self.machine.where, hint)

    def left_out(self, what: str, hint: str = "", where: SourceRef | None = None) -> None:
        """Name what the format could say, but is not written."""
        self._lost(f"{what}: not written for {self.target}", where or self.machine.where, hint)

    def replaced(self, port: SerialPort, what: str, hint: str = "") -> None:
        """Say what was chosen or written in another way; nothing is lost."""
        self.notes.append(Note("replaced", f"{port.name}: {what}", port.where, hint))

    def _lost(self, message: str, where: SourceRef | None, hint: str) -> None:
        self.notes.append(Note("untranslated", message, where, hint))
