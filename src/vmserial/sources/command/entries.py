"""What a command line holds for serial ports: chardevs, port options, serial devices, uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from vmserial.model import Chardev
from vmserial.records import record
from vmserial.sources.command.document import CommandOption
from vmserial.sources.command.legacy import HostSide, chardev_of
from vmserial.sources.command.places import DeviceEntry
from vmserial.values import is_on


@record(frozen=True)
class ChardevEntry:
    """A -chardev.

    Attributes:
        id: its id; empty if it has none (QEMU refuses it).
        backend: the backend's name.
        params: all its keys.
        option: where it comes from.
    """

    id: str
    backend: str
    params: Mapping[str, str] = field(hash=False)
    option: CommandOption

    @property
    def chardev(self) -> Chardev | None:
        """The backend in the model's terms; None where the model has none for it."""
        return chardev_of(self.backend, dict(self.params))

    @property
    def mux(self) -> bool:
        """Several ports may share it."""
        return is_on(self.params.get("mux"))


@record(frozen=True)
class PortOption:
    """A -serial, -parallel, -debugcon, -monitor, -qmp, -qmp-pretty, -mon or -gdb.

    Attributes:
        kind: the option's name.
        index: its number among those of its kind (-serial: the on-board port).
        host: what it is connected to.
        option: where it comes from.
        mode: of a monitor: ``readline`` or ``control``.
    """

    kind: str
    index: int
    host: HostSide
    option: CommandOption
    mode: str = ""


@record(frozen=True)
class SerialDevice:
    """One -device that is a serial port, or one port of a card.

    Attributes:
        device: the device.
        key: the key of its chardev, such as ``chardev`` or ``chardev2``.
        chardev_id: the chardev's id; empty if none is given.
    """

    device: DeviceEntry
    key: str
    chardev_id: str


HostEnd = tuple[CommandOption, str, str, Mapping[str, str]]
"""What reaches the host: the option, its chardev's id (empty for a backend of its own, as that
of ``-serial pty``), the backend's name and its keys as -chardev has them."""


@record(frozen=True)
class Use:
    """Who uses a chardev."""

    chardev_id: str
    option: CommandOption
    key: str
