"""The file system that a shim is installed into: this one, or a tree below a directory.

Paths in records and wrappers are those that the tree's own processes see.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from vmserial.errors import UsageError
from vmserial.shim import boot

_LINKS = 40
"""As many symbolic links as Linux follows in one path."""


def refused(path: str | Path, error: OSError, doing: str) -> UsageError:
    """Return the error for an OSError of the file system, in its own words."""
    return UsageError(
        f"cannot {doing} {path}: {error.strerror or error}",
        hint="the shim is installed and removed as root; check the directory and its free space",
    )


@dataclass(frozen=True)
class Tree:
    """A file system.

    Attributes:
        root: its root directory; empty: the one of this process.
    """

    root: str = ""

    def at(self, path: str) -> Path:
        """Return where a path of the tree is for this process."""
        return Path(self.root + path)

    def resolved(self, path: str) -> str:
        """Return a path of the tree without symbolic links; they never lead out of it.

        Raises:
            UsageError: the links lead in a circle, or the path is not absolute.
        """
        if not path.startswith("/"):
            raise UsageError(f"{path!r} is not absolute", hint="write it from the root: /usr/…")
        done, left, links = "", path.split("/"), 0
        while left:
            part = left.pop(0)
            if part == "..":
                done = done.rpartition("/")[0]
            elif part not in ("", "."):
                step = f"{done}/{part}"
                if not self.at(step).is_symlink():
                    done = step
                    continue
                links += 1
                if links > _LINKS:
                    raise UsageError(f"the links of {path} lead in a circle", hint="mend them")
                aim = os.readlink(self.at(step))  # noqa: PTH115 - a Path would drop a "./"
                left[:0] = aim.split("/")
                done = "" if aim.startswith("/") else done
        return done or "/"

    def stranger(self, path: str) -> str:
        """Return the first part of a path that others than root and this user could change.

        The rule of the wrapper itself (:func:`vmserial.shim.boot.safe`); empty if there is
        none.  Parts that are not there yet are left out.
        """
        steps = path.split("/")
        for end in range(1, len(steps) + 1):
            step = "/".join(steps[:end]) or "/"
            try:
                status = self.at(step).lstat()
            except OSError:
                break
            kind = stat.S_IFMT(status.st_mode)
            if kind not in (stat.S_IFDIR, stat.S_IFREG) or not boot.safe(status, kind):
                return step
        return ""

    def key(self, path: str) -> tuple[int, int]:
        """Return size and time of change in ns of a file.

        Raises:
            UsageError: it is not there.
        """
        try:
            status = self.at(path).stat()
        except OSError as error:
            raise refused(path, error, "look at") from None
        return status.st_size, status.st_mtime_ns


def same(one: Path, two: Path) -> bool:
    """Tell whether two names are of one file."""
    try:
        return one.samefile(two)
    except OSError:
        return False


def write(path: Path, data: bytes, mode: int) -> None:
    """Write a new file and see it on the disk.

    Raises:
        OSError: it is there already, or the disk is full.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)
        stream.flush()
        os.fsync(stream.fileno())


def settle(directory: Path) -> None:
    """See a directory's names on the disk."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def exchange(path: Path, data: bytes, mode: int) -> None:
    """Put a file in the place of another at once: whoever opens the path gets one of them.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f".{path.name[:64]}.vmserial-{os.urandom(4).hex()}")
    try:
        write(aside, data, mode)
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    settle(path.parent)


def second_name(path: Path, name: Path) -> None:
    """Give a file a second name, exchanging what has that name; a copy where links are not had.

    Raises:
        OSError: it cannot be made.
    """
    aside = name.with_name(f".{name.name[:64]}.vmserial-{os.urandom(4).hex()}")
    try:
        try:
            os.link(path, aside)
        except OSError:
            shutil.copy2(path, aside)
            status = path.stat()
            os.chown(aside, status.st_uid, status.st_gid)
        if same(aside, name):
            return  # rename(2) would do nothing
        aside.rename(name)
    finally:
        aside.unlink(missing_ok=True)
    settle(name.parent)


def discard(path: Path) -> None:
    """Remove a directory and all that is in it, or a file; nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
