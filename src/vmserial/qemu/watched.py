"""A process that an event loop watches: what it writes is kept, its end is seen at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import weakref
from collections.abc import Callable
from typing import IO

from vmserial.qemu.child import BoundedText, reap


class WatchedProcess:
    """A child process; made within the event loop that watches it.

    Its end is seen through a pidfd, not by polling.  It is killed when this
    object is forgotten.

    Args:
        process: just started.
        stream: the pipe that it writes to.
        ended: called once with its exit status; negative for a signal.

    Attributes:
        exited: set to the exit status.
        closed: it is no longer watched.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stream: IO[bytes],
        ended: Callable[[int], None],
    ) -> None:
        self.process = process
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._ended = ended
        self._output = BoundedText()
        self._pidfd = -1
        self.closed = False
        weakref.finalize(self, reap, process)

    def watch(self) -> None:
        """Begin to take what it writes, and to wait for its end."""
        loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(self.process.pid)
        loop.add_reader(self._pidfd, self._on_exit)
        os.set_blocking(self._stream.fileno(), False)
        loop.add_reader(self._stream.fileno(), self._on_output)

    def _on_output(self) -> None:
        """Take what it wrote; at its end stop looking."""
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
        status = self.process.poll()
        if status is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        # A program that it started may hold the pipe open: take what is there, do not wait.
        with contextlib.suppress(OSError):
            while data := os.read(self._stream.fileno(), 65536):
                self._output.add(data)
        self.exited.set_result(status)
        self._ended(status)

    def text(self) -> str:
        """Return what it wrote so far, within bounds."""
        return self._output.text()

    def close(self) -> None:
        """Stop watching, kill it if it still runs, and free everything; ``text`` stays."""
        loop = asyncio.get_running_loop()
        if self._pidfd >= 0:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        loop.remove_reader(self._stream.fileno())
        self._stream.close()
        self.closed = True
        reap(self.process)
