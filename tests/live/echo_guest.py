"""An echo in a guest that is not the verifier's: which node answers on which chardev.

Its own process 1 (``echo_guest.sh``) opens every serial node of the guest and answers each
line with the line, the node's name, and what sysfs says of the node. The host's side asks
each chardev's socket with a word that is used once, and collects who answered. Of vmserial
only the kernel and its modules are taken (the cached test guest), and what ``plan --json``
prints, which is held against what was found.
"""

from __future__ import annotations

import fnmatch
import json
import re
import secrets
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmserial.guests.images import TestGuest
from vmserial.guests.initramfs import archive, file

INIT = Path(__file__).with_name("echo_guest.sh")
BOOT = 240.0
"""Seconds for a guest to answer on all ports that are said to live, on a busy host."""

GRACE = 5.0
"""Seconds that a port which is said to be dead gets when all others have answered."""

ASK_AGAIN = 1.5

# From Linux 6.5 on "…:1f.2:0" and "…:1f.2:0.0" stand below "…:1f.2".
_FUNCTION = re.compile(r"/[0-9a-f]{4}:[0-9a-f]{2}:([0-9a-f]{2}\.[0-7])(?=/|\Z)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said of itself.

    Attributes:
        node: ``/dev/ttyS1``.
        facts: of a tty its device, I/O port, memory address, the function's first address and
            USB serial number; of a virtio port its name; each empty where there is none.
    """

    node: str
    facts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The node as udev would call it: a virtio port by its name."""
        return f"/dev/virtio-ports/{self.facts[0]}" if "vport" in self.node else self.node

    @property
    def identity(self) -> str:
        """``pci:1f.0#1`` and so on; empty where sysfs does not say it (hvc)."""
        if "vport" in self.node:
            return f"virtio:{self.facts[0]}"
        path, port, memory, bar, serial = self.facts
        if "ttyUSB" in self.node:
            return f"usb:{serial}"
        functions = _FUNCTION.findall(path)
        if functions and "/pci" in path and bar:
            # The ports of a card stand eight addresses apart from its BAR on.
            return f"pci:{'/'.join(functions)}#{(int(port, 16) - int(bar, 16)) // 8}"
        if "ttyS" in self.node and int(port, 16):
            return f"io:{int(port, 16):#x}"
        return f"mmio:{int(memory, 16):#x}" if memory and int(memory, 16) else ""


@dataclass
class _Port:
    """A chardev's socket: what was asked, and what came.

    Attributes:
        sock: connected to it.
        open: a node said that it is open.  Before, nothing is sent: a pl011 whose FIFO is
            full when Linux opens it gives no interrupt any more, and is deaf.
        asked: words that were sent.
        data: what came and is no whole line.
    """

    sock: socket.socket
    open: bool = False
    asked: list[str] = field(default_factory=list)
    data: bytes = b""


def initrd(guest: TestGuest, where: Path) -> Path:
    """Write an initrd whose process 1 is the echo's: the kernel unpacks the archives in turn."""
    made = where / "echo.initrd"
    own = archive([file("echo", INIT.read_bytes(), 0o755)])
    made.write_bytes(guest.initrd.read_bytes() + own)
    return made


def append(guest: TestGuest) -> str:
    """Return the kernel's command line: no console speaks on a port that is tested."""
    return f"console={guest.console} quiet loglevel=0 panic=-1 rdinit=/echo"


def ask(words: Sequence[str]) -> tuple[int, str, str]:
    """Run vmserial as a user does; exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "vmserial", *words], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def plan(words: Sequence[str]) -> dict[str, Any]:
    """Return what ``vmserial plan --json`` prints."""
    code, out, err = ask(["plan", *words, "--json"])
    assert code in (0, 1), err
    said: dict[str, Any] = json.loads(out)
    return said


def find(
    command: Sequence[str], sockets: Mapping[str, Path], alive: frozenset[str]
) -> dict[str, Answer]:
    """Start a VM and return which node answered on each port's socket.

    Args:
        command: QEMU's; its chardevs are servers at ``sockets``.
        sockets: by port.
        alive: the ports that are waited for; the others get :data:`GRACE`.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors) as qemu,
    ):
        ports: dict[str, _Port] = {}
        try:
            ports = {name: _Port(_connected(path, qemu)) for name, path in sockets.items()}
            return _collect(ports, alive, qemu)
        except AssertionError as error:
            errors.seek(0)
            raise AssertionError(f"{error}; QEMU: {errors.read().decode()[-600:]}") from None
        finally:
            qemu.kill()
            for port in ports.values():
                port.sock.close()


def _connected(path: Path, qemu: subprocess.Popen[bytes]) -> socket.socket:
    end = time.monotonic() + 60
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            assert qemu.poll() is None, "QEMU ended"
            assert time.monotonic() < end, f"no socket {path}"
            time.sleep(0.02)
        else:
            sock.setblocking(False)
            return sock


def _collect(
    ports: Mapping[str, _Port], alive: frozenset[str], qemu: subprocess.Popen[bytes]
) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    end, again = time.monotonic() + BOOT, 0.0
    settled = False
    with selectors.DefaultSelector() as selector:
        for name, port in ports.items():
            selector.register(port.sock, selectors.EVENT_READ, name)
        while time.monotonic() < end:
            assert qemu.poll() is None, "QEMU ended"
            if not settled and alive <= found.keys():
                end, settled = time.monotonic() + (GRACE if ports.keys() - alive else 0), True
            if time.monotonic() >= again:
                _ask_all(ports, found, everybody=settled)
                again = time.monotonic() + ASK_AGAIN
            for key, _ in selector.select(0.1):
                _take(key.data, ports[key.data], found)
    return found


def _ask_all(ports: Mapping[str, _Port], found: Mapping[str, Answer], *, everybody: bool) -> None:
    """Ask the ports that have not answered with a new word; at last also the dead ones."""
    for name, port in ports.items():
        if name not in found and (port.open or everybody):
            word = f"{name}-{secrets.token_hex(4)}"
            try:
                port.sock.send(f"\n{word}\n".encode())
            except BlockingIOError:
                # A dead port takes the first words and no more; what is full is full.
                continue
            port.asked.append(word)


def _take(name: str, port: _Port, found: dict[str, Answer]) -> None:
    port.data += port.sock.recv(65536)
    *lines, port.data = port.data.split(b"\n")
    for line in lines:
        word, *said = line.decode("latin-1").strip("\r\0 ").split("|")
        port.open |= len(said) >= 2
        if len(said) >= 2 and word in port.asked:
            answer = Answer(said[0], tuple(said[1:]))
            first = found.setdefault(name, answer)
            assert first == answer, f"{name}: two nodes answered, {first} and {answer}"


def differences(said: Mapping[str, Any], found: Mapping[str, Answer]) -> list[str]:
    """Return in what a plan (its JSON) and what an echo found are not the same."""
    wrong = []
    planned = {port["port"]: port for port in said["ports"]}
    for name, port in planned.items():
        identity = f"{port['identity']['kind']}:{port['identity']['value']}"
        answer = found.get(name)
        if answer is None:
            wrong.append(f"{name}: said to be {port['node']} ({identity}), nothing answered")
        elif not fnmatch.fnmatchcase(answer.name, port["node"]):
            wrong.append(f"{name}: said to be {port['node']}, {answer.name} answered")
        elif answer.name != port["node_at_boot"]:
            wrong.append(f"{name}: said to be {port['node_at_boot']}, {answer.name} answered")
        elif answer.identity and answer.identity != identity:
            wrong.append(f"{name}: said to be {identity}, {answer.identity} answered")
    wrong += [
        f"{name}: said to be dead, {answer.name} answered"
        for name, answer in found.items()
        if name not in planned
    ]
    return wrong
