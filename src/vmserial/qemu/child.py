"""Child processes: they die with us, and what they write is kept within bounds."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vmserial.errors import BinaryError, UsageError

_KILL_BOUND = 10.0

_TEXT_HALF = 128 * 1024
"""Bytes kept of the beginning, and of the end, of what QEMU writes."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""What ends us, by an exception of its handler."""


class BoundedText:
    """What a process writes: all of it up to a bound, then its beginning and its end."""

    def __init__(self, half: int = _TEXT_HALF) -> None:
        self._half = half
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Add what was read."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room < len(data) else b""
        over = len(self._tail) - self._half
        if over > 0:
            del self._tail[:over]
            self._dropped += over

    def text(self) -> str:
        """Return it as text; undecodable bytes are shown as such."""
        middle = f"\n[… {self._dropped} bytes left out …]\n".encode() if self._dropped else b""
        return (bytes(self._head) + middle + bytes(self._tail)).decode(errors="backslashreplace")


def _die_with_parent(mask: Iterable[int]) -> Callable[[], None]:
    """Return a function for the child: be killed when the parent is gone; take our signals."""
    # Looked up before the fork: a child of a threaded process must not take locks.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(127)
        # A mask outlives exec.
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    return arrange


def allow_descriptors() -> None:
    """Let this process and those it starts have as many open files as the system allows them.

    A port takes two descriptors of QEMU, its listener and its client, and one of ours; the soft
    limit of a login is often 1024, the hard one a million.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft not in (hard, resource.RLIM_INFINITY):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start_process(
    argv: Sequence[str],
    *,
    pass_fds: Iterable[int] = (),
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.STDOUT,
    own_group: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that dies with this process, in a process group of its own.

    A signal that ends us waits until it is started: between fork and exec Python runs
    callbacks of its own (logging has some), and drops what a signal's handler raises in them.

    Raises:
        BinaryError: it is not there or cannot be executed.
    """
    for word in argv:
        if "\0" in word:
            raise UsageError(
                "a word of the command line holds a NUL byte", hint="remove it", where=word[:40]
            )
    allow_descriptors()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    process = None
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            process_group=0 if own_group else None,
            cwd=cwd,
            env=env,
            preexec_fn=_die_with_parent(before),
        )
    except FileNotFoundError:
        raise BinaryError(
            f"there is no {argv[0]}",
            hint="install it, or name the binary with --qemu",
        ) from None
    except OSError as error:
        raise BinaryError(
            f"{argv[0]} cannot be started: {error.strerror or error}",
            hint="is it an executable for this host?",
        ) from None
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:
            # It was waiting, and its handler has raised: nobody will have the process.
            if process is not None:
                reap(process)
            raise
    return process


def reap(process: subprocess.Popen[bytes]) -> None:
    """Kill what is still running; the last resort, when nobody could await."""
    if process.poll() is None:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_BOUND)


def status_text(status: int | None) -> str:
    """Return how a process ended, to be put behind "ended"; empty if it is not known."""
    if status is None:
        return ""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f" by {signal.Signals(-status).name}"
        return f" by signal {-status}"
    return f" (exit status {status})"
