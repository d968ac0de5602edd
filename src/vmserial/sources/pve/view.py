"""One reading of a PVE configuration: which settings count, and what is said about them.

Every setting is taken out by whoever translates it; what is left at the end is
named in a note, so nothing can be dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from vmserial.errors import ConfigError, UsageError
from vmserial.limits import PVE_KEYS
from vmserial.model import Note, SourceRef
from vmserial.sources.pve import keys as pve_keys
from vmserial.sources.pve.document import Document, Remark, Setting
from vmserial.sources.pve.values import UNPRINTABLE, Properties, Rejected, boolean

T = TypeVar("T")


def selected(
    document: Document, snapshot: str | None, pending: bool
) -> tuple[dict[str, Setting], list[Remark]]:
    """Return the current settings, a snapshot's, or those after ``[PENDING]``, and remarks.

    Raises:
        UsageError: there is no such snapshot, or both are asked for.
    """
    section = document.main
    if snapshot is not None:
        if pending:
            raise UsageError("a snapshot has no pending changes", hint="ask for one of the two")
        if snapshot not in document.snapshots:
            names = ", ".join(document.snapshots) or "none"
            raise UsageError(
                f"there is no snapshot {snapshot!r}",
                hint=f"snapshots in this file: {names}",
                where=document.file,
            )
        section = document.snapshots[snapshot]
    settings, remarks = dict(section.values), list(section.remarks)
    if pending and document.pending is not None:
        for key in document.pending.deleted:
            settings.pop(key, None)
        settings |= document.pending.values
        remarks += document.pending.remarks
    return settings, remarks


def alone(document: Document, snapshot: str | None, pending: bool) -> Document:
    """Return one view as a document of its own, each line where it was.

    Raises:
        UsageError: as :func:`selected`.
    """
    if snapshot is None and not pending:
        return document
    settings, remarks = selected(document, snapshot, pending)
    kept = {each.line for each in settings.values()} | {each.line for each in remarks}
    lines = [line if number in kept else "" for number, line in enumerate(document.lines, 1)]
    return Document.parse("\n".join(lines), document.file)


def unquoted(setting: Setting) -> Setting:
    """Return a setting as PVE reads it: of some, it takes a pair of double quotes off."""
    key, value = setting.key, setting.value
    quoted = len(value) > 1 and value[0] == '"' == value[-1]
    if quoted and (key in pve_keys.PLAIN_STRINGS or key.startswith("serial")):
        return Setting(key, value[1:-1], setting.line)
    return setting


@dataclass
class View:
    """The settings that one view of a document holds, and the notes made on the way.

    Attributes:
        file: the document's name.
        settings: what nobody has taken yet, by key.
        remarks: the description lines that belong to this view.
        vmid: the VM's number, for the paths that PVE makes from it.
        notes: collected so far.
    """

    file: str
    settings: dict[str, Setting]
    remarks: list[Remark]
    vmid: int
    notes: list[Note] = field(default_factory=list)

    @classmethod
    def of(cls, document: Document, vmid: int, snapshot: str | None, pending: bool) -> View:
        """Choose the settings: the current ones, a snapshot's, or those after ``[PENDING]``.

        Raises:
            UsageError: there is no such snapshot, or both are asked for.
        """
        settings, remarks = selected(document, snapshot, pending)
        view = cls(document.file, settings, remarks, vmid)
        view.notes += document.notes
        view._tell_other_sections(document, pending or snapshot is not None)
        return view

    def _tell_other_sections(self, document: Document, chosen: bool) -> None:
        waiting = document.pending
        if waiting is not None and not chosen:
            keys = dict.fromkeys((*waiting.values, *waiting.deleted))
            if keys:
                self.note(
                    "warning",
                    waiting.line,
                    f"changes are pending and not part of this view: {', '.join(keys)}",
                    "PVE applies them at the next cold start; ask for the pending view to see them",
                )
        names = [(s.line, f"the section special:{s.name}") for s in document.special.values()]
        if not chosen:
            names += [(s.line, f"the snapshot {s.name}") for s in document.snapshots.values()]
        for line, name in names:
            self.note("untranslated", line, f"{name} concerns PVE's management, not the command")

    # -------------------------------------------------------------- saying

    def where(self, line: int) -> SourceRef:
        """Return the place of a line; 0 is the file as a whole."""
        return SourceRef(self.file, line)

    def note(
        self,
        kind: Literal["warning", "untranslated", "replaced"],
        line: int,
        message: str,
        hint: str = "",
    ) -> None:
        """Add a note."""
        self.notes.append(Note(kind, message, self.where(line), hint))

    def leftovers(
        self, setting: Setting, props: Properties, management: frozenset[str] = frozenset()
    ) -> None:
        """Name the parts of a property string that nobody took."""
        ours = [key for key in props.values if key in management]
        rest = [f"{key}={value}" for key, value in props.values.items() if key not in management]
        if ours:
            self.note(
                "untranslated",
                setting.line,
                f"{setting.key}: {', '.join(ours)} concerns PVE's management, not the command",
            )
        if rest:
            self.note(
                "untranslated",
                setting.line,
                f"{setting.key}: {', '.join(rest)} is not translated",
                "the command is made without it",
            )

    # -------------------------------------------------------------- taking

    def take(self, key: str) -> Setting | None:
        """Take a setting out; None if there is none.

        Raises:
            ConfigError: it holds bytes that no argument of a program should carry.
        """
        setting = self.settings.pop(key, None)
        if setting is None:
            return None
        self.printable(setting.value, key, setting.line)
        return unquoted(setting)

    def printable(self, text: str, key: str, line: int) -> None:
        """Raise ConfigError if ``text`` holds control characters or is not UTF-8."""
        if UNPRINTABLE.search(text):
            raise ConfigError(
                f"the value of {key} holds a control character or is not UTF-8: {text[:80]!a}",
                hint="remove these bytes",
                where=str(self.where(line)),
            )

    def accepted(self, key: str, translate: Callable[[Setting], T], default: T) -> T:
        """Translate a setting; where PVE would drop the line, say so and take the default."""
        setting = self.take(key)
        if setting is None:
            return default
        try:
            return translate(setting)
        except Rejected as error:
            self.note(
                "warning",
                setting.line,
                f"{key}: {error.message}",
                f"PVE drops this line, and so does the plan; {error.hint}",
            )
            return default

    def flag(self, key: str, default: bool | None) -> bool | None:
        """Take a boolean."""
        return self.accepted(key, lambda s: boolean(s.value, key), default)

    # -------------------------------------------------------------- the end

    def name_the_rest(self) -> None:
        """Say of every setting that nobody took why it has no part in the command."""
        for key, setting in self.settings.items():
            name = pve_keys.known(key)
            if name in pve_keys.MANAGEMENT:
                self.note(
                    "untranslated",
                    setting.line,
                    f"{key} concerns PVE's management, not the command",
                )
            elif name in pve_keys.UNTRANSLATED:
                if name not in pve_keys.NEUTRAL or not re.fullmatch(
                    pve_keys.NEUTRAL[name], setting.value
                ):
                    self.note(
                        "untranslated",
                        setting.line,
                        f"{key} is not translated",
                        pve_keys.UNTRANSLATED[name],
                    )
            else:
                self.note(
                    "untranslated",
                    setting.line,
                    f"{key} is not a key that PVE knows, and is not translated",
                    self._nearest(key),
                )
        self.settings.clear()

    @staticmethod
    def _nearest(key: str) -> str:
        stem = key.rstrip("0123456789")
        names = [
            name.removesuffix("N")
            for name in pve_keys.TRANSLATED | pve_keys.MANAGEMENT | pve_keys.UNTRANSLATED.keys()
        ]
        limit = PVE_KEYS.get(stem)
        if limit is not None and key != stem:
            return f"PVE has {stem}0 to {stem}{limit - 1}, and drops this line at its next write"
        import difflib  # only the way to an error needs it

        near = difflib.get_close_matches(stem, names, 1)
        meant = f"did you mean {near[0]}? " if near and near[0] != stem else ""
        return f"{meant}PVE drops this line at its next write"
