"""A shell of this machine as if it were a guest's: over a socket, or on a pty."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import shutil
import signal
import socket
import weakref
from collections.abc import AsyncIterator, Callable

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Filter = Callable[[bytes], bytes]

SHELLS = [
    words
    for words in (["sh"], ["dash"], ["bash", "--norc"], ["busybox", "sh"])
    if shutil.which(words[0]) is not None
]
"""Those of this machine; ``sh`` is always there."""


@contextlib.asynccontextmanager
async def over_socket(words: list[str]) -> AsyncIterator[Stream]:
    """Run a shell whose stdin and stdout are one end of a socket pair, and yield the other."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=theirs.fileno(),
            start_new_session=True,
        )  # fmt: skip
    stream = await asyncio.open_connection(sock=ours)
    try:
        yield stream
    finally:
        await _end(process, stream)


@contextlib.asynccontextmanager
async def on_pty(words: list[str]) -> AsyncIterator[Stream]:
    """Run an interactive shell on a pty of its own, and yield the side of the terminal."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        # A new session takes its first terminal as its controlling one.
        "setsid", "-c", *words, stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "dumb", "HISTFILE": "/dev/null"},
    )  # fmt: skip
    os.close(slave)
    stream = await fd_stream(master)
    try:
        yield stream
    finally:
        await _end(process, stream)


async def fd_stream(descriptor: int) -> Stream:
    """Return a descriptor as a stream; the stream owns it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    down, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(descriptor), "rb", 0)
    )
    up, flow = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(descriptor, "wb", 0)
    )
    writer = asyncio.StreamWriter(up, flow, reader, loop)
    _readers[writer] = down
    return reader, writer


_readers: weakref.WeakKeyDictionary[asyncio.StreamWriter, asyncio.ReadTransport]
_readers = weakref.WeakKeyDictionary()


def pause(stream: Stream) -> None:
    """Read nothing any more, so that what comes is held up on its way."""
    _readers[stream[1]].pause_reading()


async def close(stream: Stream) -> None:
    """Close both directions; what was not written yet is thrown away."""
    if stream[1] in _readers:
        _readers[stream[1]].close()
    stream[1].transport.abort()
    # The transports close in the loop's next rounds.
    for _ in range(3):
        await asyncio.sleep(0)


async def _end(process: asyncio.subprocess.Process, stream: Stream) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    await close(stream)


class Wire:
    """Between a shell and its driver: what goes through may be changed on its way."""

    def __init__(self, down: Filter = lambda data: data, up: Filter = lambda data: data) -> None:
        self._down, self._up = down, up
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def across(self, stream: Stream) -> AsyncIterator[Stream]:
        """Yield the driver's end."""
        near, far = socket.socketpair()
        ends = [await asyncio.open_connection(sock=near), await asyncio.open_connection(sock=far)]
        self._tasks = [
            asyncio.create_task(self._copy(ends[1][0], stream[1], self._down)),
            asyncio.create_task(self._copy(stream[0], ends[1][1], self._up)),
        ]
        try:
            yield ends[0]
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for _, writer in ends:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    @staticmethod
    async def _copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Filter
    ) -> None:
        while data := await reader.read(65536):
            writer.write(change(data))
            await writer.drain()
        writer.close()
