"""The settings of one view of a configuration, read as PVE reads them to start the VM.

A line that PVE does not know or does not accept has no part in the command; it is
kept as :class:`~vmserial.model.origin.Dropped`.  Nothing here is told to the user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.model.origin import Dropped
from vmserial.model.source import SourceRef
from vmserial.sources.pve import keys as pve_keys
from vmserial.sources.pve.document import Document, Setting
from vmserial.sources.pve.values import OFF, ON, Properties, Rejected
from vmserial.sources.pve.view import selected, unquoted

_SERIAL = re.compile(r"serial[0-9]+\Z")
_DIRECTIVE = re.compile(r"[ \t]*vmserial[ \t]+(serial[0-9]+)[ \t]*:[ \t]*(.*?)[ \t\r]*\Z", re.I)
_TEMPLATE_KEEPS = re.compile(r"(?:ide|scsi|virtio|sata|efidisk)[0-9]+|scsihw|bios|name|meta\Z")
_NUMBER = re.compile(r"[0-9]{1,12}\Z")


@dataclass
class Reading:
    """What PVE takes from a configuration.

    Attributes:
        file: its name.
        settings: that count, by key.
        dropped: what does not reach the command.
    """

    file: str
    settings: dict[str, Setting]
    dropped: list[Dropped] = field(default_factory=list)
    _numbers: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Document, snapshot: str | None, pending: bool) -> Reading:
        """Choose the settings: the current ones, a snapshot's, or those after ``[PENDING]``.

        Raises:
            UsageError: as :meth:`vmserial.sources.pve.view.View.of`.
        """
        settings, remarks = selected(document, snapshot, pending)
        reading = cls(document.file, {})
        for key, setting in settings.items():
            if _SERIAL.match(key) and (
                int(key[6:]) >= PVE_SERIAL_PORTS or key != f"serial{int(key[6:])}"
            ):
                reading._drop(setting, "no-such-line")
            elif not pve_keys.known(key):
                reading._drop(setting, "other")
            else:
                reading.settings[key] = setting
        if reading.flag("template"):
            # PVE starts a template only to look at its disks.
            reading.settings = {k: s for k, s in reading.settings.items()
                                if _TEMPLATE_KEEPS.match(k) or k == "template"}  # fmt: skip
        for key in reading.settings:
            stem = key.rstrip("0123456789")
            if stem != key:
                reading._numbers.setdefault(stem, []).append(int(key[len(stem) :]))
        for numbers in reading._numbers.values():
            numbers.sort()
        for remark in remarks:
            for text in remark.text.split("\n"):
                if match := _DIRECTIVE.match(text):
                    where = SourceRef(document.file, remark.line)
                    reading.dropped.append(Dropped(match[1], "directive", where, match[2]))
        if snapshot is None and not pending and (waiting := document.pending) is not None:
            for setting in waiting.values.values():
                reading._drop(setting, "pending")
            for key in waiting.deleted:
                # A deletion that waits has no value.
                where = SourceRef(document.file, waiting.delete[-1].line)
                reading.dropped.append(Dropped(key, "pending", where))
        return reading

    def _drop(self, setting: Setting, reason: str) -> None:
        where = SourceRef(self.file, setting.line)
        kind = reason if reason in {"no-such-line", "pending"} else "other"
        self.dropped.append(Dropped(setting.key, kind, where, setting.value))  # type: ignore[arg-type]

    def reject(self, key: str) -> None:
        """Take a setting out whose value PVE does not accept: it drops the line."""
        self._drop(self.settings.pop(key), "other")

    # -------------------------------------------------------------- values

    def text(self, key: str, default: str = "") -> str:
        """Return a value."""
        setting = self.settings.get(key)
        return unquoted(setting).value if setting is not None else default

    def one_of(self, key: str, choices: tuple[str, ...], default: str) -> str:
        """Return one of several words; PVE drops a line that says another."""
        value = self.text(key, default)
        if value in choices or key not in self.settings:
            return value
        self.reject(key)
        return default

    def number(self, key: str, default: int) -> int:
        """Return a whole number; PVE drops a line that has none."""
        value = self.text(key)
        if _NUMBER.match(value):
            return int(value)
        if key in self.settings:
            self.reject(key)
        return default

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean; PVE drops a line that has none."""
        setting = self.settings.get(key)
        if setting is None:
            return default
        value = setting.value.lower()
        if value in ON or value in OFF:
            return value in ON
        self.reject(key)
        return default

    def props(
        self, key: str, default_key: str, models: tuple[str, ...] = (), other: str = ""
    ) -> dict[str, str] | None:
        """Return the parts of a property string; None if it is not there or not one."""
        setting = self.settings.get(key)
        if setting is None:
            return None
        try:
            return Properties(setting.value, default_key, (models, other)).values
        except Rejected:
            self.reject(key)
            return None

    def numbered(self, stem: str) -> list[int]:
        """Return the numbers N of the settings ``stemN``, in order."""
        numbers = self._numbers.get(stem, ())
        return [number for number in numbers if f"{stem}{number}" in self.settings]


def on(parts: dict[str, str] | None, key: str, default: bool = False) -> bool:
    """Return a boolean of a property string."""
    value = (parts or {}).get(key, "").lower()
    return value in ON if value in ON or value in OFF else default
