"""COM ports that stay where they are when another port leaves its line.

PVE gives isa-serial no index: QEMU counts them in the order of the command.  Where
a line goes, the guest would find all later ones one port lower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.model.origin import LoweredCommand
from vmserial.options import parts_of
from vmserial.sources.pve import edits
from vmserial.sources.pve.document import Document, Setting
from vmserial.sources.pve.values import quoted


@dataclass(frozen=True)
class Kept:
    """A configuration whose COM ports are where they were.

    Attributes:
        document: as it is then.
        moved: the ports that had to go into ``args:`` for it, with their index.
        renumbered: what could not be kept, in words.
    """

    document: Document
    moved: tuple[tuple[str, int], ...] = ()
    renumbered: tuple[str, ...] = ()


def indexes(lowered: LoweredCommand) -> dict[str, int]:
    """Return the index of each ISA serial port, by its chardev.

    The board's own, each ``-serial``, come before all devices wherever they stand, at their
    places; of a device it is the one that it says, or the number of those made before it
    (hw/char/serial-isa.c).
    """
    found: dict[str, int] = {}
    serials = [each.option.value() or "" for each in lowered.options
               if each.option.flag == "-serial" and lowered.arch == "x86_64"]  # fmt: skip
    for place, value in enumerate(serials):
        if value != "none":
            found[value.removeprefix("chardev:")] = place
    made = sum(value != "none" for value in serials)
    for each in lowered.options:
        head, pairs = parts_of(each.option)
        if each.option.flag != "-device" or head != "isa-serial":
            continue
        params = dict(pairs)
        said = params.get("index", "")
        found[params.get("chardev", "")] = int(said) if said.isdigit() else made
        made += 1
    return found


def kept_com_ports(
    before: LoweredCommand,
    lower: Callable[[Document], LoweredCommand],
    document: Document,
    pinned: str,
) -> Kept:
    """Give each line that did not move, and would be counted anew, its index in ``args:``.

    Args:
        before: the command as it was.
        lower: makes the command of a configuration.
        document: as it is now.
        pinned: a port that must keep its line.
    """
    if before.arch != "x86_64":
        # No board of PVE's other architecture has an ISA bus: nothing to count on it.
        return Kept(document)
    was = indexes(before)
    given, now = document, lower(document)
    chardevs = {
        dict(parts_of(each.option)[1]).get("id", ""): each
        for each in now.options
        if each.option.flag == "-chardev"
    }
    moved: list[tuple[str, int]] = []
    renumbered: list[str] = []
    for name, index in indexes(now).items():
        each = chardevs.get(name)
        if name not in was or was[name] == index or each is None:
            continue
        if was[name] >= ISA_SERIAL_PORTS:
            # It was none: the guest never had it.
            continue
        line = each.origin.handle
        if isinstance(line, Setting) and line.key == name != pinned:
            document = edits.remove(document, name)
            words = (*each.option.argv(), "-device",
                     f"isa-serial,id=isa{name},index={was[name]},chardev={name}")  # fmt: skip
            setting = document.main.values.get("args")
            text = setting.value if setting is not None else ""
            value = f"{text} {' '.join(map(quoted, words))}".strip()
            document = edits.put(document, "args", value)
            moved.append((name, was[name]))
    there = indexes(lower(document))
    if moved and len(set(there.values())) < len(there):
        # Another one of args has such a place: better a new number than two at one place.
        document, moved, there = given, [], indexes(now)
    for name, index in there.items():
        if name in was and was[name] != index:
            what = "the guest agent's port" if name == "qga0" else name
            renumbered.append(f"{what} becomes COM{index + 1}; it was COM{was[name] + 1}: PVE "
                              "gives it no index, and a port before it left its line")  # fmt: skip
    return Kept(document, tuple(moved), tuple(renumbered))
