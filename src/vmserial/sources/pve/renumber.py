"""COM ports that stay where they are when another port leaves its line.

PVE gives isa-serial no index: QEMU counts them in the order of the command.  Where
a line goes, the guest would find all later ones one port lower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    """Return the index of each isa-serial, by its chardev: said, or the number before it."""
    found: dict[str, int] = {}
    made = 0
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
    was = indexes(before)
    now = lower(document)
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
    for name, index in indexes(lower(document)).items():
        if name in was and was[name] != index:
            what = "the guest agent's port" if name == "qga0" else name
            renumbered.append(f"{what} becomes COM{index + 1}; it was COM{was[name] + 1}: PVE "
                              "gives it no index, and a port before it left its line")  # fmt: skip
    return Kept(document, tuple(moved), tuple(renumbered))
