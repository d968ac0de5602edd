"""One QEMU process: started, watched, and ended whatever happens.

QMP goes over a socketpair whose one end QEMU inherits, so nothing of it is on
disk and nobody else can connect.  The process gets its own process group (a
Ctrl-C is ours to handle) and PR_SET_PDEATHSIG=SIGKILL (it dies with us even
when we are killed).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import termios
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from vmserial.errors import LostVMError, MonitorError, QemuStartError, UsageError
from vmserial.options import Option, render
from vmserial.paths import RunDirectory
from vmserial.qemu.child import start_process, status_text
from vmserial.qemu.hints import hint_for
from vmserial.qemu.monitor import Event, Monitor
from vmserial.qemu.watched import WatchedProcess

T = TypeVar("T")

START_BOUND = 30.0
"""Seconds from exec to an answering QMP; a big emulated VM takes well below one."""

_KILLED = frozenset(
    {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGQUIT}
)
"""Exit statuses of a process that somebody else ended; a crash of its own is none of these."""

_QUIT_BOUND = 3.0
_TERM_BOUND = 2.0
_KILL_BOUND = 10.0

_LAST_EVENTS_BOUND = 1.0
"""Seconds after its end within which the events are read that QEMU sent before."""

MONITOR_ID = "vmserial-qmp"
"""The chardev id of our own monitor."""


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
        self._child: WatchedProcess | None = None
        self._terminal: _Terminal | None = None
        self.monitor: Monitor
        self.lost: asyncio.Future[LostVMError]
        self.returncode: int | None = None

    # -------------------------------------------------------------- start

    async def __aenter__(self) -> VirtualMachine:
        if "daemonize" in {word.lstrip("-") for word in self.argv if word.startswith("-")}:
            raise UsageError(
                "a QEMU that daemonizes itself cannot be supervised",
                hint="remove -daemonize",
                where="-daemonize",
            )
        self._terminal = _Terminal() if self._foreground else None
        self.lost = asyncio.get_running_loop().create_future()
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
        process = start_process(
            [*self.argv, *render(_own_options(monitor_fd, self._paused))],
            pass_fds=(*self._pass_fds, monitor_fd),
            stdin=None if self._foreground else subprocess.DEVNULL,
            stdout=None if self._foreground else subprocess.PIPE,
            stderr=subprocess.PIPE if self._foreground else subprocess.STDOUT,
            own_group=not self._foreground,
        )
        stream = process.stderr if self._foreground else process.stdout
        assert stream is not None
        self._child = WatchedProcess(process, stream, self._on_exit)
        self._child.watch()

    async def _wait_for_monitor(self, ours: socket.socket) -> None:
        assert self._child is not None
        exited = self._child.exited
        connecting = asyncio.ensure_future(self.monitor.connect(ours))
        try:
            either: set[asyncio.Future[Any]] = {connecting, exited}
            await asyncio.wait(
                either,
                timeout=self._start_bound,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done() and connecting.exception() is None:
                return
            if not connecting.done() and not exited.done():
                raise QemuStartError(
                    f"QEMU did not answer on its monitor within {self._start_bound:g} s",
                    stderr=self.stderr_text(),
                    hint="does a chardev with wait=on wait for a client, or /dev/kvm hang?",
                )
            # A closed monitor and the end of the process come in either order.
            await asyncio.wait({exited}, timeout=_QUIT_BOUND)
            text = self.stderr_text()
            if not exited.done():
                raise QemuStartError(
                    "it runs but does not speak QMP", stderr=text, hint="is it a QEMU binary?"
                )
            raise _ended_at_once(exited.result(), text)
        finally:
            if not connecting.done():
                connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    # -------------------------------------------------------------- watch

    def _on_exit(self, status: int) -> None:
        self.returncode = status
        if not self.monitor.connected:
            self._set_ended()
            return
        # Why it ended may be in its last events, which are still to be read.
        self.monitor.closed.add_done_callback(lambda _: self._set_ended())
        asyncio.get_running_loop().call_later(_LAST_EVENTS_BOUND, self._set_ended)

    def _set_ended(self) -> None:
        words = self.stderr_text().strip()
        self._set_lost(f"QEMU ended{status_text(self.returncode)}{': ' + words if words else ''}")

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
        assert self._child is not None, "not started"
        assert not self._child.closed, "ended"
        return self._child.process.pid

    def stderr_text(self) -> str:
        """Return what QEMU wrote so far (stdout and stderr), bounded to 256 KiB."""
        return self._child.text() if self._child is not None else ""

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
                    await asyncio.wait({self.lost}, timeout=2 * _LAST_EVENTS_BOUND)
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
            task.cancel()
            # Also of one that has just failed by itself: an error that nobody takes is printed.
            await asyncio.gather(task, return_exceptions=True)

    async def wait_closed(self) -> int:
        """Return QEMU's exit status once it has ended; no bound of its own (for ``run``)."""
        assert self._child is not None, "not started"
        return await asyncio.shield(self._child.exited)

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
        child = self._child
        if child is None or child.closed:
            return
        loop = asyncio.get_running_loop()
        steps: list[tuple[Callable[[], Coroutine[Any, Any, None] | None], float]] = [
            (child.process.terminate, _TERM_BOUND),
            (child.process.kill, _KILL_BOUND),
        ]
        if self.monitor.connected:
            steps.insert(0, (self._quit, _QUIT_BOUND))
        for ask, bound in steps:
            if child.exited.done():
                break
            deadline = loop.time() + bound
            answer = ask()
            if answer is not None:
                await answer
            await asyncio.wait({child.exited}, timeout=max(0.0, deadline - loop.time()))
        await self.monitor.close()
        if child.exited.done():
            self._set_ended()
        child.close()
        if self._terminal is not None:
            self._terminal.put_back()

    async def _quit(self) -> None:
        # QEMU may close the monitor before it answers.
        with contextlib.suppress(LostVMError, MonitorError):
            await self.monitor.execute("quit", within=_QUIT_BOUND)


class _Terminal:
    """Our terminal as it was; a stdio chardev makes it raw, and a killed QEMU leaves it so."""

    def __init__(self) -> None:
        self._was: list[Any] | None = None
        with contextlib.suppress(termios.error):
            self._was = termios.tcgetattr(0)

    def put_back(self) -> None:
        """Make it what it was."""
        if self._was is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._was)


def _own_options(monitor_fd: int, paused: bool) -> list[Option]:
    """Return what every QEMU of ours is given: its QMP, and whether it begins paused."""
    own = [
        Option("-chardev", "socket", (("id", MONITOR_ID), ("fd", monitor_fd)), role="monitor"),
        # Not -mon, which 11.1 warns about; this form is in every version.
        Option("-qmp", raw=f"chardev:{MONITOR_ID}", role="monitor"),
    ]
    return [*own, Option("-S")] if paused else own


def _ended_at_once(status: int, text: str) -> QemuStartError | LostVMError:
    """Return the error of a QEMU that ended before it answered, with its own words."""
    if status in _KILLED:
        # Nothing was refused: what it would have said is not known.
        return LostVMError(
            f"QEMU was killed before it answered,{status_text(status)}",
            hint="who ended it? the kernel's log tells of a lack of memory",
        )
    return QemuStartError(
        f"QEMU ended at once{status_text(status)}: {text.strip() or 'it said nothing'}",
        stderr=text,
        returncode=status,
        hint=hint_for(text),
    )
