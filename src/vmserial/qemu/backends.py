"""The private host sides of a command's ports: a unix socket of ours for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vmserial import chardevs
from vmserial.model import Chardev, UnixSocket
from vmserial.options import Option
from vmserial.qemu.private import Wanted
from vmserial.qemu.standins import Fate
from vmserial.sources.command import CommandView
from vmserial.sources.command.document import CommandOption


class PrivateBackends:
    """What takes the place of the backends of a command.

    Args:
        view: of the command.
        version: of the QEMU that is to run it.
        socket: gives the path of a unix socket of that name.

    Attributes:
        entries: the command's own chardevs, by id.
    """

    def __init__(
        self, view: CommandView, version: tuple[int, int, int], socket: Callable[[str], str]
    ) -> None:
        self.entries = {entry.id: entry for entry in view.chardevs}
        self._view, self._version, self._socket = view, version, socket

    def replacing(
        self, ports: Sequence[Wanted], fates: Mapping[CommandOption, Fate]
    ) -> dict[str, list[Option]]:
        """Return, by the user's chardev id, what replaces it; and give each port its id."""
        made: dict[str, list[Option]] = {}
        seen: Counter[str] = Counter()
        for wanted in ports:
            given = wanted.chardev_id
            if not given:
                free = wanted.name not in self.entries
                wanted.chardev_id = wanted.name if free else f"vmserial-{wanted.name}"
                continue
            entry = self.entries.get(given)
            if entry is None:
                continue  # QEMU says so, too.
            seen[given] += 1
            if seen[given] > 1 and not entry.mux:
                continue  # Used twice: QEMU refuses it, and shall.
            if seen[given] > 1:
                wanted.chardev_id = f"{given}-{seen[given]}"
            made.setdefault(given, []).append(self.of(wanted))
        for device in self._view.devices:
            given = device.get("chardev")
            if given and fates[device.option] is Fate.KEPT and given in self.entries:
                null = Option("-chardev", "null", (("id", given),), role="chardev")
                made.setdefault(given, [null])
        return made

    def of(self, wanted: Wanted) -> Option:
        """Return the chardev of one port."""
        backend = Chardev(UnixSocket(self._socket(wanted.name)))
        # The user's id, if it is none, is QEMU's to refuse.
        made = chardevs.option(wanted.name, backend, self._version)
        params = tuple((k, wanted.chardev_id if k == "id" else v) for k, v in made.params)
        return replace(made, params=params)
