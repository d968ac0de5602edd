"""The host's end of a port, against sockets and ptys of our own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from vmserial.errors import QemuError
from vmserial.verify.wire.endpoints import (
    Endpoint,
    PtyEndpoint,
    TcpEndpoint,
    UnixEndpoint,
    make_raw,
)

DATA = random.Random(1).randbytes(300_000) + bytes(range(256))


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as made:
        yield made


class Far:
    """The other side: a connected socket or a pty's master, driven by the test."""

    def __init__(self, kind: str, tmp_path: Path) -> None:
        self.kind = kind
        self.listener: socket.socket | None = None
        self.fd = -1
        if kind == "pty":
            self.fd, self.slave = pty.openpty()
            make_raw(self.slave)
            self.endpoint: Endpoint = PtyEndpoint(os.ttyname(self.slave), name="serial3")
            return
        if kind == "tcp":
            self.listener = socket.create_server(("127.0.0.1", 0))
            port = self.listener.getsockname()[1]
            self.endpoint = TcpEndpoint("127.0.0.1", port, name="serial3")
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            path = str(tmp_path / "s")
            self.listener.bind(f"\0{path}" if kind == "abstract" else path)
            self.listener.listen()
            self.endpoint = UnixEndpoint(path, name="serial3", abstract=kind == "abstract")

    async def open(self) -> Endpoint:
        await self.endpoint.open(5)
        if self.listener is not None:
            made, _ = self.listener.accept()
            self.fd = made.detach()
        os.set_blocking(self.fd, False)
        return self.endpoint

    async def write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            try:
                got += os.read(self.fd, 65536)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        return got

    def hang_up(self) -> None:
        if self.kind == "pty":
            os.close(self.slave)
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        if self.fd >= 0:
            self.hang_up()
        if self.listener is not None:
            self.listener.close()


@pytest.fixture(params=["unix", "abstract", "tcp", "pty"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Far]:
    made = Far(request.param, tmp_path)
    yield made
    made.close()


def test_both_ways_whole(far: Far, runner: asyncio.Runner) -> None:
    async def main() -> None:
        async with await far.open() as endpoint:
            assert not endpoint.gone
            writing = asyncio.create_task(far.write(DATA))
            assert await endpoint.wait_bytes(len(DATA), 20)
            await writing
            assert endpoint.received == DATA
            assert endpoint.count == len(DATA)
            assert endpoint.first_at is not None
            assert endpoint.last_at is not None
            assert endpoint.first_at <= endpoint.last_at
            assert endpoint.clear() == DATA
            assert endpoint.received == b""
            reading = asyncio.create_task(far.read(len(DATA)))
            assert await endpoint.send(DATA, 20) == len(DATA)
            assert await reading == DATA

    runner.run(main())


def test_waiting_ends_early_or_in_time(far: Far, runner: asyncio.Runner) -> None:
    async def main() -> None:
        async with await far.open() as endpoint:
            begun = time.monotonic()
            assert not await endpoint.wait_bytes(5, 0.05)
            assert 0.04 < time.monotonic() - begun < 15
            begun = time.monotonic()
            three = asyncio.create_task(endpoint.wait_bytes(3, 30))
            five = asyncio.create_task(endpoint.wait_bytes(5, 30))
            await far.write(b"abc")
            assert await three
            assert not five.done()
            await far.write(b"de")
            assert await five
            assert await endpoint.wait_bytes(5, 0)
            assert not await endpoint.wait_bytes(6, 0)
            assert time.monotonic() - begun < 15

    runner.run(main())


def test_peer_goes_away(far: Far, runner: asyncio.Runner) -> None:
    async def main() -> None:
        endpoint = await far.open()
        await far.write(b"last")
        assert await endpoint.wait_bytes(4, 30)
        waiting = asyncio.create_task(endpoint.wait_bytes(100, 30))
        await asyncio.sleep(0.01)
        far.hang_up()
        assert not await asyncio.wait_for(waiting, 15)
        assert endpoint.gone.startswith("the other side")
        assert endpoint.received == b"last"
        assert await endpoint.send(b"x", 1) == 0
        await endpoint.close()
        await endpoint.close()
        assert endpoint.gone.startswith("the other side")

    runner.run(main())


def test_peer_goes_away_while_sending(far: Far, runner: asyncio.Runner) -> None:
    async def main() -> None:
        endpoint = await far.open()
        sending = asyncio.create_task(endpoint.send(bytes(50_000_000), 30))
        await asyncio.sleep(0.05)
        far.hang_up()
        assert await asyncio.wait_for(sending, 15) < 50_000_000

    runner.run(main())


def test_send_gives_up_and_forgets_the_rest(far: Far, runner: asyncio.Runner) -> None:
    async def main() -> None:
        async with await far.open() as endpoint:
            begun = time.monotonic()
            taken = await endpoint.send(bytes(50_000_000), 0.1)
            assert time.monotonic() - begun < 15
            assert taken < 50_000_000
            assert await far.read(taken) == bytes(taken)
            assert await endpoint.send(b"next", 30) == 4
            assert await far.read(4) == b"next"

    runner.run(main())


def test_drains_past_its_limit(far: Far, runner: asyncio.Runner) -> None:
    async def main() -> None:
        far.endpoint.limit = 1000
        async with await far.open() as endpoint:
            await asyncio.wait_for(far.write(DATA), 10)
            assert await endpoint.wait_bytes(2000, 30)
            while endpoint.count < len(DATA):
                await asyncio.sleep(0.001)
            assert endpoint.received == DATA[:1000]
            assert endpoint.overflow == len(DATA) - 1000
            endpoint.clear()
            assert endpoint.count == 0
            await far.write(b"new")
            assert await endpoint.wait_bytes(3, 30)
            assert endpoint.received == b"new"

    runner.run(main())


def test_closing_frees_everything(far: Far, runner: asyncio.Runner) -> None:
    async def main() -> None:
        endpoint = await far.open()
        waiting = asyncio.create_task(endpoint.wait_bytes(1, 30))
        sending = asyncio.create_task(endpoint.send(bytes(50_000_000), 30))
        await asyncio.sleep(0.02)
        before = len(list(Path("/proc/self/fd").iterdir()))
        await endpoint.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before - 1
        assert not await waiting
        assert await sending < 50_000_000
        assert endpoint.gone == "closed"

    runner.run(main())


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (UnixEndpoint("/nonexistent/s", name="serial1"), "No such file"),
        (PtyEndpoint("/nonexistent/pts", name="serial1"), "No such file"),
        (PtyEndpoint("/dev/null", name="serial1"), "Inappropriate ioctl"),
        (PtyEndpoint("/etc/passwd", name="serial1"), "Inappropriate ioctl"),
        (TcpEndpoint("127.0.0.1", 1, name="serial1"), "refused"),
        (UnixEndpoint("/" + "x" * 200, name="serial1"), "too long"),
    ],
)
def test_open_says_why_not(endpoint: Endpoint, words: str, runner: asyncio.Runner) -> None:
    with pytest.raises(QemuError) as caught:
        runner.run(endpoint.open(2))
    assert words in caught.value.message
    assert caught.value.where == "serial1"
    assert caught.value.hint
    assert endpoint.gone


def test_open_in_time(tmp_path: Path, runner: asyncio.Runner) -> None:
    """A listener whose backlog is full never answers."""
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(path)
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(path)
        begun = time.monotonic()
        with pytest.raises(QemuError):
            runner.run(UnixEndpoint(path).open(0.2))
        assert time.monotonic() - begun < 15


def test_name_falls_back_to_the_place() -> None:
    assert UnixEndpoint("/x").name == "/x"
    assert TcpEndpoint("::1", 5).name == "::1:5"
    assert PtyEndpoint("/dev/pts/1").name == "/dev/pts/1"


def test_localhost_tries_each_address(runner: asyncio.Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = TcpEndpoint("localhost", listener.getsockname()[1])

        async def main() -> None:
            await endpoint.open(5)
            await endpoint.close()

        runner.run(main())


def test_no_controlling_terminal() -> None:
    """Opening a pty must not make it the controlling terminal of a session without one."""
    master, slave = pty.openpty()
    path = os.ttyname(slave)
    child = os.fork()
    if child == 0:  # pragma: no cover - the child's own process
        code = 1
        try:
            os.setsid()
            with asyncio.Runner() as own:
                own.run(PtyEndpoint(path).open(5))
            try:
                os.open("/dev/tty", os.O_RDWR)
            except OSError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(master)
    os.close(slave)


def test_many_at_once(runner: asyncio.Runner) -> None:
    """240 ports flood at once from another thread; every byte arrives, nobody is slow."""
    count, size = 240, 20_000
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=300))
        port = listener.getsockname()[1]
        peers: list[socket.socket] = []

        def flood() -> None:
            for number, peer in enumerate(peers):
                peer.sendall(bytes([number]) * size)

        async def main() -> None:
            endpoints = [TcpEndpoint("127.0.0.1", port, name=f"serial{n}") for n in range(count)]
            for endpoint in endpoints:
                await endpoint.open(5)
                peers.append(stack.enter_context(listener.accept()[0]))
            thread = threading.Thread(target=flood)
            thread.start()
            waits = [e.wait_bytes(size, 20) for e in endpoints]
            assert all(await asyncio.gather(*waits))
            thread.join()
            for number, endpoint in enumerate(endpoints):
                assert endpoint.received == bytes([number]) * size
                await endpoint.close()

        runner.run(main())
