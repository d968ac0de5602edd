"""A POSIX shell in a guest: commands with their output and status, files in and out.

The stream and its records are :mod:`vmserial.guests.channel`'s.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import shlex

from vmserial.errors import ShellError
from vmserial.guests.channel import RAW_BLOCK, Channel, Countdown, Running

CONTROL_PORT = "vmserial.control"
"""The virtserialport on which our test guests have their shell."""

# A canonical tty takes 4095 bytes a line and loses the rest (N_TTY_BUF_SIZE).
_TTY_CHUNK = 6144
# busybox of Debian 11 has no base64; uudecode reads the same text with a header.
_UNPACK = (
    "vs_unpack() { if command -v base64 >/dev/null; then base64 -d; else "
    "{ echo 'begin-base64 600 x'; cat; echo ====; } | uudecode -o /proc/self/fd/1 | cat; fi; }"
)
_PACK = (
    "vs_pack() { if command -v base64 >/dev/null; then base64; else "
    "uuencode -m x | sed '1d;$d'; fi; }"
)
_LARGE = 1 << 15
"""Bytes from which on a second process is worth its time."""


def _taking(size: int) -> str:
    """Return the command that takes so many bytes of its input, and no more.

    The head of busybox takes them one by one: 64 MiB cost an emulated processor 12 s.
    """
    if size < _LARGE:
        return f"head -c {size}"
    return (
        "if dd if=/dev/null iflag=fullblock 2>/dev/null; "
        f"then dd bs={size} count=1 iflag=fullblock 2>/dev/null; else head -c {size}; fi"
    )


def quote(text: str) -> str:
    """Return ``text`` as one word of a POSIX shell.

    Raises:
        ShellError: it holds a NUL byte, which no word can.
    """
    if "\0" in text:
        raise ShellError("a word for the guest's shell holds a NUL byte", hint="remove it")
    return shlex.quote(text)


class Shell(Channel):
    """A shell over a stream.  One command runs at a time; events come at any time.

    Args and attributes are those of :class:`~vmserial.guests.channel.Channel`.
    """

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
            '[ -c "$vs_n" ] && [ -w "$vs_n" ] || vs_n="closed $vs_n"; echo "$vs_n"; break; done; :'
        )
        node = (await self.run(find, timeout)).strip()
        if not node.startswith("/dev/"):
            closed = node.removeprefix("closed ")
            raise ShellError(
                f"its user may not open {closed}, which is {CONTROL_PORT}" if closed
                else f"the guest shows no port {CONTROL_PORT}",
                hint="it needs virtio_console, and root; or test over its console",
            )  # fmt: skip
        other = Shell(reader, writer, name=self._name, starved=self.starved)
        async with self._lock:
            # One opener at a time: the node is opened once, both ways.
            self._send(f"exec sh <>{quote(node)} >&0 2>&1 3>&-\n")
            await other.ready(timeout)
        return other

    # -------------------------------------------------------------- commands

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
            running = Running(tag, asyncio.get_running_loop().create_future())
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
                async with self.patient(timeout):
                    if data is not None:
                        await running.fed.wait()
                        await self._feed(running, data)
                    status = await self.come(running.done)
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

    async def _feed(self, running: Running, data: bytes) -> None:
        for at in range(0, len(data), RAW_BLOCK):
            if running.done.done():
                return
            self._writer.write(data[at : at + RAW_BLOCK])
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    # -------------------------------------------------------------- files

    async def put(
        self, path: str, data: bytes, timeout: float = 60.0, *, checked: bool = True
    ) -> None:
        """Write a file in the guest; its size and SHA-256 are checked there.

        Args:
            path: absolute; its directory must exist.
            data: the whole content.
            timeout: seconds for all of it.
            checked: False where the caller does that, should it matter; on a tty, which loses
                what comes too fast, it is done all the same.

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
            # The shell reads ahead: data may come only after it has started to take it.
            await self._run(f"{_taking(len(data))} >{where}", left(), data, what)
        if not (checked or self.tty):
            return
        there = await self._run(f"sha256sum <{where}", left(), what=what)
        if there.split()[:1] != [hashlib.sha256(data).hexdigest().encode()]:
            raise ShellError(
                f"{path} arrived in the guest with other content than was sent",
                hint="the control channel is not clean; see what else writes to it",
            )

    async def get(
        self, path: str, timeout: float = 60.0, *, start: int = 0, most: int | None = None
    ) -> bytes:
        """Return a file of the guest, from byte ``start`` on and at most ``most`` bytes of it.

        Without ``most`` the end of a file that is still being written may never be reached.

        As base64 on every kind of channel, so that events may come in between.

        Raises:
            ShellError: it cannot be read.
            LostVMError: not done within ``timeout``.
        """
        where = quote(path)
        source = f"tail -c +{start + 1} <{where}" if start else f"cat <{where}"
        if most is not None:
            source = f"{source} | head -c {most}" if start else f"head -c {most} <{where}"
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
