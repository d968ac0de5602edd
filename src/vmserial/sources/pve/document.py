"""The text of a PVE configuration: its lines, sections and settings, byte for byte.

The grammar is that of PVE (qemu-server 9.2.6; its facts are in docs/formats.md).
A :class:`Document` loses nothing: :meth:`Document.text` gives back what
:meth:`Document.parse` was given, whatever it was, so that the file can be
written again with one line changed.  What PVE would skip or drop is a
:class:`~vmserial.model.Note` with its line, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vmserial.lazy import once
from vmserial.model import Note, SourceRef

SectionKind = Literal["main", "pending", "snapshot", "special", "unknown"]

# PVE works on bytes: only ASCII blanks are blanks, and only \n ends a line.
_BLANK = " \t\r\f\v"
_KEY = re.compile(r"([a-z][a-z_-]*[0-9]*):")
_HEADER = re.compile(r"\[([^\]]*)\][ \t\r\f\v]*\Z")
_SNAPSHOT = re.compile(r"[a-z][a-z0-9_-]+\Z", re.IGNORECASE)
_SNAPSTATE = re.compile(r"snapstate:[ \t\r\f\v]*(prepare|delete)[ \t\r\f\v]*\Z")
_EMPTY_ORDER = re.compile(r"boot:[ \t\r\f\v]+\Z")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_SPECIAL = frozenset({"cloudinit", "fleecing"})


def url_decoded(text: str) -> str:
    """Return ``text`` with ``%XX`` resolved and the bytes read as UTF-8, as PVE does."""
    if "%" not in text:
        return text
    raw = _ESCAPE.sub(
        lambda match: bytes([int(match.group(1), 16)]), text.encode("utf-8", "surrogatepass")
    )
    return raw.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``key: value`` line; ``cdrom`` has become ``ide2``."""

    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Remark:
    """One line of a section's description, URL-decoded.

    Attributes:
        text: without the ``#``; it may hold newlines (``%0A``).
        line: where it stands.
        whole: a ``#`` line; False for ``description:``, which PVE joins without a newline.
    """

    text: str
    line: int
    whole: bool = True


@dataclass(frozen=True)
class Section:
    """One section: the main one, ``[PENDING]``, a snapshot, a special or an unknown one.

    Attributes:
        kind: what it is; the content of an ``unknown`` one is skipped, as in PVE.
        name: what stands in the brackets; empty for the main section.
        line: its header's line; 0 for the main section.
        settings: in file order, with those that a later line replaces.
        remarks: its description.
        delete: the keys of ``delete:`` lines, only in ``[PENDING]``.
    """

    kind: SectionKind
    name: str
    line: int
    settings: tuple[Setting, ...] = ()
    remarks: tuple[Remark, ...] = ()
    delete: tuple[Setting, ...] = ()

    @once
    def values(self) -> Mapping[str, Setting]:
        """The settings by key; of several the last, as in PVE."""
        return {setting.key: setting for setting in self.settings}

    @property
    def description(self) -> str:
        """The description as PVE's "Notes" show it."""
        return "".join(r.text + "\n" * r.whole for r in self.remarks).rstrip(_BLANK + "\n")

    @property
    def deleted(self) -> tuple[str, ...]:
        """The keys that ``delete:`` names (the last such line), without the mark of force."""
        if not self.delete:
            return ()
        words = re.split(r"[\s,;\0]+", self.delete[-1].value)
        return tuple(word.removeprefix("!") for word in words if word.removeprefix("!"))


@dataclass(frozen=True)
class Document:
    r"""A configuration as it was written.

    Attributes:
        file: its name, for messages.
        lines: the text, split at ``\n`` and at nothing else.
        sections: in file order; the first is the main one.
        notes: what PVE would warn about, by line.
    """

    file: str
    lines: tuple[str, ...]
    sections: tuple[Section, ...]
    notes: tuple[Note, ...]

    @classmethod
    def parse(cls, text: str, file: str) -> Document:
        """Read a configuration.  Never fails: each odd line becomes a note."""
        lines = text.split("\n")
        reader = _Reader(file)
        for number, line in enumerate(lines, 1):
            reader.line(number, line)
        return cls(file, tuple(lines), tuple(reader.finished()), tuple(reader.notes))

    def text(self) -> str:
        """Return the whole text; equal to what was parsed."""
        return "\n".join(self.lines)

    @property
    def main(self) -> Section:
        """What stands before the first section header."""
        return self.sections[0]

    @once
    def pending(self) -> Section | None:
        """``[PENDING]``: the changes that PVE applies at the next cold start."""
        return next((s for s in reversed(self.sections) if s.kind == "pending"), None)

    @once
    def changes_pending(self) -> bool:
        """A change that waits is one: not the value that the setting has, or a key not there."""
        waiting, now = self.pending, self.main.values
        if waiting is None:
            return False
        return any(
            key not in now or now[key].value != setting.value
            for key, setting in waiting.values.items()
        ) or any(key in now and key not in waiting.values for key in waiting.deleted)

    @once
    def snapshots(self) -> Mapping[str, Section]:
        """The snapshots by name."""
        return {s.name: s for s in self.sections if s.kind == "snapshot"}

    @once
    def special(self) -> Mapping[str, Section]:
        """``[special:…]`` sections by the name after the colon."""
        return {s.name: s for s in self.sections if s.kind == "special"}

    def where(self, line: int) -> SourceRef:
        """Return the place of a line."""
        return SourceRef(self.file, line)


class _Reader:
    """Collects sections, line by line."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.notes: list[Note] = []
        self.sections: list[Section] = []
        self.seen: dict[tuple[str, str], int] = {}
        self.skipped = 0
        self.begin("main", "", 0)

    def note(self, line: int, message: str, hint: str) -> None:
        self.notes.append(Note("warning", message, SourceRef(self.file, line), hint))

    # -------------------------------------------------------------- sections

    def begin(self, kind: SectionKind, name: str, line: int) -> None:
        self.kind: SectionKind = kind
        self.name = name
        self.header = line
        self.settings: list[Setting] = []
        self.lines_of: dict[str, int] = {}
        self.remarks: list[Remark] = []
        self.deletes: list[Setting] = []

    def end(self) -> None:
        self.sections.append(
            Section(self.kind, self.name, self.header, tuple(self.settings), tuple(self.remarks),
                    tuple(self.deletes))
        )  # fmt: skip
        if self.kind == "unknown":
            lines = f"its {self.skipped} lines are" if self.skipped != 1 else "its line is"
            self.note(
                self.header,
                f"the section {self.name!r} is none that PVE knows: {lines} skipped",
                "PVE drops them at its next write; a snapshot's name is a letter and then "
                "letters, digits, '_' and '-'",
            )
        self.skipped = 0

    def finished(self) -> list[Section]:
        self.end()
        return self.sections

    def section(self, number: int, name: str) -> None:
        self.end()
        kind: SectionKind
        lowered = name.lower()
        if lowered == "pending":
            kind, name = "pending", "pending"
        elif lowered.startswith("special:") and lowered.removeprefix("special:") in _SPECIAL:
            kind, name = "special", lowered.removeprefix("special:")
        elif _SNAPSHOT.match(name):
            kind = "snapshot"
        else:
            kind = "unknown"
        if kind != "unknown":
            first = self.seen.get((kind, name))
            if first is not None:
                self.note(
                    number,
                    f"the section {name!r} is given again and replaces that of line {first}",
                    "remove one of them; PVE keeps only the last",
                )
            self.seen[kind, name] = number
        self.begin(kind, name, number)

    # -------------------------------------------------------------- lines

    def line(self, number: int, line: str) -> None:
        if not line or not line.strip(_BLANK):
            return
        first = line[0]
        if first == "[" and (header := _HEADER.match(line)):
            self.section(number, header.group(1))
        elif self.kind == "unknown":
            self.skipped += 1
        elif first == "#":
            self.remarks.append(Remark(url_decoded(line[1:].rstrip("\r")), number))
        elif (match := _KEY.match(line)) and (value := line[match.end() :].strip(_BLANK)):
            self.setting(number, match.group(1), value)
        elif _EMPTY_ORDER.match(line):
            # PVE reads the blank as the value: the VM boots from nothing.
            self.setting(number, "boot", "")
        elif state := _SNAPSTATE.search(line):
            self.add(Setting("snapstate", state.group(1), number))
        else:
            self.odd(number, line)

    def setting(self, number: int, key: str, value: str) -> None:
        if key == "description":
            self.remarks.append(Remark(url_decoded(value), number, whole=False))
        elif key == "delete":
            if self.kind == "pending":
                self.again(key, number)
                self.deletes.append(Setting(key, value, number))
            else:
                self.note(
                    number,
                    "delete: stands outside of [PENDING]",
                    "PVE drops this line; it only has a meaning in [PENDING]",
                )
        elif "\r" in value:
            self.note(
                number,
                f"{key}: a carriage return stands inside the value",
                "PVE drops this line; remove the byte",
            )
        else:
            self.add(Setting("ide2" if key == "cdrom" else key, value, number))

    def add(self, setting: Setting) -> None:
        self.again(setting.key, setting.line)
        self.settings.append(setting)

    def again(self, key: str, number: int) -> None:
        """Say so if ``key`` was given before."""
        before = self.lines_of.get(key)
        if before is not None:
            self.note(
                number,
                f"{key} is given again; line {before} no longer counts",
                "remove one of them; PVE keeps only the last",
            )
        self.lines_of[key] = number

    def odd(self, number: int, line: str) -> None:
        """Say why PVE would not read this line."""
        shown = ascii(line if len(line) <= 60 else line[:57] + "...")
        bare = line.strip(_BLANK)
        if _KEY.match(line):
            why = f"{bare} has no value"
        elif line[0] == "\ufeff":
            why = "a byte-order mark stands before the line"
        elif line[0] in _BLANK and _KEY.match(bare):
            why = f"{shown} begins with a blank"
        elif _KEY.match(bare.lower()):
            why = f"{shown} has capitals in its key"
        else:
            why = f"{shown} is not of the form 'key: value'"
        self.note(number, why, "PVE drops this line at its next write")
