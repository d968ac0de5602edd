"""One QEMU process: started, watched, and ended whatever happens.

QMP goes over a socketpair whose one end QEMU inherits, so nothing of it is on
disk and nobody else can connect.  The process gets its own process group (a
Ctrl-C is ours to handle) and PR_SET_PDEATHSIG=SIGKILL (it dies with us even
when we are killed).  Its end is seen through a pidfd, not by polling.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from vmserial.errors import BinaryError, LostVMError, MonitorError, QemuStartError, UsageError
from vmserial.options import Option, render
from vmserial.paths import RunDirectory
from vmserial.qemu.monitor import Event, Monitor

T = TypeVar("T")

START_BOUND = 30.0
"""Seconds from exec to an answering QMP; a big emulated VM takes well below one."""

_QUIT_BOUND = 3.0
_TERM_BOUND = 2.0
_KILL_BOUND = 10.0

_TEXT_HALF = 128 * 1024
"""Bytes kept of the beginning, and of the end, of what QEMU writes."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

MONITOR_ID = "vmserial-qmp"
"""The chardev id of our own monitor."""

_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"is not a valid device model name",
        "this binary has no such device for this machine; `vmserial doctor` names what fits",
    ),
    (
        r"Max\. supported number of ISA serial ports",
        "an x86 VM has four ISA serial ports at most; use another type for the rest",
    ),
    (r"speed mismatch", "a usb-serial needs an xhci controller: add qemu-xhci"),
    (
        r"[Aa]ddress already in use|Failed to bind socket",
        "another process holds this socket or port; end it or choose another one",
    ),
    (
        r"KVM kernel module|failed to initialize kvm|invalid accelerator kvm",
        "KVM does not work here; use the accelerator tcg",
    ),
    (r'Failed to get "?(write|shared|consistent read)"? lock', "another VM uses this disk image"),
    (r"[Pp]ermission denied", "check the owner and mode of that file and who you are"),
    (r"No such file or directory", "check the path; QEMU says which one above"),
    (r"[Dd]uplicate (device )?ID|Duplicate ID", "two devices or chardevs have the same id"),
    (
        r"PCI: slot \d+ function \d+ (not available|already)",
        "two devices have the same PCI address; give another one",
    ),
    (r"UNIX socket path .* too long", "a socket's path may have 107 bytes; use a shorter one"),
    (
        r"unsupported machine type|Use -machine help",
        "this binary has no such machine type; its names are shown by `-machine help`",
    ),
    (r"cannot set up guest memory|Cannot allocate memory", "not enough memory on this host"),
    (r"is missing|could not load|Could not find ROM", "a firmware file is not installed"),
)


def hint_for(stderr: str) -> str:
    """Return what to do about QEMU's own words; a general hint where they are unknown."""
    for pattern, hint in _HINTS:
        if re.search(pattern, stderr):
            return hint
    return "QEMU's own words are above; `vmserial showcmd --pretty` shows the whole command"


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


def _die_with_parent() -> Callable[[], None]:
    """Return a function for the child: be killed when the parent is gone."""
    # Looked up before the fork: a child of a threaded process must not take locks.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(127)

    return arrange


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

    Raises:
        BinaryError: it is not there or cannot be executed.
    """
    for word in argv:
        if "\0" in word:
            raise UsageError(
                "a word of the command line holds a NUL byte", hint="remove it", where=word[:40]
            )
    try:
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            process_group=0 if own_group else None,
            cwd=cwd,
            env=env,
            preexec_fn=_die_with_parent(),
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


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Kill what is still running; the last resort, when nobody could await."""
    if process.poll() is None:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_BOUND)


class VirtualMachine:
    """A running QEMU.  An async context manager: started on entry, gone on exit.

    Args:
        argv: the binary and its options.
        rundir: where its sockets are; kept alive as long as this object.
        paused: start with ``-S``; ``cont`` makes it run.
        pass_fds: further file descriptors that QEMU inherits, by their number.
        reset_is_loss: a guest that resets counts as lost, as it does in a test.
        foreground: QEMU gets our stdin and stdout (for a ``stdio`` chardev) and
            stays in our process group, so that it may read the terminal.
        start_bound: seconds until QMP must answer.

    Attributes:
        monitor: its QMP session.
        lost: set to the reason when the process ends or QMP reports SHUTDOWN,
            GUEST_PANICKED or (``reset_is_loss``) RESET.
        returncode: its exit status once it ended; negative for a signal.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        rundir: RunDirectory | None = None,
        paused: bool = False,
        pass_fds: Iterable[int] = (),
        reset_is_loss: bool = True,
        foreground: bool = False,
        start_bound: float = START_BOUND,
    ) -> None:
        self.argv = tuple(argv)
        self.rundir = rundir
        self._paused = paused
        self._pass_fds = tuple(pass_fds)
        self._reset_is_loss = reset_is_loss
        self._foreground = foreground
        self._start_bound = start_bound
        self._output = BoundedText()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._exited: asyncio.Future[int]
        self.monitor: Monitor
        self.lost: asyncio.Future[LostVMError]
        self.returncode: int | None = None

    # -------------------------------------------------------------- start

    async def __aenter__(self) -> VirtualMachine:
        loop = asyncio.get_running_loop()
        self._exited = loop.create_future()
        self.lost = loop.create_future()
        self.monitor = Monitor()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._start(theirs.fileno())
            self.monitor.subscribe(self._on_event)
            await self._wait_for_monitor(ours)
        except BaseException:
            await self._end()
            ours.close()
            raise
        return self

    def _start(self, monitor_fd: int) -> None:
        """Start the process with ``monitor_fd`` as its QMP, and watch it."""
        own = [
            Option("-chardev", "socket", (("id", MONITOR_ID), ("fd", monitor_fd)), role="monitor"),
            # Not -mon, which 11.1 warns about; this form is in every version.
            Option("-qmp", raw=f"chardev:{MONITOR_ID}", role="monitor"),
        ]
        if self._paused:
            own.append(Option("-S"))
        process = start_process(
            [*self.argv, *render(own)],
            pass_fds=(*self._pass_fds, monitor_fd),
            stdin=None if self._foreground else subprocess.DEVNULL,
            stdout=None if self._foreground else subprocess.PIPE,
            stderr=subprocess.PIPE if self._foreground else subprocess.STDOUT,
            own_group=not self._foreground,
        )
        self._process = process
        weakref.finalize(self, _reap, process)
        loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._on_exit)
        stream = process.stderr if self._foreground else process.stdout
        assert stream is not None
        self._stream = stream
        os.set_blocking(stream.fileno(), False)
        loop.add_reader(stream.fileno(), self._on_output)

    async def _wait_for_monitor(self, ours: socket.socket) -> None:
        connecting = asyncio.ensure_future(self.monitor.connect(ours))
        try:
            either: set[asyncio.Future[Any]] = {connecting, self._exited}
            await asyncio.wait(
                either,
                timeout=self._start_bound,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done() and connecting.exception() is None:
                return
            if not connecting.done() and not self._exited.done():
                raise QemuStartError(
                    f"QEMU did not answer on its monitor within {self._start_bound:g} s",
                    stderr=self.stderr_text(),
                    hint="does a chardev with wait=on wait for a client, or /dev/kvm hang?",
                )
            # A closed monitor and the end of the process come in either order.
            await asyncio.wait({self._exited}, timeout=_QUIT_BOUND)
            text = self.stderr_text()
            status = self._exited.result() if self._exited.done() else None
            raise QemuStartError(
                f"QEMU ended at once{_status_text(status)}: {text.strip() or 'it said nothing'}",
                stderr=text,
                returncode=status,
                hint=hint_for(text),
            )
        finally:
            if not connecting.done():
                connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    # -------------------------------------------------------------- watch

    def _on_output(self) -> None:
        """Take what QEMU wrote; at its end stop looking."""
        try:
            data = os.read(self._stream.fileno(), 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._output.add(data)
        else:
            asyncio.get_running_loop().remove_reader(self._stream.fileno())

    def _on_exit(self) -> None:
        assert self._process is not None
        status = self._process.poll()
        if status is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        # A program that QEMU started may hold the pipe open: take what is there, do not wait.
        with contextlib.suppress(OSError):
            while data := os.read(self._stream.fileno(), 65536):
                self._output.add(data)
        self.returncode = status
        self._exited.set_result(status)
        words = self.stderr_text().strip()
        self._set_lost(f"QEMU ended{_status_text(status)}{': ' + words if words else ''}")

    def _on_event(self, event: Event) -> None:
        name = event["event"]
        data = event.get("data") or {}
        if name == "SHUTDOWN":
            self._set_lost(f"the VM shut down ({data.get('reason', 'no reason given')})")
        elif name == "GUEST_PANICKED":
            self._set_lost(f"the guest's kernel panicked (action: {data.get('action', '?')})")
        elif name == "RESET" and self._reset_is_loss:
            self._set_lost(f"the VM was reset ({data.get('reason', 'no reason given')})")

    def _set_lost(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(
                LostVMError(reason, hint="nothing was proven; look at the guest's console log")
            )

    # -------------------------------------------------------------- use

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    def stderr_text(self) -> str:
        """Return what QEMU wrote so far (stdout and stderr), bounded to 256 KiB."""
        return self._output.text()

    async def guarded(self, awaitable: Awaitable[T], timeout: float, what: str) -> T:
        """Wait for ``awaitable``, but not longer than the VM lives or ``timeout`` seconds.

        Args:
            awaitable: cancelled when it is given up.
            timeout: the bound in seconds.
            what: words for the error: what is being waited for.

        Raises:
            LostVMError: the VM ended first, or the bound was reached.
        """
        task = asyncio.ensure_future(awaitable)
        try:
            either: set[asyncio.Future[Any]] = {task, self.lost}
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                error = None if task.cancelled() else task.exception()
                if isinstance(error, LostVMError | OSError | EOFError):
                    # The end of a stream is often seen before the end of the VM behind it.
                    await asyncio.wait({self.lost}, timeout=0.5)
                    if self.lost.done():
                        raise self.lost.result() from error
                return task.result()
            if self.lost.done():
                raise self.lost.result()
            raise LostVMError(
                f"{what}: not within {timeout:g} s",
                hint="the guest hangs or is too slow; look at its console log",
            )
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def wait_closed(self) -> int:
        """Return QEMU's exit status once it has ended; no bound of its own (for ``run``)."""
        return await asyncio.shield(self._exited)

    # -------------------------------------------------------------- end

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Shielded, so that a cancelled task does not leave a QEMU behind.
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    async def _end(self) -> None:
        """End the process: quit, TERM, KILL, each with its bound; then free everything."""
        process = self._process
        if process is None:
            self.monitor.closed.cancel()
            return
        steps: tuple[tuple[Callable[[], Coroutine[Any, Any, None] | None], float], ...] = (
            (self._quit, _QUIT_BOUND),
            (process.terminate, _TERM_BOUND),
            (process.kill, _KILL_BOUND),
        )
        for ask, bound in steps:
            if self._exited.done():
                break
            answer = ask()
            if answer is not None:
                await answer
            await asyncio.wait({self._exited}, timeout=bound)
        await self.monitor.close()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        loop.remove_reader(self._stream.fileno())
        self._stream.close()
        self._process = None
        _reap(process)

    async def _quit(self) -> None:
        # QEMU may close the monitor before it answers.
        with contextlib.suppress(LostVMError, MonitorError):
            await self.monitor.execute("quit", within=_QUIT_BOUND)


def _status_text(status: int | None) -> str:
    if status is None:
        return ""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f" by {signal.Signals(-status).name}"
        return f" by signal {-status}"
    return f" (exit status {status})"


def run_interruptible(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as :func:`asyncio.run`, and let SIGTERM and SIGHUP end it cleanly.

    A first SIGINT, SIGTERM or SIGHUP cancels it, so that every ``async with``
    ends what it started.

    Raises:
        KeyboardInterrupt: after SIGINT.
        SystemExit: after SIGTERM (143) or SIGHUP (129).
    """
    got: list[int] = []

    async def guarded() -> T:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def end(number: int) -> None:
            got.append(number)
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
        return await main

    try:
        with asyncio.Runner() as runner:
            return runner.run(guarded())
    except asyncio.CancelledError:
        if got:
            raise SystemExit(128 + got[0]) from None
        raise
