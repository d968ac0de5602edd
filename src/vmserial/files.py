"""A file replaced so that a crash at any moment leaves the old one or the new one, whole.

The new content is written aside, in the same directory (``NAME.tmp.PID``, as
PVE's own tools do; no such name is a VM to PVE), made durable, and renamed over
the old file: rename(2) is atomic, also on pmxcfs, PVE's file system behind
``/etc/pve``.  That one is in user space and odd: it knows no hard links, its
files have one owner and one mode, and it may refuse fsync of a directory.  So
owner and mode are only set where they differ from what came by themselves, and
what a file system cannot do is not an error.

The old content goes into a backup first, and beside that the SHA-256 of the new
one (``BACKUP.sha256``, as sha256sum(1) writes it): what `vmserial undo` needs to
tell whether somebody else wrote since (:mod:`vmserial.backups`).

Whoever may change the file at the same time is kept out by :func:`locked`, and a
change that was made before is noticed by comparing what is there with what was read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmserial.errors import ConfigError
from vmserial.paths import flock

LOCK_SECONDS = 10.0
"""How long PVE's own tools wait for a configuration's lock."""

_CANNOT = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a file system says of an operation that it does not have."""


@dataclass(frozen=True)
class Backups:
    """Where the old content goes: ``DIRECTORY/PREFIX<n>SUFFIX``, n from 1 on.

    Attributes:
        directory: made (mode 0700: a configuration may hold a password) if it is missing.
        prefix: such as ``142.conf.``; what comes of it must never be read as a VM.
        suffix: such as ``.bak``.
    """

    directory: Path
    prefix: str
    suffix: str = ""

    def free(self) -> Path:
        """Return the first path that nobody has."""
        number = 1
        while os.path.lexists(path := self.directory / f"{self.prefix}{number}{self.suffix}"):
            number += 1
        return path


def beside(path: Path) -> Backups:
    """Return where the old contents of a file go by default."""
    return Backups(path.parent, f"{path.name}.vmserial-", ".bak")


def record_of(backup: Path) -> Path:
    """Return the file that says what was written when a backup was made."""
    return backup.with_name(f"{backup.name}.sha256")


def digest(content: bytes) -> str:
    """Return what PVE calls a configuration's digest: SHA-1 of the raw text."""
    import hashlib  # it loads OpenSSL, and who only reads needs none

    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def replace_file(path: str | Path, old: bytes, new: bytes, backups: Backups | None = None) -> Path:
    """Put ``new`` in the place of ``old``; owner and mode stay, a symlink's target is replaced.

    Args:
        path: the file.
        old: its content as it was read; whatever else is there now is never overwritten.
        new: its content to be.
        backups: where ``old`` is kept; by default beside it, as ``NAME.vmserial-<n>.bak``.

    Returns:
        The backup's path.

    Raises:
        ConfigError: the file changed since it was read, or something cannot be written;
            then the old content is still there (or the new one, where only making it
            durable failed), and no temporary file.
    """
    target = Path(path).resolve()
    backups = backups or beside(target)
    _check_unchanged(target, old)
    try:
        backup = _back_up(old, backups)
        _record(backup, target, new)
    except OSError as error:
        raise _cannot("the backup cannot be written", backups.directory, error) from None
    renamed = False
    try:
        before = target.stat()
        with _aside(target, new, stat.S_IMODE(before.st_mode)) as (aside, descriptor):
            _keep_owner(descriptor, before)
            # Once more, as late as can be: not all who write take the lock.
            _check_unchanged(target, old)
            aside.rename(target)
            renamed = True
        _sync_directory(target.parent)
    except OSError as error:
        what = (
            "the new content is there, but could not be made durable"
            if renamed
            else "the file cannot be written; its old content is untouched"
        )
        raise _cannot(what, target, error) from None
    return backup


def new_file(path: str | Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all.

    Raises:
        ConfigError: there is something of this name, or it cannot be written.
    """
    target = Path(path)
    if os.path.lexists(target):
        raise ConfigError(
            "this file is there already",
            hint="choose another name; --apply changes the input in its place",
            where=str(target),
        )
    try:
        with _aside(target, content, None) as (aside, _):
            aside.rename(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise _cannot("the file cannot be written", target, error) from None


def _check_unchanged(target: Path, old: bytes) -> None:
    try:
        present = target.read_bytes()
    except OSError as error:
        raise _cannot("the file cannot be read again", target, error) from None
    if present != old:
        raise ConfigError(
            "somebody changed the file in the meantime: its digest is "
            f"{digest(present)}, and was {digest(old)} when it was read",
            hint="nothing was written; look at it and try again",
            where=str(target),
        )


def _cannot(what: str, path: Path, error: OSError) -> ConfigError:
    hints = {
        errno.EACCES: "call it as root; on PVE the cluster must have quorum ('pvecm status')",
        errno.EPERM: "call it as root",
        errno.EROFS: "the file system is read-only; on PVE the cluster must have quorum",
        errno.ENOSPC: "make room and try again",
        errno.EDQUOT: "make room and try again",
        errno.EFBIG: "pmxcfs takes no files of this size",
    }
    return ConfigError(
        f"{what}: {error.strerror or error}",
        hint=hints.get(error.errno or 0, "look at the disk ('dmesg') and try again"),
        where=str(path),
    )


def _back_up(content: bytes, backups: Backups) -> Path:
    """Write a backup, whole under its name or not at all."""
    directory = backups.directory
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_directory(directory.parent)
    path = backups.free()
    with _aside(path, content, 0o600) as (aside, _):
        aside.rename(path)
    _sync_directory(directory)
    return path


def _record(backup: Path, target: Path, new: bytes) -> None:
    """Write down what the file is to be, so that a later change by others can be told."""
    import hashlib

    text = f"{hashlib.sha256(new).hexdigest()}  {target.name}\n".encode("utf-8", "surrogateescape")
    path = record_of(backup)
    with _aside(path, text, 0o600) as (aside, _):
        aside.rename(path)
    _sync_directory(backup.parent)


@contextlib.contextmanager
def _aside(target: Path, content: bytes, mode: int | None) -> Iterator[tuple[Path, int]]:
    """Write what is to become ``target`` beside it; it is gone again if it was not renamed.

    Args:
        target: whose name it gets, with ``.tmp.PID``.
        content: of the file.
        mode: of the file; None: as new files get theirs.
    """
    path = target.with_name(f"{target.name}.tmp.{os.getpid()}")
    # A file of this name is left over from a process that was killed and had our number.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o666 if mode is None else mode)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if mode is not None and stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:  # the umask
            with _if_it_can():
                os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        yield path, descriptor
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


def _keep_owner(descriptor: int, before: os.stat_result) -> None:
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) == (before.st_uid, before.st_gid):
        return
    with _if_it_can():
        os.fchown(descriptor, before.st_uid, before.st_gid)
    # chown takes the set-id bits away; a configuration has none, so the mode is as it was.


def _sync_directory(directory: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _if_it_can():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _if_it_can() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


@contextlib.contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the exclusive flock(2) of a file or directory.

    A file is made if it is missing, as PVE makes its own, and never removed: another
    process may be about to lock the one that is there.

    Raises:
        ConfigError: another process held it all the time, or it cannot be made.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY, 0o644)
    except OSError as error:
        raise _cannot("the lock file cannot be opened", path, error) from None
    try:
        _flock(descriptor, path, seconds)
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int, path: Path, seconds: float) -> None:
    try:
        taken = flock(descriptor, seconds)
    except OSError as error:
        raise _cannot("the file cannot be locked", path, error) from None
    if not taken:
        raise ConfigError(
            f"another process has held the lock for {seconds:g} s",
            hint="wait until the task that is changing this VM has ended; "
            f"'fuser {path}' names its process",
            where=str(path),
        )
