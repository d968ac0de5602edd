"""A liar between verify and a real QEMU: in the way of the ports' bytes, or of QMP's words.

It stands in QEMU's place: it starts QEMU with each chardev's socket moved aside, takes the
client itself, and passes on what it does not change.  It ends with QEMU.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

SCRIPT = """#!{python}
import sys
sys.path.insert(0, {folder!r})
from between import main
main({real!r}, {lies!r}, sys.argv[1:])
"""

CHUNK = 1 << 16
OUT, INTO = "out", "into"
"""From the guest to the host, and back."""


def liar(folder: Path, binary: str, **lies: str) -> str:
    """Return a QEMU that lies.

    Args:
        folder: where to write it.
        binary: the real one.
        lies: by chardev, the name of what is done to its bytes, as :data:`LIES` has it;
            ``qmp``: the name of one of :data:`WORDS`.
    """
    real = shutil.which(binary)
    assert real is not None
    path = folder / binary
    here = str(Path(__file__).parent)
    path.write_text(SCRIPT.format(python=sys.executable, folder=here, real=real, lies=lies))
    path.chmod(0o755)
    return str(path)


# ------------------------------------------------------------------ bytes


@dataclass(frozen=True)
class Piece:
    """What comes at once: its bytes, how many came before, and which way it goes."""

    data: bytes
    at: int
    way: str


class Wire:
    """One direction of one port: what is passed on of what comes."""

    def __init__(self, lie: str, way: str) -> None:
        self.lie = LIES[lie]
        self.way = way
        self.passed = 0

    def feed(self, data: bytes) -> bytes:
        """Return what goes on."""
        at, self.passed = self.passed, self.passed + len(data)
        return self.lie(Piece(data, at, self.way))


def _double(piece: Piece) -> bytes:
    """The first bytes of each read come twice, of one direction alone."""
    data = piece.data
    return data[:300] + data if piece.way == OUT and len(data) > 300 else data


def _seven_bits(piece: Piece) -> bytes:
    return bytes(byte & 0x7F for byte in piece.data)


def _xon_xoff(piece: Piece) -> bytes:
    return piece.data.translate(None, b"\x11\x13")


def _crlf(piece: Piece) -> bytes:
    return piece.data.replace(b"\n", b"\r\n")


def _one_bit(piece: Piece) -> bytes:
    """One bit flips, once."""
    data, place = piece.data, 1500 - piece.at
    if not 0 <= place < len(data):
        return data
    return data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :]


def _hole(piece: Piece) -> bytes:
    """One byte is gone, once."""
    data, place = piece.data, 1500 - piece.at
    return data[:place] + data[place + 1 :] if 0 <= place < len(data) else data


def _dies(piece: Piece) -> bytes:
    """Nothing passes any more after 3000 bytes."""
    return piece.data[: max(0, 3000 - piece.at)]


def _one_way(piece: Piece) -> bytes:
    return b"" if piece.way == INTO else piece.data


def _passes(piece: Piece) -> bytes:
    return piece.data


LIES: dict[str, Callable[[Piece], bytes]] = {
    "double": _double, "seven-bits": _seven_bits, "xon-xoff": _xon_xoff, "crlf": _crlf,
    "one-bit": _one_bit, "hole": _hole, "dies": _dies, "one-way": _one_way,
    # What these do is not done to the bytes of one port and direction.
    "late": _passes, "swap": _passes, "swap-busy": _passes, "spout": _passes, "shell": _passes,
}  # fmt: skip

SWAPPED_AT = 6000
"""Bytes of both ports together after which ``swap`` exchanges them."""

LATE = 6.0
"""Seconds that ``late`` holds back what comes after the first 1000 bytes of each burst."""


class Port:
    """One proxied port: the client's side and QEMU's side."""

    def __init__(self, name: str, lie: str, path: str) -> None:
        self.name, self.lie, self.path = name, lie, path
        self.wires = {OUT: Wire(lie, OUT), INTO: Wire(lie, INTO)}
        self.client: asyncio.StreamWriter | None = None
        self.qemu: asyncio.StreamWriter | None = None
        self.busy: dict[str, float] = {OUT: -9.0, INTO: -9.0}

    @property
    def passed(self) -> int:
        return sum(wire.passed for wire in self.wires.values())


class Between:
    """All proxied ports of one QEMU."""

    def __init__(self, ports: list[Port]) -> None:
        self.ports = ports
        self.pairs = [one for one in ports if one.lie in ("swap", "swap-busy")]

    async def serve(self) -> None:
        for port in self.ports:
            await asyncio.start_unix_server(partial(self.client, port), port.path)
        await asyncio.Event().wait()

    async def client(
        self, port: Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            try:
                back, port.qemu = await asyncio.open_unix_connection(f"{port.path}.q")
                break
            except OSError:
                await asyncio.sleep(0.02)
        port.client = writer
        if port.lie == "shell":
            port.qemu.write(INJECTED.encode())
        tasks = [
            asyncio.ensure_future(self.pump(port, INTO, reader)),
            asyncio.ensure_future(self.pump(port, OUT, back)),
        ]
        if port.lie == "spout":
            tasks.append(asyncio.ensure_future(self.spout(writer)))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        writer.close()
        port.qemu.close()

    async def spout(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"y\n" * 2048)
            await writer.drain()
            await asyncio.sleep(0.001)

    async def pump(self, port: Port, way: str, reader: asyncio.StreamReader) -> None:
        wire = port.wires[way]
        while data := await reader.read(CHUNK):
            data = wire.feed(data)
            port.busy[way] = time.monotonic()
            if port.lie == "late" and wire.passed > 1000:
                await asyncio.sleep(LATE)
            to = self.other(port)
            writer = to.client if way == OUT else to.qemu
            if writer is not None and data:
                writer.write(data)
                await writer.drain()

    def other(self, port: Port) -> Port:
        """Return the port at which the bytes come out."""
        if port not in self.pairs:
            return port
        first, second = self.pairs
        if port.lie == "swap":
            crossed = first.passed + second.passed > SWAPPED_AT
        else:
            # Only while both are under way: each alone is right.
            now = time.monotonic()
            crossed = all(now - max(one.busy.values()) < 0.2 for one in self.pairs)
        return (second if port is first else first) if crossed else port


INJECTED = (
    "(while ! [ -c /dev/ttyUSB1 ]; do sleep 0.05; done; cd /dev && mv ttyUSB0 x && "
    "mv ttyUSB1 ttyUSB0 && mv x ttyUSB1) >/dev/null 2>&1 &\n"
)
"""What udev's wrong rule does: two nodes with each other's names."""


# ------------------------------------------------------------------ QMP


def _keeps(message: dict[str, object]) -> list[dict[str, object]] | None:
    """Device_del is acknowledged, its event comes, and nothing goes."""
    if message.get("execute") != "device_del":
        return None
    arguments = message["arguments"]
    assert isinstance(arguments, dict)
    return [
        {"return": {}, "id": message.get("id")},
        {"event": "DEVICE_DELETED", "timestamp": {"seconds": 0, "microseconds": 0},
         "data": {"device": arguments["id"], "path": f"/machine/peripheral/{arguments['id']}"}},
    ]  # fmt: skip


def _other_chardev(message: dict[str, object]) -> list[dict[str, object]] | None:
    """A device comes at another chardev than it was told to."""
    arguments = message.get("arguments")
    if message.get("execute") == "device_add" and isinstance(arguments, dict):
        if arguments.get("chardev") == "serial4":
            arguments["chardev"] = "serial5"
        elif arguments.get("chardev") == "serial5":
            arguments["chardev"] = "serial4"
    return None


def _not_plugged(message: dict[str, object]) -> list[dict[str, object]] | None:
    """A usb-serial comes that is there only with a client."""
    arguments = message.get("arguments")
    if message.get("execute") == "device_add" and isinstance(arguments, dict):
        arguments.pop("always-plugged", None)
    return None


WORDS: dict[str, Callable[[dict[str, object]], list[dict[str, object]] | None]] = {
    "keeps-device": _keeps,
    "other-chardev": _other_chardev,
    "not-plugged": _not_plugged,
}
"""What is done to a command on its way: changed in place, or answered in QEMU's stead."""


async def words(lie: str, ours: socket.socket, theirs: socket.socket) -> None:
    """Pass QMP on, both ways."""
    reader, writer = await asyncio.open_connection(sock=ours)
    back, qemu = await asyncio.open_connection(sock=theirs)

    async def answers() -> None:
        while data := await back.read(CHUNK):
            writer.write(data)

    task = asyncio.ensure_future(answers())
    text, decoder = "", json.JSONDecoder()
    while data := await reader.read(CHUNK):
        text += data.decode()
        while text := text.lstrip():
            try:
                message, end = decoder.raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            said = WORDS[lie](message)
            if said is None:
                qemu.write(json.dumps(message).encode() + b"\n")
            for one in said or ():
                writer.write(json.dumps(one).encode() + b"\r\n")
    task.cancel()


# ------------------------------------------------------------------ in QEMU's place


def main(real: str, lies: dict[str, str], argv: list[str]) -> None:
    """Start the real QEMU as this process, with the liar as its child."""
    ports, argv = [], list(argv)
    for number, word in enumerate(argv):
        if not word.startswith("socket,id="):
            continue
        name = word.removeprefix("socket,id=").partition(",")[0]
        if name in lies and "path=" in word:
            path = word.partition("path=")[2].partition(",")[0]
            argv[number] = word.replace(path, f"{path}.q")
            ports.append(Port(name, lies[name], path))
    ours = theirs = None
    for number, word in enumerate(argv):
        if "qmp" in lies and word.startswith("socket,id=") and "fd=" in word:
            ours = int(word.partition("fd=")[2].partition(",")[0])
            near, far = socket.socketpair()
            os.set_inheritable(far.fileno(), True)
            argv[number] = word.replace(f"fd={ours}", f"fd={far.fileno()}")
            theirs = near
    if ports or ours is not None:
        parent = os.getpid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
            if os.getppid() == parent:
                _lie(ports, lies.get("qmp", ""), ours, theirs)
            os._exit(0)
        if ours is not None:
            os.close(ours)
    os.execv(real, [real, *argv])


def _lie(ports: list[Port], lie: str, ours: int | None, theirs: socket.socket | None) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)

    async def everything() -> None:
        tasks = [Between(ports).serve()]
        if ours is not None and theirs is not None:
            tasks.append(words(lie, socket.socket(fileno=ours), theirs))
        await asyncio.gather(*tasks)

    asyncio.run(everything())
