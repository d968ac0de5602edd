"""Non-blocking reads and writes of descriptors as coroutines, for sockets and ptys alike."""

from __future__ import annotations

import asyncio
import os
import pty
import termios


async def ready(fd: int, write: bool = False) -> None:
    """Wait until ``fd`` can be read (or written) without blocking."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    add(fd, _set, future)
    try:
        await future
    finally:
        remove(fd)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def read(fd: int, size: int = 65536) -> bytes:
    """Return the next bytes; empty at the end of file or when the other side hung up."""
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            await ready(fd)
        except OSError:
            return b""


async def write(fd: int, data: bytes) -> bool:
    """Write all of ``data``; False if the other side has gone."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            await ready(fd, write=True)
        except OSError:
            return False
    return True


class Pty:
    """A raw pseudo-terminal; the slave stays open, so that nobody's close hangs it up."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        os.set_blocking(self.master, False)
        mode = termios.tcgetattr(self.slave)
        mode[0] = mode[1] = mode[3] = 0
        mode[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)
        self.path = os.ttyname(self.slave)

    def close(self) -> None:
        """Hang the terminal up: whoever has it open reads the end of file."""
        os.close(self.slave)
        os.close(self.master)
