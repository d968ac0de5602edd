"""The host's end of a port: it sends, and it drains without ever pausing.

A pl011 and a usb-serial stop the whole guest when a connected client does not
read (facts of QEMU), so the reader is on from :meth:`Endpoint.open` to
:meth:`Endpoint.close` whatever else happens; past its limit it throws bytes
away, but it takes them.  Nothing polls: readers, writers and waiters are woken
by the event loop, so hundreds of idle ports cost nothing.

The other side's end is a state (:attr:`Endpoint.gone`), not an exception: the
ports of a VM that dies all at once end quietly, and each waiter is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from vmserial.errors import QemuError

CHUNK = 1 << 18
"""Bytes that one read may take."""

LIMIT = 1 << 24
"""Bytes that an endpoint keeps, unless told otherwise; what comes on top is only counted."""

PTY_NOTICED = 1.2
"""Seconds until QEMU has surely noticed that a pty was opened: it looks once a second."""

_QUEUE_FULL = 0.02
"""Seconds between two tries to connect to a unix socket whose queue is full."""

_GONE = {errno.EIO, errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ENXIO, errno.ESHUTDOWN}
"""What reads and writes say when the other side is not there any more; EIO is a pty's word."""


class Tap(Protocol):
    """Something that stands in one direction of an endpoint's path and may change the bytes."""

    def feed(self, data: bytes) -> bytes:
        """Return what goes on when ``data`` comes."""

    def end(self) -> bytes:
        """Return what is still to go on now that a transfer has ended, and begin anew."""


class Endpoint(ABC):
    """The host's end of one port.

    Attributes:
        name: the port, such as ``serial3``.
        gone: why there is no other side any more; empty while there is one.
        overflow: bytes that came past the limit and were thrown away.
        first_at: when the first byte since :meth:`clear` came, in seconds of the
            event loop's clock; None if none came.
        last_at: when the last one came.
        moved: bytes that passed the wire, in both directions together, ever.
        tap_in: changes what is received; None outside tests of the harness.
        tap_out: changes what is sent.
        hear: told all that :meth:`clear` forgets; None if nobody wants to know.
        inbox: the endpoint that keeps what comes in here; itself, unless a
            mutant crossed the wires.
        outlet: the endpoint through whose wire this one sends; itself as well.
    """

    def __init__(self, name: str, limit: int = LIMIT) -> None:
        self.name = name
        self.limit = limit
        self.gone = "not open"
        self.overflow = 0
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.moved = 0
        self.tap_in: Tap | None = None
        self.tap_out: Tap | None = None
        self.hear: Callable[[bytes], None] | None = None
        self.inbox: Endpoint = self
        self.outlet: Endpoint = self
        self._fd = -1
        self._kept = bytearray()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._sending = asyncio.Lock()
        self._writable: asyncio.Future[None] | None = None
        self._given_up = False

    @abstractmethod
    async def _connect(self) -> int:
        """Return a new non-blocking descriptor of the port, which is then ours to close."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people."""

    # -------------------------------------------------------------- open and close

    async def open(self, timeout: float) -> None:
        """Connect within ``timeout`` seconds and begin to drain.

        Raises:
            QemuError: nothing listens there, or not in time.
        """
        if self._fd >= 0:
            return
        try:
            async with asyncio.timeout(timeout):
                self._fd = await self._connect()
        except TimeoutError:
            raise self._refused(f"no connection within {timeout:g} s") from None
        except (OSError, termios.error, ValueError, OverflowError) as error:
            raise self._refused(_words(error)) from None
        self.gone = ""
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def _refused(self, why: str) -> QemuError:
        error = QemuError(
            f"cannot open {self.place}: {why}",
            hint="is the VM running, and is no other client connected to this port?",
        )
        error.where = self.name
        return error

    async def close(self) -> None:
        """Let go of the port; waiters and senders are told.  Calling it again does nothing."""
        self._lose("closed")

    def _lose(self, why: str) -> None:
        """Note that there is no other side any more."""
        if self._fd < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        os.close(self._fd)
        self._fd = -1
        self.gone = why
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._wake(lost=True)

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -------------------------------------------------------------- receive

    def _readable(self) -> None:
        try:
            size = os.readv(self._fd, [_scratch])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno not in _GONE:
                self._lose(f"read: {error.strerror}")
            else:
                self._lose("the other side is gone")
            return
        if not size:
            self._lose("the other side closed")
            return
        self.moved += size
        data = bytes(memoryview(_scratch)[:size])
        if self.tap_in is not None:
            data = self.tap_in.feed(data)
        self.inbox.keep(data)

    def keep(self, data: bytes) -> None:
        """Take bytes as received."""
        if not data:
            return
        self.last_at = asyncio.get_running_loop().time()
        if self.first_at is None:
            self.first_at = self.last_at
        room = max(0, self.limit - len(self._kept))
        self.overflow += max(0, len(data) - room)
        self._kept += data[:room] if len(data) > room else data
        self._wake()

    def _wake(self, lost: bool = False) -> None:
        left = []
        for waiter in self._waiters:
            target, future = waiter
            if future.done():
                continue
            if lost or len(self._kept) >= target:
                future.set_result(None)
            else:
                left.append(waiter)
        self._waiters = left

    @property
    def received(self) -> bytes:
        """What came since the last :meth:`clear`, up to the limit."""
        return bytes(self._kept)

    @property
    def count(self) -> int:
        """How many bytes came since the last :meth:`clear`, the thrown-away ones too."""
        return len(self._kept) + self.overflow

    def clear(self) -> bytes:
        """Forget what came so far, and return it: a new transfer begins."""
        kept = bytes(self._kept)
        self._kept.clear()
        self.overflow = 0
        self.first_at = self.last_at = None
        if self.hear is not None:
            self.hear(kept)
        if self.tap_in is not None:
            self.tap_in.end()
        return kept

    async def wait_bytes(self, count: int, timeout: float) -> bool:
        """Wait until ``count`` bytes came since :meth:`clear`; True if they did.

        Returns at once when they are there, when ``timeout`` seconds have
        passed, or when there is no other side any more.
        """
        target = min(count, self.limit)
        if len(self._kept) < target and self._fd >= 0:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((target, future))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await future
        return len(self._kept) >= target

    # -------------------------------------------------------------- send

    async def send(self, data: bytes, timeout: float) -> int:
        """Send ``data``; return how many of its bytes the other side's buffers took.

        Fewer than all means that the other side did not read for ``timeout``
        seconds in all, or is gone, or :meth:`give_up` was called; the rest is not
        sent any more.
        """
        if self.tap_out is None:
            return await self.outlet.put(data, timeout)
        changed = self.tap_out.feed(data) + self.tap_out.end()
        taken = await self.outlet.put(changed, timeout)
        return len(data) if taken == len(changed) else min(taken, len(data))

    async def put(self, data: bytes, timeout: float) -> int:
        """Write ``data`` to the wire; as :meth:`send`."""
        view = memoryview(data)
        done = 0
        try:
            async with asyncio.timeout(timeout), self._sending:
                self._given_up = False
                while done < len(view) and self._fd >= 0 and not self._given_up:
                    try:
                        taken = os.write(self._fd, view[done : done + CHUNK])
                        done += taken
                        self.moved += taken
                    except (BlockingIOError, InterruptedError):
                        await self._room()
                    except OSError as error:
                        gone = error.errno in _GONE
                        self._lose("the other side is gone" if gone else f"write: {error.strerror}")
        except TimeoutError:
            pass
        return done

    def give_up(self) -> None:
        """Have what is being sent now end as if its time were over."""
        wire = self.outlet
        wire._given_up = True
        if wire._writable is not None:
            _done(wire._writable)

    async def _room(self) -> None:
        """Wait until the wire takes bytes again, or is gone."""
        loop = asyncio.get_running_loop()
        fd = self._fd
        self._writable = loop.create_future()
        loop.add_writer(fd, _done, self._writable)
        try:
            await self._writable
        finally:
            self._writable = None
            if self._fd == fd:
                loop.remove_writer(fd)


_scratch = bytearray(CHUNK)
"""Where reads go first; the event loop runs one reader at a time."""


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _words(error: Exception) -> str:
    """Return what an error of the system says, without Python's additions."""
    number = error.args[0] if error.args else 0
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    return str(error.args[-1]) if error.args else type(error).__name__


class UnixEndpoint(Endpoint):
    """A unix socket that QEMU listens on; ``abstract`` names have no file."""

    def __init__(
        self, path: str, *, name: str = "", limit: int = LIMIT, abstract: bool = False
    ) -> None:
        super().__init__(name or path, limit)
        self.path = path
        self.abstract = abstract

    @property
    def place(self) -> str:
        """``unix socket PATH``."""
        return f"unix socket {'@' if self.abstract else ''}{self.path}"

    async def _connect(self) -> int:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            while True:
                try:
                    made.connect(f"\0{self.path}" if self.abstract else self.path)
                except BlockingIOError:
                    # The listener's queue is full.  Linux has no event for its getting room,
                    # and asyncio's sock_connect() takes this answer for a connection.
                    await asyncio.sleep(_QUEUE_FULL)
                else:
                    return made.detach()
        except BaseException:
            made.close()
            raise


class TcpEndpoint(Endpoint):
    """A TCP port that QEMU listens on."""

    def __init__(self, host: str, port: int, *, name: str = "", limit: int = LIMIT) -> None:
        super().__init__(name or f"{host}:{port}", limit)
        self.host = host
        self.port = port

    @property
    def place(self) -> str:
        """``tcp HOST:PORT``."""
        return f"tcp {self.host}:{self.port}"

    async def _connect(self) -> int:
        found = await asyncio.get_running_loop().getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM
        )
        for number, (family, _, _, _, address) in enumerate(found):
            try:
                return await _tcp(family, address)
            except OSError:
                # "localhost" is ::1 first where QEMU may listen on 127.0.0.1 alone.
                if number + 1 == len(found):
                    raise
        raise OSError(errno.EADDRNOTAVAIL, "no address")


async def _tcp(family: int, address: object) -> int:
    """Return the descriptor of a connected, non-blocking TCP socket."""
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(made, address)  # type: ignore[arg-type]
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made.detach()


class PtyEndpoint(Endpoint):
    """A pseudo-terminal that QEMU made, or any tty of the host.

    QEMU looks once a second whether somebody has a pty open: what is sent in the
    first second waits, and what the guest sent before is thrown away by QEMU.
    """

    def __init__(self, path: str, *, name: str = "", limit: int = LIMIT) -> None:
        super().__init__(name or path, limit)
        self.path = path

    @property
    def place(self) -> str:
        """``tty PATH``."""
        return f"tty {self.path}"

    async def _connect(self) -> int:
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(self.path, flags)
        try:
            if not stat.S_ISCHR(os.fstat(fd).st_mode):
                raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
            make_raw(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd


def make_raw(fd: int) -> None:
    """Make a tty pass all bytes both ways, unchanged and at once.

    Raises:
        termios.error: it is not a tty.
    """
    mode = termios.tcgetattr(fd)
    mode[0] = mode[1] = mode[3] = 0
    mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB | termios.CRTSCTS)) | (
        termios.CS8 | termios.CREAD | termios.CLOCAL
    )
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, mode)
