r"""The stream to a POSIX shell in a guest: how it is greeted, and what comes back.

The stream is a virtserialport (eight bits, no echo) or a tty with echo, CR LF,
a prompt and kernel messages in between.  What we want to hear comes in
*records*: ``\x1e`` text ``\x1f``.  The commands that we send spell these two
bytes ``\036`` and ``\037``, so an echoed command never looks like an answer,
and a record is found wherever it stands, also inside other output: background
jobs may report at any time.

::

    B TAG            a command's output begins
    D TAG            the guest waits for the data of this command
    E TAG STATUS     it ended
    R NONCE STATUS   the answer to the handshake; 0 if the shell's stdin is a tty
    anything else    an event, handed to the subscribers
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vmserial.errors import LostVMError
from vmserial.guests.patience import patient
from vmserial.guests.records import Splitter

T = TypeVar("T")

_NOISE_MAX = 4096

RAW_BLOCK = 1 << 16
"""Bytes that are read or written at once."""

_NUDGE_FIRST = 0.25
_NUDGE_MAX = 2.0
_PAUSE = 0.2
_KNOCKS = (0.3, 0.6, 1.2, 3.0, 6.0)
"""Seconds to wait for the echo of each knock, which is 5 bytes."""

_SAY = "vs_say() { printf '\\036%s\\037' \"$*\"; }"


@dataclass
class Running:
    """The command that is running in the guest."""

    tag: str
    done: asyncio.Future[int]
    fed: asyncio.Event = field(default_factory=asyncio.Event)
    begun: bool = False
    output: bytearray = field(default_factory=bytearray)


class Countdown:
    """Seconds that are left of one bound that several steps share."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def __call__(self) -> float:
        """Return them; never 0, which would not even begin."""
        return max(self._end - time.monotonic(), 0.001)


class Channel:
    """A stream to a guest's shell: its greeting, and the records that come in.

    Args:
        reader, writer: the stream, such as the host side of a socket chardev.
        name: for errors.
        starved: see below.

    Attributes:
        starved: for how many seconds the guest had no processor until now; what it is waited
            for is put off by as much (:mod:`vmserial.guests.patience`).
        tty: the guest's side is a tty (known after :meth:`ready`).
        noise: the last bytes that belonged to no command, for a report.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, name: str = "guest",
        starved: Callable[[], float] | None = None,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._writer = writer
        self._name = name
        self.starved = starved
        self._lock = asyncio.Lock()
        self._nonce = os.urandom(4).hex()
        self._count = 0
        self._command: Running | None = None
        self._hello: asyncio.Future[bool] | None = None
        self._heard = asyncio.Event()
        self._subscribers: list[Callable[[str], None]] = []
        self._pump: asyncio.Task[None] | None = None
        self._lost: LostVMError | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self.tty = False
        self.noise = bytearray()

    # -------------------------------------------------------------- reading

    async def _read(self) -> None:
        splitter = Splitter()
        reason = "the stream to its shell ended"
        try:
            while data := await self._reader.read(RAW_BLOCK):
                self._heard.set()
                for part in splitter.feed(data):
                    if isinstance(part, str):
                        self._record(part)
                    elif self._command is not None and self._command.begun:
                        self._command.output += part
                    else:
                        self.noise = (self.noise + part)[-_NOISE_MAX:]
        except OSError as error:
            reason = f"the stream to its shell broke: {error}"
        self._fail(reason)

    def _record(self, text: str) -> None:
        kind, _, rest = text.partition(" ")
        command = self._command
        if kind == "R":
            nonce, _, status = rest.partition(" ")
            if nonce == self._nonce and self._hello is not None and not self._hello.done():
                self._hello.set_result(status == "0")
        elif kind in ("B", "D", "E"):
            tag, _, status = rest.partition(" ")
            if command is None or command.tag != tag:
                return
            if kind == "B":
                command.begun = True
            elif kind == "D":
                command.fed.set()
            elif not command.done.done():
                command.done.set_result(int(status) if status.isdecimal() else 255)
        else:
            for subscriber in tuple(self._subscribers):
                subscriber(text)

    def _fail(self, reason: str) -> None:
        self._lost = self._lost or LostVMError(
            f"the {self._name} is lost: {reason}",
            hint="see the console's output and QEMU's own words",
        )
        self._heard.set()
        if self._command is not None:
            self._command.fed.set()
        for future in self._waiting:
            if not future.done():
                future.set_exception(self._lost)

    @property
    def lost(self) -> bool:
        """The shell can no longer be used: its guest is gone, hangs, or it was closed."""
        return self._lost is not None

    async def wait(self, future: asyncio.Future[T], timeout: float) -> T:
        """Wait for a future that an event will fill.

        Raises:
            TimeoutError: it was not filled within ``timeout`` seconds.
            LostVMError: the shell is lost, now or meanwhile.
        """
        async with self.patient(timeout):
            return await self.come(future)

    def patient(self, timeout: float) -> AbstractAsyncContextManager[None]:
        """Return :func:`~vmserial.guests.patience.patient` for this shell's guest."""
        return patient(timeout, self.starved)

    async def come(self, future: asyncio.Future[T]) -> T:
        """Wait for a future that an event will fill, for as long as the shell is not lost.

        Raises:
            LostVMError: it is, now or meanwhile.
        """
        if self._lost is not None:
            raise self._lost
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)

    def subscribe(self, subscriber: Callable[[str], None]) -> Callable[[], None]:
        """Call ``subscriber`` with each event's text; return the function that ends it."""
        self._subscribers.append(subscriber)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._subscribers.remove(subscriber)

        return end

    # -------------------------------------------------------------- start and end

    async def ready(self, timeout: float, *, listen: float = 0.0) -> None:
        """Wait until the shell answers, and make it quiet.

        Lines that ask for an answer are sent again and again, because a tty
        that nobody has opened yet drops what comes in.  On a tty the shell is
        replaced by one that has no prompt, no line editing and no echo.

        Args:
            timeout: seconds.
            listen: for a console, wait so many seconds for its first word, then for
                a pause, and then knock, before more is sent.  QEMU's pl011 stays deaf for
                ever if more waits in it when the guest's driver starts than that throws
                away, which is 32 bytes (its interrupt comes when a count is reached, not
                while it is exceeded; pl011_startup() in Linux).

        Raises:
            LostVMError: no answer within ``timeout``, or the stream ended.
        """
        async with self._lock:
            if self._pump is None:
                self._pump = asyncio.create_task(self._read(), name=f"{self._name} shell")
            try:
                async with self.patient(timeout):
                    await self._listen(listen)
                    self.tty = await self._greet()
                    if self.tty:
                        # A shell is interactive if stdin and stdout (or stderr) are ttys when
                        # it starts.  Sent again, the line finds fd 3 and does nothing.
                        await self._greet(
                            "stty -echo -onlcr 2>/dev/null; "
                            "[ -t 3 ] || exec sh 3>&1 >/dev/null 2>&1\n",
                            " >&3",
                        )
                        self._send("exec >&3 2>&3\n")
                    self._send(f"PS1= PS2=; {_SAY}\n")
            except TimeoutError:
                self._fail(f"no shell answered within {timeout:g} s")
        if self._lost is not None:
            raise self._lost

    async def _listen(self, seconds: float) -> None:
        """Wait for the first output and the pause after it; then knock until it echoes.

        On a busy host a booting guest pauses, too.  A knock is a comment for the shell,
        and all knocks together are too few bytes to make a pl011 deaf.
        """
        if not (seconds and await self._hears(seconds)):
            return
        while await self._hears(_PAUSE):
            pass
        for wait in _KNOCKS:
            knock = f"#{os.urandom(1).hex()}"
            self._send(f"\n{knock}\n")
            end = Countdown(wait)
            while knock.encode() not in self.noise and self._lost is None:
                if not await self._hears(end()):
                    break
            else:
                return

    async def _hears(self, seconds: float) -> bool:
        """Wait for any output; tell whether it came in time."""
        self._heard.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        return self._heard.is_set() and self._lost is None

    async def _greet(self, before: str = "", to: str = "") -> bool:
        """Ask until an answer comes; tell whether the shell's stdin is a tty.

        The start of what is sent may be lost.  So the question has no quotes: its
        rest would open one, and the shell would wait for its end for ever.  And
        it begins with the nonce, without which no answer counts.
        """
        self._nonce = os.urandom(4).hex()
        self._hello = asyncio.get_running_loop().create_future()
        wait = _NUDGE_FIRST
        while True:
            # The first newline ends whatever was half typed.
            self._send(
                f"\n{before}vs_h={self._nonce}; [ -t 0 ]; printf \\\\036R\\ $vs_h\\ $?\\\\037{to}\n"
            )
            with contextlib.suppress(TimeoutError):
                # It is time to ask again, however slow the guest is.
                async with asyncio.timeout(wait):
                    return await self.come(self._hello)
            # Given up for this wait only; a late answer counts too.
            self._hello = asyncio.get_running_loop().create_future()
            wait = min(wait * 2, _NUDGE_MAX)

    async def close(self) -> None:
        """Stop reading.  The stream itself stays with its owner."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
            self._pump = None
        self._fail("its shell was closed")

    def _send(self, text: str) -> None:
        if self._writer.is_closing():
            self._fail("the stream to its shell is closed")
            return
        self._writer.write(text.encode())
