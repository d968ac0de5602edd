"""A guest whose shell is on serial0, which is itself a port under test.

If the guest has ``virtio_console`` the shell moves to the control port and
serial0 becomes a port like any other.  If not, serial0 stays the control
channel; its bytes are then tested once, in band, before it is used for others.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from vmserial.errors import LostVMError, QemuError
from vmserial.guests.shell import Shell
from vmserial.model import Pty, TcpSocket, UnixSocket
from vmserial.verify.request import Limits
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.wire.endpoints import make_raw
from vmserial.verify.wire.frames import Analysis, analyse
from vmserial.verify.wire.transfer import Line, Outcome, Transfer

_BUFFER = 1 << 20

_DIRECTORY = "for vs_d in /tmp /dev/shm /run; do [ -w $vs_d ] && echo $vs_d && break; done"


@dataclass
class Console:
    """The host's end of serial0 while the guest's shell is on it."""

    line: Line
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        """Let go of it."""
        self.writer.close()

    def shell(self, starved: Callable[[], float] | None = None) -> Shell:
        """Return a shell on it.

        Args:
            starved: for how many seconds the guest had no processor until now.
        """
        return Shell(self.reader, self.writer, name="guest's console", starved=starved)


async def connect(line: Line, places: dict[str, str]) -> Console:
    """Open the host's end of serial0 as a stream.

    Args:
        line: serial0.
        places: where QEMU says that its chardevs are.

    Raises:
        QemuError: there is nothing that can be opened.
    """
    backend, place = line.assignment.port.chardev.backend, places[line.name]
    try:
        if isinstance(backend, UnixSocket):
            streams = await asyncio.open_unix_connection(backend.path, limit=_BUFFER)
        elif isinstance(backend, TcpSocket):
            host, port = tcp_place(place)
            streams = await asyncio.open_connection(host, port, limit=_BUFFER)
        elif isinstance(backend, Pty):
            streams = await _tty(place.removeprefix("pty:"))
        else:
            raise QemuError(
                f"{line.name} has no backend that a test can reach",
                hint="this is a fault of vmserial",
            )
    except OSError as error:
        raise QemuError(
            f"cannot open {line.name}: {error.strerror or error}", hint="is the VM running?"
        ) from None
    return Console(line, *streams)


def tcp_place(place: str) -> tuple[str, int]:
    """Read ``tcp:127.0.0.1:40123,server=on`` as query-chardev writes it."""
    host, _, port = place.partition(":")[2].partition(",")[0].rpartition(":")
    return host.strip("[]"), int(port)


async def _tty(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    make_raw(fd)
    # Each transport owns a descriptor of its own.
    source, sink = os.fdopen(fd, "rb", 0), os.fdopen(os.dup(fd), "wb", 0)
    reader = asyncio.StreamReader(limit=_BUFFER)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sink)
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


# ------------------------------------------------------------------ in band


async def exchange(
    console: Console, shell: Shell, transfer: Transfer, limits: Limits
) -> tuple[Shell, list[Outcome]]:
    """Pass a transfer through the console itself; return the shell after it, and what came.

    The shell's own reader is stopped meanwhile: the bytes are not its records.

    Raises:
        LostVMError: the guest does not come back to its shell.
        ShellError: it has no place for files.
    """
    folder = (await shell.run(_DIRECTORY, limits.command)).strip()
    out, into = f"{folder}/vs.out", f"{folder}/vs.in"
    await shell.put(out, transfer.out.sent, limits.command)
    await shell.close()
    nonce = os.urandom(8).hex()
    size = len(transfer.into.data)
    begun, sent, done = (f"\x1e{word}{nonce}\x1f".encode() for word in "STU")
    console.writer.write(
        f"stty raw -echo; printf '\\036S{nonce}\\037'; cat {out}; printf '\\036T{nonce}\\037'; "
        f"head -c {size} >{into}; stty sane -echo; printf '\\036U{nonce}\\037'\n".encode()
    )
    bound = limits.bytes(len(transfer.out.sent) + size)
    wire = _Wire(console.reader)
    await wire.until(begun, bound)
    carried, whole = await wire.until(sent, bound)
    if not whole:
        raise LostVMError(
            f"{console.line.name} did not carry what its own shell sent within {bound:g} s",
            hint="the guest hangs, or its console is not raw",
        )
    console.writer.write(transfer.into.sent)
    if not (await wire.until(done, bound))[1]:
        # Some of it was lost, and head waits for the rest: anything ends it.
        console.writer.write(b"\0" * size)
        await wire.until(done, bound)
    after = console.shell(shell.starved)
    await after.ready(limits.boot)
    received = await after.get(into, limits.command)
    await after.run(f"rm -f {out} {into}", limits.command)
    known = [transfer.out, transfer.into]
    return after, [
        _outcome(transfer, GUEST_TO_HOST, analyse(transfer.out, carried, known)),
        _outcome(transfer, HOST_TO_GUEST, analyse(transfer.into, received, known)),
    ]


class _Wire:
    """Reads up to a marker; what came after it is kept for the next."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._kept = b""

    async def until(self, marker: bytes, timeout: float) -> tuple[bytes, bool]:
        """Return what came before ``marker``, and whether it came within ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while marker not in self._kept:
                    data = await self._reader.read(_BUFFER)
                    if not data:
                        break
                    self._kept += data
        except TimeoutError:
            pass
        before, found, self._kept = self._kept.partition(marker)
        return before, bool(found)


def _outcome(transfer: Transfer, direction: Direction, found: Analysis) -> Outcome:
    faults = found.faults
    if not found.ok and not faults:
        faults = (Fault(FaultKind.GARBAGE, found.detail),)
    return Outcome(
        line=transfer.line,
        direction=direction,
        verdict=Verdict.PASS if found.ok else Verdict.FAIL,
        bytes=len(transfer.stream(direction).data),
        seconds=0.0,
        detail="" if found.ok else found.detail,
        faults=faults,
    )
