"""The old contents that :func:`vmserial.files.replace_file` keeps, found again."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmserial.errors import ConfigError, UsageError
from vmserial.files import Backups, record_of

_LARGEST = 4 << 20
"""Bytes: nothing larger is ever replaced."""
_BESIDE = re.compile(r"(?P<target>.+)\.vmserial-[1-9][0-9]*\.bak\Z", re.DOTALL)


@dataclass(frozen=True)
class Backup:
    """One old content of a file.

    Attributes:
        number: in its name; 1 is the oldest.
        path: where it is.
        content: what the file was before the change.
        time: of the change, in seconds since the epoch.
        written: the SHA-256 of what the file became then; empty if nobody wrote it down.
    """

    number: int
    path: Path
    content: bytes
    time: float
    written: str


def kept(backups: Backups) -> list[Backup]:
    """Return all old contents of one file, the oldest first.

    Raises:
        UsageError: one cannot be read.
    """
    pattern = re.compile(
        re.escape(backups.prefix) + r"([1-9][0-9]{0,8})" + re.escape(backups.suffix) + r"\Z"
    )
    try:
        names = [path.name for path in backups.directory.iterdir()]
    except OSError:
        return []
    found = [
        _read(backups.directory / name, int(match[1]))
        for name in names
        if (match := pattern.match(name))
    ]
    return sorted(found, key=lambda backup: backup.number)


def _read(path: Path, number: int) -> Backup:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
            time = os.fstat(stream.fileno()).st_mtime
    except OSError as error:
        raise UsageError(
            f"this backup cannot be read: {error.strerror}", hint="call it as its owner or as root",
            where=str(path),
        ) from None  # fmt: skip
    if len(content) > _LARGEST:
        raise ConfigError(
            "this is no backup of a configuration: it is too large",
            hint="vmserial did not write it; move it away", where=str(path),
        )  # fmt: skip
    try:
        said = record_of(path).read_text(encoding="ascii", errors="replace")[:64]
    except OSError:
        said = ""
    written = said if re.fullmatch(r"[0-9a-f]{64}", said) else ""
    return Backup(number, path, content, time, written)


def changed_since(chain: Sequence[Backup], chosen: Backup, present: bytes) -> str:
    """Say why a backup cannot be restored without losing another's change; empty if it can.

    Args:
        chain: all backups of the file, the oldest first.
        chosen: the one that is to be restored.
        present: the file's content now.
    """
    later = [backup for backup in chain if backup.number >= chosen.number]
    contents = [*(backup.content for backup in later[1:]), present]
    for backup, content in zip(later, contents, strict=True):
        if not backup.written:
            return f"nobody wrote down what the file became after {backup.path.name} was kept"
        if hashlib.sha256(content).hexdigest() != backup.written:
            return f"somebody changed the file after {backup.path.name} was kept"
    return ""


def targets(directory: Path) -> list[Path]:
    """Return the files of a directory of which an old content stands beside them."""
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError:
        return []
    found = {match["target"] for name in names if (match := _BESIDE.match(name))}
    return [directory / name for name in sorted(found)]
