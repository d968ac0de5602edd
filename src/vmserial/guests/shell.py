r"""A POSIX shell in a guest, driven over a byte stream.

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
import base64
import binascii
import contextlib
import hashlib
import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vmserial.errors import LostVMError, ShellError
from vmserial.guests.records import Splitter

T = TypeVar("T")

CONTROL_PORT = "vmserial.control"
"""The virtserialport on which our test guests have their shell."""

_NOISE_MAX = 4096

# A canonical tty takes 4095 bytes a line and loses the rest (N_TTY_BUF_SIZE).
_TTY_CHUNK = 6144
_RAW_BLOCK = 1 << 16

_NUDGE_FIRST = 0.25
_NUDGE_MAX = 2.0
_PAUSE = 0.2
_KNOCKS = (0.3, 0.6, 1.2, 3.0, 6.0)
"""Seconds to wait for the echo of each knock, which is 5 bytes."""

_SAY = "vs_say() { printf '\\036%s\\037' \"$*\"; }"
# busybox of Debian 11 has no base64; uudecode reads the same text with a header.
_UNPACK = (
    "vs_unpack() { if command -v base64 >/dev/null; then base64 -d; else "
    "{ echo 'begin-base64 600 x'; cat; echo ====; } | uudecode -o /proc/self/fd/1 | cat; fi; }"
)
_PACK = (
    "vs_pack() { if command -v base64 >/dev/null; then base64; else "
    "uuencode -m x | sed '1d;$d'; fi; }"
)


@dataclass
class _Command:
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


def quote(text: str) -> str:
    """Return ``text`` as one word of a POSIX shell.

    Raises:
        ShellError: it holds a NUL byte, which no word can.
    """
    if "\0" in text:
        raise ShellError("a word for the guest's shell holds a NUL byte", hint="remove it")
    return shlex.quote(text)


class Shell:
    """A shell over a stream.  One command runs at a time; events come at any time.

    Args:
        reader, writer: the stream, such as the host side of a socket chardev.
        name: for errors.

    Attributes:
        tty: the guest's side is a tty (known after :meth:`ready`).
        noise: the last bytes that belonged to no command, for a report.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, name: str = "guest"
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._name = name
        self._lock = asyncio.Lock()
        self._nonce = secrets.token_hex(4)
        self._count = 0
        self._command: _Command | None = None
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
            while data := await self._reader.read(_RAW_BLOCK):
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
        if self._lost is not None:
            raise self._lost
        self._waiting.add(future)
        try:
            async with asyncio.timeout(timeout):
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
                async with asyncio.timeout(timeout):
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
            knock = f"#{secrets.token_hex(1)}"
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
        self._nonce = secrets.token_hex(4)
        self._hello = asyncio.get_running_loop().create_future()
        wait = _NUDGE_FIRST
        while True:
            # The first newline ends whatever was half typed.
            self._send(
                f"\n{before}vs_h={self._nonce}; [ -t 0 ]; printf \\\\036R\\ $vs_h\\ $?\\\\037{to}\n"
            )
            with contextlib.suppress(TimeoutError):
                return await self.wait(self._hello, wait)
            # Given up for this wait only; a late answer counts too.
            self._hello = asyncio.get_running_loop().create_future()
            wait = min(wait * 2, _NUDGE_MAX)

    async def upgrade(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> Shell:
        """Start a second shell on the guest's port ``vmserial.control``, and return it.

        This one must not be used any more: its channel is free for testing.

        Args:
            reader: the host side of that port.
            writer: the same.
            timeout: seconds.

        Raises:
            ShellError: the guest has no such port; this shell goes on.
            LostVMError: no answer within ``timeout``.
        """
        find = (
            "[ -d /sys/class/virtio-ports ] || modprobe -q virtio_console 2>/dev/null; "
            "for vs_n in /sys/class/virtio-ports/*/name; do "
            '[ -r "$vs_n" ] && read -r vs_v <"$vs_n" || continue; '
            f'[ "$vs_v" = {CONTROL_PORT} ] || continue; '
            "vs_n=${vs_n%/name}; vs_n=/dev/${vs_n##*/}; "
            '[ -c "$vs_n" ] && echo "$vs_n" && break; done'
        )
        node = (await self.run(find, timeout)).strip()
        if not node.startswith("/dev/"):
            raise ShellError(
                f"the guest shows no port {CONTROL_PORT}",
                hint="it needs virtio_console; or test over its console",
            )
        other = Shell(reader, writer, name=self._name)
        async with self._lock:
            # One opener at a time: the node is opened once, both ways.
            self._send(f"exec sh <>{quote(node)} >&0 2>&1 3>&-\n")
            await other.ready(timeout)
        return other

    async def close(self) -> None:
        """Stop reading.  The stream itself stays with its owner."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
            self._pump = None
        self._fail("its shell was closed")

    # -------------------------------------------------------------- commands

    def _send(self, text: str) -> None:
        if self._writer.is_closing():
            self._fail("the stream to its shell is closed")
            return
        self._writer.write(text.encode())

    async def run(self, command: str, timeout: float = 30.0) -> str:
        """Run a command and return what it printed (stdout and stderr).

        It runs in the shell itself, so that functions and variables stay.

        Args:
            command: POSIX shell text; on a tty no line may be over 4000 bytes.
            timeout: seconds.

        Raises:
            ShellError: it ended with a status other than 0.
            LostVMError: it did not end within ``timeout``, or the stream ended.
        """
        return (await self._run(command, timeout)).decode("utf-8", "replace")

    async def post(self, command: str, timeout: float = 30.0) -> None:
        """Send a short command and do not wait for it; it tells its outcome by an event.

        On a tty it is waited for all the same: there, what is sent faster than
        the shell reads is lost.

        Raises:
            LostVMError: the stream ended.
        """
        if self.tty:
            await self._run(command, timeout)
            return
        async with self._lock:
            if self._lost is not None:
                raise self._lost
            self._send(f"{command}\n")

    async def _run(
        self, command: str, timeout: float, data: bytes | None = None, what: str = ""
    ) -> bytes:
        async with self._lock:
            if self._lost is not None:
                raise self._lost
            self._count += 1
            tag = f"{self._nonce}.{self._count}"
            running = _Command(tag, asyncio.get_running_loop().create_future())
            self._command = running
            # `command eval` keeps the shell alive when the text is not even a command.
            act = f"command eval {quote(command)}"
            if data is None:
                act = f"{{ {act}; }} </dev/null 2>&1"
            else:
                # If it stops reading early, nobody may take the rest for commands.
                act = (
                    f"{{ vs_say D {tag}; {act}; }} 2>&1 || "
                    f"{{ vs_say E {tag} $?; exec cat >/dev/null; }}"
                )
            self._send(f"vs_say B {tag}; {act}; vs_say E {tag} $?\n")
            try:
                async with asyncio.timeout(timeout):
                    if data is not None:
                        await running.fed.wait()
                        await self._feed(running, data)
                    status = await self.wait(running.done, timeout)
            except TimeoutError:
                self._fail(f"{what or command[:60]!r} did not end within {timeout:g} s")
                assert self._lost is not None
                raise self._lost from None
            except asyncio.CancelledError:
                if data is not None and (running.done.cancelled() or not running.done.done()):
                    # head waits for the rest and would take the next command for it.
                    self._fail("a file that was being written was given up half way")
                raise
            finally:
                self._command = None
            output = bytes(running.output)
            if data is not None and status:
                self._fail("it stopped reading a file that was being written")
        if self.tty:
            output = output.replace(b"\r\n", b"\n")
        if status:
            words = output.decode("utf-8", "replace").strip()
            raise ShellError(
                f"{what or command[:60]!r} ended with status {status} in the guest"
                + (f": {words[-500:]}" if words else ""),
                hint="the guest needs a POSIX shell with busybox or coreutils, as root",
            )
        return output

    async def _feed(self, running: _Command, data: bytes) -> None:
        for at in range(0, len(data), _RAW_BLOCK):
            if running.done.done():
                return
            self._writer.write(data[at : at + _RAW_BLOCK])
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    # -------------------------------------------------------------- files

    async def put(self, path: str, data: bytes, timeout: float = 60.0) -> None:
        """Write a file in the guest; its size and SHA-256 are checked there.

        Args:
            path: absolute; its directory must exist.
            data: the whole content.
            timeout: seconds for all of it.

        Raises:
            ShellError: it cannot be written, or arrived wrong.  If writing fails half
                way (a full disk), the shell is lost from then on.
            LostVMError: not done within ``timeout``.
        """
        what = f"write {path}"
        where = quote(path)
        left = Countdown(timeout)
        # Before any data comes: whether it can be written at all.
        await self._run(f": >{where}", left(), what=what)
        if self.tty:
            for at in range(0, len(data), _TTY_CHUNK):
                text = base64.encodebytes(data[at : at + _TTY_CHUNK]).decode()
                await self._run(
                    f"{_UNPACK}; vs_unpack >>{where} <<'VS_END'\n{text}VS_END\n",
                    left(),
                    what=what,
                )
        elif data:
            # The shell reads ahead: data may come only after it has started head.
            await self._run(f"head -c {len(data)} >{where}", left(), data, what)
        there = await self._run(f"sha256sum <{where}", left(), what=what)
        if there.split()[:1] != [hashlib.sha256(data).hexdigest().encode()]:
            raise ShellError(
                f"{path} arrived in the guest with other content than was sent",
                hint="the control channel is not clean; see what else writes to it",
            )

    async def get(self, path: str, timeout: float = 60.0, *, start: int = 0) -> bytes:
        """Return a file of the guest, from byte ``start`` on.

        As base64 on every kind of channel, so that events may come in between.

        Raises:
            ShellError: it cannot be read.
            LostVMError: not done within ``timeout``.
        """
        where = quote(path)
        source = f"tail -c +{start + 1} <{where}" if start else f"cat <{where}"
        text = await self._run(
            f"{_PACK}; [ -r {where} ] && {source} | vs_pack", timeout, what=f"read {path}"
        )
        try:
            return base64.b64decode(b"".join(text.split()), validate=True)
        except binascii.Error:
            raise ShellError(
                f"{path} came out of the guest garbled",
                hint="the control channel is not clean; see what else writes to it",
            ) from None
