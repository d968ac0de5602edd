"""The host side of the fake's ports: listening sockets and ptys."""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import termios
from pathlib import Path

from fake_qemu import streams


class Chardev:
    """The host side of one port: a listening socket or a pty, one client at a time."""

    def __init__(self, backend: str, params: dict[str, str]) -> None:
        self.backend = backend
        self.owner = ""
        self.pty: streams.Pty | None = None
        self.listener: socket.socket | None = None
        self.client: socket.socket | None = None
        self.connected = asyncio.Event()
        self._left = asyncio.Event()
        self._accept: asyncio.Task[None] | None = None
        if backend == "pty":
            self.pty = streams.Pty()
            self._filename = f"pty:{self.pty.path}"
        elif backend == "socket" and "path" in params:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(params["path"])
            self._filename = f"unix:{params['path']},server=on"
        elif backend == "socket":
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((params["host"], int(params["port"])))
            host, port = self.listener.getsockname()
            self._filename = f"tcp:{host}:{port},server=on"
        else:
            self._filename = backend
        if self.listener is not None:
            self.listener.listen(5)
            self.listener.setblocking(False)
            self._accept = asyncio.create_task(self._serve(self.listener))

    async def _serve(self, listener: socket.socket) -> None:
        while True:
            self.client, _ = await asyncio.get_running_loop().sock_accept(listener)
            self.client.setblocking(False)
            self.connected.set()
            # A second client waits until the first has left, as with QEMU.
            self._left.clear()
            await self._left.wait()

    @property
    def filename(self) -> str:
        """Where it is, as query-chardev says it."""
        waiting = self.listener is not None and not self.connected.is_set()
        return f"{'disconnected:' if waiting else ''}{self._filename}"

    def pending(self) -> bool:
        """Tell whether bytes from the host wait to be read."""
        if self.client is None or not self.connected.is_set():
            return False
        count = array.array("i", [0])
        fcntl.ioctl(self.client.fileno(), termios.FIONREAD, count)
        return count[0] > 0

    async def receive(self) -> bytes:
        """Return the next bytes from the host, waiting for a client where there is none."""
        if self.pty is not None:
            return await streams.read(self.pty.master)
        while True:
            await self.connected.wait()
            assert self.client is not None
            data = await streams.read(self.client.fileno())
            if data:
                return data
            self.client.close()
            self.connected.clear()
            self._left.set()

    async def send(self, data: bytes, wait: bool) -> None:
        """Give the host ``data``; without a client wait for one, or drop them."""
        if self.pty is not None:
            await streams.write(self.pty.master, data)
            return
        if wait:
            await self.connected.wait()
        if self.connected.is_set() and self.client is not None:
            await streams.write(self.client.fileno(), data)

    def close(self) -> None:
        """Let go of everything on the host."""
        if self._accept is not None:
            self._accept.cancel()
        if self.listener is not None:
            path = self.listener.getsockname()
            self.listener.close()
            if isinstance(path, str):
                Path(path).unlink(missing_ok=True)
        if self.client is not None:
            self.client.close()
        if self.pty is not None:
            self.pty.close()
