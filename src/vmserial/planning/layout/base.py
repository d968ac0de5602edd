"""What all parts of a layout stand on: the board, the options so far, what must be said."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmserial.allocator import Allocator
from vmserial.limits import PCI_SLOTS
from vmserial.model import Finding, Note, SourceRef, refusal
from vmserial.options import Option, Scalar

Params = tuple[tuple[str, Scalar], ...]


@dataclass
class Section:
    """The options of everything but the ports, and what must be said about them."""

    allocator: Allocator
    options: list[Option] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    refusals: list[Finding] = field(default_factory=list)
    _bridges: dict[str, int] = field(default_factory=dict)
    _scsi: set[str] = field(default_factory=set)

    # -------------------------------------------------------------- small parts

    def add(self, flag: str, head: str = "", *params: tuple[str, Scalar], role: str) -> None:
        """Append one option."""
        self.options.append(Option(flag, head, params, role=role))

    def flag(self, flag: str, raw: str | None, role: str) -> None:
        """Append an option whose value is not in the key=value grammar."""
        self.options.append(Option(flag, raw=raw, role=role))

    def note(self, message: str, hint: str, where: SourceRef | None) -> None:
        """Say what was put in another thing's place."""
        self.notes.append(Note("replaced", message, where, hint))

    def left_out(self, what: str, why: str, where: SourceRef | None) -> None:
        """Say what has no part in the command."""
        self.notes.append(Note("untranslated", f"{what} is left out", where, why))

    def has(self, driver: str) -> bool:
        """Tell whether the binary has ``driver``; an unknown binary has everything."""
        known = self.allocator.capabilities.devices
        return not known or driver in known

    def need(self, driver: str, what: str, where: SourceRef | None, hint: str) -> bool:
        """Refuse by name what the binary does not have; True if it has it."""
        if self.has(driver):
            return True
        self.refusals.append(
            refusal(
                "binary-no-device",
                f"{what} needs '{driver}', which is not a device of this QEMU "
                f"({self.allocator.capabilities.target} "
                f"{self.allocator.capabilities.version_text})",
                hint,
                where=where,
            )
        )
        return False

    def at(self, slot: int) -> Params:
        """Take a root-bus slot if it is free, else a place on a bridge."""
        allocator = self.allocator
        if slot <= 0x1D and allocator.is_free(slot):
            allocator.take(slot)
            return (("bus", allocator.platform.root_bus), ("addr", f"{slot:02x}.0"))
        return self.behind_bridge()

    def behind_bridge(self) -> Params:
        """Take the next slot of a pci-bridge, adding one where all are full."""
        for name, used in self._bridges.items():
            if used < PCI_SLOTS - 1:
                self._bridges[name] = used + 1
                return (("bus", name), ("addr", f"{used + 1:02x}.0"))
        number = len(self._bridges) + 1
        name = f"pci.{number}"
        function = number - 1
        self.allocator.take(0x1E)
        multifunction: Params = (("multifunction", True),) if function == 0 else ()
        self.add(
            "-device",
            "pci-bridge",
            ("id", name),
            ("chassis_nr", number),
            ("bus", self.allocator.platform.root_bus),
            ("addr", f"1e.{function}"),
            *multifunction,
            role="controller",
        )
        self._bridges[name] = 0
        return self.behind_bridge()
