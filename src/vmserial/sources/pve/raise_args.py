"""Changes of a lowered command, raised into the configuration: its lines and ``args:``.

PVE appends ``args:`` to its command as it is.  So a port that PVE's own line cannot
start, or starts in the wrong way, leaves its line, and its chardev and its device
go into ``args:``.  The user's words keep their order, their quotes and the blanks
between them; what is new comes last, or stands beside the words that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.options import Option, parts_of
from vmserial.sources.command import (
    CommandOption,
    Edit,
    InsertAfter,
    InsertBefore,
    Remove,
    RemoveKey,
    ReplaceValue,
    SetKey,
)
from vmserial.sources.command.places import pci_address
from vmserial.sources.pve import edits
from vmserial.sources.pve.document import Document, Setting
from vmserial.sources.pve.lower import ArgsSpan
from vmserial.sources.pve.values import quoted

_CONTROLLER = re.compile(r"vmserial-(?:xhci|virtio|rp)[0-9]+\Z")

OriginOf = Callable[[CommandOption], LoweredOption | None]


@dataclass(frozen=True)
class Raised:
    """A configuration after a round of changes.

    Attributes:
        document: with the changes.
        moved: the ports whose own line is gone.
        refused: the number of each group of changes that could not be made, and why.
    """

    document: Document
    moved: tuple[str, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()


def raise_args(
    document: Document,
    lowered: LoweredCommand,
    groups: Sequence[Sequence[Edit]],
    support: Sequence[Edit],
    origin: OriginOf,
    pinned: Mapping[str, str],
) -> Raised:
    """Make groups of changes, each whole or not at all.

    Args:
        document: the configuration.
        lowered: its command.
        groups: the changes of that command.
        support: what the groups need between them: controllers.
        origin: where an option of the command comes from.
        pinned: the ports that must keep their lines (``vga: serialN``), and why.
    """
    refused: list[tuple[int, str]] = []
    kept: list[Edit] = []
    for number, group in enumerate(groups):
        reason = next(filter(None, (_obstacle(edit, origin, pinned) for edit in group)), "")
        if reason:
            refused.append((number, reason))
        else:
            kept += group
    if not kept:
        return Raised(document, (), tuple(refused))
    raiser = _Raiser(document, lowered, origin)
    raiser.support(support)
    raiser.make(kept)
    return Raised(raiser.written(), tuple(raiser.leaving), tuple(refused))


def without_ports(
    document: Document, lowered: LoweredCommand, names: Iterable[str],
    only: Literal["", "chardev", "device"] = "",
) -> Document:  # fmt: skip
    """Take what ``args:`` has for these ports out of it.

    Args:
        document: the configuration.
        lowered: its command.
        names: of the ports, which are the ids of their chardevs.
        only: take only their chardevs, or only their devices.
    """
    raiser = _Raiser(document, lowered, lambda _: None)
    wanted = frozenset(names)
    for each in lowered.options:
        handle = each.origin.handle
        part = "chardev" if each.option.flag == "-chardev" else "device"
        if isinstance(handle, ArgsSpan) and only in {"", part} and concerns(each.option, wanted):
            raiser.spans[handle.start] = (handle, None)
    return raiser.written()


def without_idle_controllers(document: Document, lowered: LoweredCommand) -> Document:
    """Take the controllers out of ``args:`` that ``fix`` wrote and that nothing uses any more."""
    used = {
        value.removesuffix(".0")
        for each in lowered.options
        if each.option.flag == "-device"
        for key, value in parts_of(each.option)[1]
        if key == "bus"
    }
    raiser = _Raiser(document, lowered, lambda _: None)
    slots = set(_beside_function_0(lowered))
    for each in lowered.options:
        handle = each.origin.handle
        if isinstance(handle, ArgsSpan) and each.option.flag == "-device":
            params = dict(parts_of(each.option)[1])
            name = params.get("id", "")
            if not _CONTROLLER.match(name) or name in used:
                continue
            address = pci_address(params.get("addr", ""))
            # Without its function 0 the guest would not look at the rest of a slot.
            if address is None or address[1] or (params.get("bus", ""), address[0]) not in slots:
                raiser.spans[handle.start] = (handle, None)
    return raiser.written()


def _beside_function_0(lowered: LoweredCommand) -> Iterator[tuple[str, int]]:
    """Yield the bus and the slot of each device that is at another function."""
    for each in lowered.options:
        if each.option.flag == "-device":
            params = dict(parts_of(each.option)[1])
            address = pci_address(params.get("addr", ""))
            if address is not None and address[1]:
                yield params.get("bus", ""), address[0]


def concerns(option: Option, names: Iterable[str]) -> bool:
    """Tell whether an option makes or uses the chardev of one of these ports."""
    value = option.value() or ""
    parts = value.replace("chardev:", "chardev=").split(",")
    keys = ("id",) if option.flag == "-chardev" else (
        "chardev", "chardev1", "chardev2", "chardev3", "chardev4"
    )  # fmt: skip
    return any(f"{key}={name}" in parts for name in names for key in keys)


def _obstacle(edit: Edit, origin: OriginOf, pinned: Mapping[str, str]) -> str:
    """Return why a change cannot be made; empty if it can."""
    if isinstance(edit, InsertAfter | InsertBefore):
        return ""
    found = origin(edit.option)
    handle = found.origin.handle if found else None
    if isinstance(handle, ArgsSpan):
        return ""
    if isinstance(handle, Setting) and handle.key.startswith("serial"):
        return pinned.get(handle.key, "")
    return "it is a part of the hardware that PVE gives the VM"


@dataclass
class _Raiser:
    """One round's changes of ``args:`` and of the ports' lines."""

    document: Document
    lowered: LoweredCommand
    origin: OriginOf
    spans: dict[int, tuple[ArgsSpan, Option | None]] = field(default_factory=dict)
    """What becomes of the user's options, by their place in the text; None: it goes."""
    before: dict[int, list[Option]] = field(default_factory=dict)
    after: dict[int, list[Option]] = field(default_factory=dict)
    first: list[Option] = field(default_factory=list)
    tail: list[Option] = field(default_factory=list)
    changed: dict[str, dict[int, Option | None]] = field(default_factory=dict)
    """Of the lines that go: what becomes of their options, by their number in the command."""
    beside: dict[str, list[Option]] = field(default_factory=dict)

    @property
    def leaving(self) -> list[str]:
        """The ports whose line goes, in the order of the command."""
        return sorted(self.changed, key=lambda name: int(name.removeprefix("serial")))

    def make(self, changes: Sequence[Edit]) -> None:
        """Take all changes; those of one option follow each other."""
        for edit in changes:
            found = self.origin(edit.option) if edit.option is not None else None
            handle = found.origin.handle if found is not None else None
            if isinstance(edit, InsertAfter | InsertBefore):
                self.insert(edit, handle)
            elif isinstance(handle, ArgsSpan):
                old = self.spans.get(handle.start, (handle, found.option if found else None))[1]
                self.spans[handle.start] = (handle, _changed(edit, old))
            elif isinstance(handle, Setting) and found is not None:
                options = self.changed.setdefault(handle.key, {})
                number = self.lowered.options.index(found)
                options[number] = _changed(edit, options.get(number, found.option))

    def support(self, changes: Sequence[Edit]) -> None:
        """Take the new controllers: before whatever may be on them."""
        for edit in changes:
            found = self.origin(edit.option) if edit.option is not None else None
            handle = found.origin.handle if found is not None else None
            if isinstance(edit, InsertAfter | InsertBefore) and not isinstance(handle, ArgsSpan):
                self.first += edit.options
            else:
                self.make([edit])

    def insert(self, edit: InsertAfter | InsertBefore, handle: object) -> None:
        """Put new options beside the one that they are about; else behind all."""
        new = list(edit.options)
        if isinstance(handle, ArgsSpan):
            place = self.before if isinstance(edit, InsertBefore) else self.after
            place.setdefault(handle.start, []).extend(new)
        elif isinstance(handle, Setting) and isinstance(edit, InsertAfter):
            self.beside.setdefault(handle.key, []).extend(new)
        elif isinstance(edit, InsertBefore):
            self.first += new
        else:
            self.tail += new

    def written(self) -> Document:
        """Return the document with everything that was collected."""
        setting = self.document.main.values.get("args")
        text = setting.value if setting is not None else ""
        places = sorted({*self.spans, *self.before, *self.after}, reverse=True)
        if places and self.first:
            # Before whatever may be on them.
            self.before.setdefault(places[-1], [])[:0] = self.first
            self.first = []
        for start in places:
            text = self._at(text, start)
        new = [*self.first]
        for name in dict.fromkeys((*self.leaving, *self.beside)):
            new += self._of_line(name)
        new += self.tail
        words = " ".join(_text(option) for option in new)
        value = f"{text.strip()} {words}".strip()
        document = self.document
        for name in self.leaving:
            document = edits.remove(document, name)
        if value == (setting.value.strip() if setting is not None else ""):
            return document
        return edits.put(document, "args", value) if value else edits.remove(document, "args")

    def _at(self, text: str, start: int) -> str:
        span = self._span(start)
        own = text[span.start : span.end]
        if start in self.spans:
            option = self.spans[start][1]
            if option is None:
                own = ""
            elif span.value is not None:
                low, high = span.value
                value = quoted(option.value() or "")
                own = text[span.start : low] + value + text[high : span.end]
        parts = [_text(o) for o in self.before.get(start, ())]
        parts += [own] if own else []
        parts += [_text(o) for o in self.after.get(start, ())]
        head, rest = text[: span.start], text[span.end :]
        if parts:
            return head + " ".join(parts) + rest
        # The blanks before it go with it.
        return head.rstrip() + (rest if head.strip() else rest.lstrip())

    def _span(self, start: int) -> ArgsSpan:
        for each in self.lowered.options:
            handle = each.origin.handle
            if isinstance(handle, ArgsSpan) and handle.start == start:
                return handle
        raise AssertionError("a change of an option that args does not have")

    def _of_line(self, name: str) -> list[Option]:
        """Return what a line's port becomes in ``args:``."""
        changes = self.changed.get(name)
        made: list[Option] = []
        if changes is not None:
            for number, each in enumerate(self.lowered.options):
                handle = each.origin.handle
                if isinstance(handle, Setting) and handle.key == name:
                    option = changes.get(number, each.option)
                    made += [option] if option is not None else []
        return [*made, *self.beside.get(name, ())]


def _changed(edit: Edit, option: Option | None) -> Option | None:
    """Return an option as one change leaves it."""
    if option is None or isinstance(edit, Remove):
        return None
    if isinstance(edit, ReplaceValue):
        return Option(option.flag, raw=edit.value, role=option.role)
    if isinstance(edit, SetKey | RemoveKey):
        value = option.value() or ""
        now = CommandOption(option.flag.lstrip("-"), option.flag, value, edit.option.where)
        params = now.params
        new = (
            params.with_key(edit.key, edit.value)
            if isinstance(edit, SetKey) else params.without_key(edit.key)
        )  # fmt: skip
        return Option(option.flag, raw=new, role=option.role)
    return option


def _text(option: Option) -> str:
    return " ".join(quoted(word) for word in option.argv())
