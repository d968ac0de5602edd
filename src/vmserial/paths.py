"""Where vmserial keeps its files: a cache that lasts and run directories that do not.

A run directory belongs to one process.  Its ``owner`` file names that process
and is locked (flock(2)) as long as it lives; the kernel drops the lock however
the process ends, ``kill -9`` included, so the next one knows what is stale and
sweeps it.  The pid alone would not do: it is reused, and it means another
process in another pid namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial.errors import UsageError
from vmserial.limits import SUN_PATH_MAX

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_BASE_MAX = 60
"""Longest base of run directories, in bytes; the rest is for the names in them."""

_UNFINISHED = ".n"
_STALE_UNFINISHED = 3600.0
"""Seconds after which a directory that never got its owner is taken for left behind."""

_OWNER = "owner"

_POLL = 0.05
"""Seconds between two tries to take a lock."""


def _refused(path: Path, error: OSError, doing: str) -> UsageError:
    """Return the error for an OSError of the file system, in its own words."""
    return UsageError(
        f"cannot {doing} {path}: {error.strerror or error}",
        hint="check its directory's owner, mode and free space; XDG_CACHE_HOME and "
        "XDG_RUNTIME_DIR say where caches and sockets go",
    )


def cache_dir(*parts: str) -> Path:
    """Return (and make, mode 0700) a directory of the cache.

    The base is ``$XDG_CACHE_HOME/vmserial``, or ``~/.cache/vmserial`` if the
    variable is empty or not absolute (XDG Base Directory Specification).

    Raises:
        UsageError: it cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(base) if base.startswith("/") else Path("~/.cache").expanduser()
    except RuntimeError:
        raise UsageError(
            "this user has no home directory", hint="set HOME or XDG_CACHE_HOME"
        ) from None
    path = root.joinpath("vmserial", *parts)
    try:
        _make_private(path, root)
    except OSError as error:
        raise _refused(path, error, "make") from None
    return path


TROUBLE: list[str] = []
"""What people must know of where things are remembered; the command line says it once."""


def memory_dir(part: str) -> Path | None:
    """Return a directory for what is remembered and can be asked again.

    It is the cache's; where there is none (no home, a read-only one) one in ``/tmp``, which
    a restart clears; None where that cannot be had either.  What was tried in vain is said in
    :data:`TROUBLE`.

    Args:
        part: its name in the cache.
    """
    try:
        return cache_dir(part)
    except UsageError as error:
        trouble = error.message
    path: Path | None
    try:
        path = _own(Path(f"/tmp/vmserial-{os.getuid()}-cache")) / part
        path.mkdir(mode=0o700, exist_ok=True)
        said = f"what QEMU has is remembered in {path.parent}"
    except (OSError, UsageError):
        path, said = None, "nothing is remembered, so that each call asks QEMU anew"
    note = f"{trouble}: {said}; XDG_CACHE_HOME names a cache"
    if note not in TROUBLE:
        TROUBLE.append(note)
    return path


def _make_private(path: Path, root: Path) -> None:
    """Make ``path``; what is below ``root`` gets mode 0700, as XDG asks for."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    step = root
    for part in path.relative_to(root).parts:
        step /= part
        step.mkdir(exist_ok=True, mode=0o700)


def write_atomic(path: Path, data: bytes | str, mode: int = 0o600) -> None:
    """Write a whole file so that a reader sees the old or the new one, never a part.

    Written aside in the same directory, fsynced, renamed, and the directory
    fsynced, so that it also survives a crash.

    Raises:
        UsageError: the directory is not there, not writable, or full.
    """
    raw = data.encode() if isinstance(data, str) else data
    aside = path.with_name(f".{path.name[:64]}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _refused(path, error, "write") from None


def flock(descriptor: int, bound: float, waiting: Callable[[], None] | None = None) -> bool:
    """Take the exclusive lock of an open file; False if it was not free in time.

    Args:
        descriptor: of the file.
        bound: seconds to wait for another process.
        waiting: called once if there is somebody to wait for.

    Raises:
        OSError: its file system knows no locks.
    """
    deadline = time.monotonic() + bound
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        else:
            return True
        if waiting is not None:
            waiting()
            waiting = None
        # flock(2) knows no timeout, and a signal would be the whole process's.
        time.sleep(_POLL)


@contextlib.contextmanager
def locked(path: Path, bound: float, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if it is not there.

    Args:
        path: the lock file; it stays.
        bound: seconds to wait for another process.
        waiting: called once if there is somebody to wait for.

    Raises:
        UsageError: the file cannot be made, or the lock was not free in time.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refused(path, error, "make") from None
    try:
        if not flock(descriptor, bound, waiting):
            raise UsageError(
                f"another process has held {path} for {bound:g} s",
                hint="see who it is with fuser(1); end it and try again",
            )
        yield
    finally:
        os.close(descriptor)


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc_pid_stat(5), field 22).

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    # The command's name is in parentheses and may itself hold blanks and parentheses.
    return int(text.rpartition(")")[2].split()[19])


def runtime_base() -> Path:
    """Return (and make) the directory that holds the run directories of this user.

    ``$XDG_RUNTIME_DIR/vmserial``, or ``/tmp/vmserial-<uid>`` where that is unset
    or too long for the sockets in it.

    Raises:
        UsageError: it cannot be made, or somebody else owns what stands there.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) / "vmserial"
    if not (
        runtime.startswith("/")
        and len(os.fsencode(base)) <= _BASE_MAX
        and os.access(runtime, os.W_OK | os.X_OK)
    ):
        base = Path(f"/tmp/vmserial-{os.getuid()}")
    return _own(base)


def _own(base: Path) -> Path:
    """Make a directory that is this user's alone, whoever may write where it stands.

    Raises:
        UsageError: it cannot be made, or somebody else owns what stands there.
    """
    try:
        with contextlib.suppress(FileExistsError):
            base.mkdir(mode=0o700)
        status = base.lstat()
    except OSError as error:
        raise _refused(base, error, "make") from None
    # /tmp is everybody's: a directory or link that somebody else put there is not used.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise UsageError(
            f"{base} is not a directory of this user",
            hint="remove it, or set XDG_RUNTIME_DIR to a private directory",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        base.chmod(0o700)
    return base


def _rmtree(path: Path) -> None:
    # Imported here: it costs 5 ms whoever has nothing to remove, or not yet.
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path, owner: int, lock: int) -> None:
    """Remove a run directory and let go of its lock; only in the process that made it."""
    if os.getpid() == owner:
        _rmtree(path)
        with contextlib.suppress(OSError):
            os.close(lock)


def sweep(base: Path) -> list[Path]:
    """Remove the run directories in ``base`` whose owners are dead; return them."""
    swept = []
    for path in base.iterdir():
        try:
            if path.name.startswith(_UNFINISHED):
                # Its owner may stand in it already, and not hold the lock yet.
                raise FileNotFoundError(path)
            lock = os.open(path / _OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            # Being made just now, or its maker died before it had an owner.
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > _STALE_UNFINISHED:
                    _rmtree(path)
                    swept.append(path)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _rmtree(path)
            swept.append(path)
        except OSError:
            pass  # it lives
        finally:
            os.close(lock)
    return swept


class Closing:
    """What is closed at the end of a ``with``, however that ends."""

    def close(self) -> None:
        """Give back what is held; calling it again does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class RunDirectory(Closing):
    """A private directory (0700) with a short path, for sockets and state of one run.

    Used as a context manager; also removed when the interpreter ends.  Making
    one sweeps those of dead owners.

    Attributes:
        path: where it is; at most 70 bytes, so that 36 are left for a socket's name.

    Raises:
        UsageError: no directory can be made.
    """

    path: Path

    def __init__(self) -> None:
        base = runtime_base()
        sweep(base)
        try:
            made = base / f"{_UNFINISHED}{os.urandom(4).hex()}"
            made.mkdir(mode=0o700)
            owner = os.getpid()
            self._lock = os.open(made / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            os.write(self._lock, f"{owner} {start_time(owner)}\n".encode())
            # Its name is only taken once it is locked: sweepers never see it without.
            self.path = made.with_name("r" + made.name.removeprefix(_UNFINISHED))
            made.rename(self.path)
        except OSError as error:
            raise _refused(base, error, "make a directory in") from None
        import weakref  # a plan needs no directory of its own

        self._finalizer = weakref.finalize(self, _remove, self.path, owner, self._lock)

    def socket(self, name: str) -> str:
        """Return the path of a unix socket of that name in this directory.

        Raises:
            UsageError: it would be longer than a socket's path may be.
        """
        path = str(self.path / name)
        if len(os.fsencode(path)) > SUN_PATH_MAX:
            raise UsageError(
                f"the socket path {path} is longer than {SUN_PATH_MAX} bytes",
                hint="set XDG_RUNTIME_DIR to a directory with a shorter path",
            )
        return path

    def close(self) -> None:
        """Remove the directory with all that is in it; calling it again does nothing."""
        self._finalizer()
