"""The options of a lowered configuration as they are collected, each with its origin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vmserial.model.origin import Gap, LoweredOption, Origin
from vmserial.model.source import SourceRef
from vmserial.options import Option, Scalar
from vmserial.sources.pve.document import Setting
from vmserial.sources.pve.map import READCONFIG, Board, Params, at
from vmserial.sources.pve.pins import Pins
from vmserial.sources.pve.reading import Reading


@dataclass
class Emission:
    """One command on its way.

    Attributes:
        reading: of the configuration.
        pins: what it is pinned to.
        vmid: the VM's number.
        kvm: PVE starts it with KVM.
        options: so far.
        gaps: so far.
    """

    reading: Reading
    pins: Pins
    vmid: int
    kvm: bool
    options: list[LoweredOption] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._fixed = Origin(SourceRef(self.reading.file), "pve")

    @property
    def board(self) -> Board:
        """Whose PCI map holds."""
        return self.pins.board

    def put(
        self,
        flag: str,
        head: str = "",
        *params: tuple[str, Scalar],
        by: Setting | None = None,
        raw: str | None = None,
        role: str = "other",
        automatic: Iterable[str] = (),
    ) -> None:
        """Append an option.

        Args:
            flag: with its dash.
            head: the driver or back end.
            *params: its keys.
            by: the setting that asks for it; None: PVE's fixed hardware.
            raw: the whole value, where it is not made of keys.
            role: what it is for.
            automatic: keys whose values PVE chooses on the host.
        """
        origin = self._fixed if by is None else self.origin(by)
        option = Option(flag, head, params, raw, role)
        self.options.append(LoweredOption(option, origin, frozenset(automatic)))

    def device(
        self,
        driver: str,
        *params: tuple[str, Scalar],
        place: str = "",
        after: Params = (),
        by: Setting | None = None,
        role: str = "other",
    ) -> None:
        """Append a device, at the map's place of this name; ``after``: keys behind that."""
        if place:
            params = (*params, *at(self.board, place), *after)
        self.put("-device", driver, *params, by=by, role=role)

    def socket(
        self, name: str, path: str, by: Setting | None = None, role: str = "chardev"
    ) -> None:
        """Append the chardev of a listening unix socket."""
        self.put("-chardev", "socket", ("id", name), ("path", path), ("server", True),
                 ("wait", False), by=by, role=role)  # fmt: skip

    def readconfig(self, path: str) -> None:
        """Append the devices of one of PVE's files, which the command names by -readconfig."""
        origin = Origin(SourceRef(path), "pve")
        for driver, params in READCONFIG[path]:
            self.options.append(
                LoweredOption(Option("-device", driver, params, role="controller"), origin)
            )

    def gap(self, id: str, text: str, by: Setting | None = None) -> None:
        """Say once what is not known of the command."""
        if all(gap.id != id for gap in self.gaps):
            line = by.line if by is not None else 0
            self.gaps.append(Gap(id, text, SourceRef(self.reading.file, line)))

    def origin(self, setting: Setting, handle: object | None = None) -> Origin:
        """Return the origin of what a setting asks for."""
        where = SourceRef(self.reading.file, setting.line)
        return Origin(where, "pve", setting if handle is None else handle)


def without_empty(*params: tuple[str, Scalar]) -> Params:
    """Leave out the keys that have no value."""
    return tuple(each for each in params if each[1] != "")
