"""The fake as a program: the command line, QMP, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from fake_qemu import faults as faults_module
from fake_qemu.argv import CommandLine, parse
from fake_qemu.faults import Fault
from fake_qemu.guest import Guest
from fake_qemu.machine import Machine
from fake_qemu.refused import Refused

SCRIPT = """#!{python}
import sys
sys.path.insert(0, {folder!r})
from fake_qemu.program import main
main(sys.argv[1:], {root!r}, {faults!r}, {version!r}, {node_delay!r})
"""


def make(
    folder: Path,
    *faults: Fault,
    version: tuple[int, int, int] = (7, 2, 0),
    node_delay: float = 0.002,
    name: str = "qemu-system-fake",
) -> Path:
    """Write an executable fake into ``folder`` and return its path.

    Args:
        folder: an existing directory; the guests' trees are made in it, too.
        faults: how it misbehaves; none for a sound machine.
        version: what QMP says.
        node_delay: seconds from a device's plug to its node, and from its
            unplug to DEVICE_DELETED.
        name: the program's name.
    """
    program = folder / name
    program.write_text(
        SCRIPT.format(
            python=sys.executable,
            folder=str(Path(__file__).parent.parent),
            root=str(folder),
            faults=faults_module.dumps(faults),
            version=version,
            node_delay=node_delay,
        )
    )
    program.chmod(0o755)
    return program


class Qmp:
    """One QMP connection on a descriptor that was passed."""

    def __init__(self, line: CommandLine, version: tuple[int, int, int]) -> None:
        chardevs = {params["id"]: params for params in line.chardevs}
        fds = [
            chardevs[monitor["chardev"]]["fd"]
            for monitor in line.monitors
            if "fd" in chardevs[monitor["chardev"]]
        ]
        self._socket = socket.socket(fileno=int(fds[0]))
        self._socket.setblocking(False)
        self._version = version
        self._running = not line.paused
        self._quit = asyncio.Event()
        self.machine: Machine | None = None

    def _say(self, **message: Any) -> None:
        text = json.dumps(message).encode() + b"\r\n"
        with contextlib.suppress(OSError):
            self._socket.sendall(text)

    def emit(self, event: str, **data: Any) -> None:
        """Send an event."""
        now = time.time()
        stamp = {"seconds": int(now), "microseconds": int(now % 1 * 1e6)}
        self._say(event=event, data=data, timestamp=stamp)

    async def serve(self) -> None:
        """Answer until the other side leaves or says quit."""
        major, minor, micro = self._version
        qemu = {"major": major, "minor": minor, "micro": micro}
        self._say(QMP={"version": {"qemu": qemu, "package": ""}, "capabilities": []})
        reader, _ = await asyncio.open_connection(sock=self._socket.dup())
        asking = asyncio.ensure_future(self._ask(reader))
        quitting = asyncio.ensure_future(self._quit.wait())
        await asyncio.wait([asking, quitting], return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        quitting.cancel()

    async def _ask(self, reader: asyncio.StreamReader) -> None:
        text = ""
        decoder = json.JSONDecoder()
        while data := await reader.read(65536):
            # A client may write its objects with nothing between them, as qemu.qmp does.
            text += data.decode()
            while text := text.lstrip():
                try:
                    request, end = decoder.raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                self._answer(request)

    def _answer(self, request: dict[str, Any]) -> None:
        """Run one command and answer it."""
        reply: dict[str, Any] = {"id": request["id"]} if "id" in request else {}
        try:
            result = self._execute(request["execute"], request.get("arguments", {}))
            self._say(**{"return": result}, **reply)
        except Refused as error:
            self._say(error={"class": error.error_class, "desc": str(error)}, **reply)
        if request["execute"] == "quit":
            self.emit("SHUTDOWN", guest=False, reason="host-qmp-quit")
            self._quit.set()

    def _execute(self, command: str, arguments: dict[str, Any]) -> Any:
        assert self.machine is not None
        if command in ("qmp_capabilities", "quit", "system_powerdown", "stop", "cont"):
            self._running = command == "cont" or (self._running and command != "stop")
            return {}
        if command == "query-status":
            status = "running" if self._running else "prelaunch"
            return {"running": self._running, "status": status, "singlestep": False}
        if command == "query-version":
            major, minor, micro = self._version
            return {"qemu": {"major": major, "minor": minor, "micro": micro}, "package": ""}
        if command == "query-chardev":
            return [
                {"label": id, "filename": chardev.filename, "frontend-open": bool(chardev.owner)}
                for id, chardev in self.machine.chardevs.items()
            ]
        if command == "qom-list":
            return self.machine.objects.list()
        if command == "qom-get":
            return self.machine.objects.get(arguments["path"], arguments["property"])
        if command == "chardev-add":
            return self._chardev_add(arguments)
        if command == "chardev-remove":
            self.machine.remove_chardev(arguments["id"])
            return {}
        if command == "device_add":
            self.machine.add_device({key: _text(value) for key, value in arguments.items()})
            return {}
        if command == "device_del":
            self.machine.remove_device(arguments["id"])
            return {}
        raise Refused(f"The command {command} has not been found", "CommandNotFound")

    def _chardev_add(self, arguments: dict[str, Any]) -> dict[str, str]:
        assert self.machine is not None
        backend = arguments["backend"]
        params: dict[str, str] = {}
        if backend["type"] == "socket":
            address = backend["data"]["addr"]
            params = {key: _text(value) for key, value in address["data"].items()}
        chardev = self.machine.add_chardev(arguments["id"], backend["type"], params)
        return {"pty": chardev.pty.path} if chardev.pty is not None else {}


def _text(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


async def _run(
    line: CommandLine,
    root: Path,
    faults: tuple[Fault, ...],
    version: tuple[int, int, int],
    node_delay: float,
) -> None:
    guest = Guest(root)
    qmp = Qmp(line, version)
    uarts = 2 if version >= (9, 1, 0) else 1
    machine = qmp.machine = Machine(line, guest, faults, qmp.emit, node_delay, uarts)
    try:
        machine.start()
        await qmp.serve()
    finally:
        await machine.stop()
        await guest.stop()
        shutil.rmtree(root, ignore_errors=True)


def _rewritten(words: list[str], text: str) -> list[str]:
    """Return a command line in which ``OLD=>NEW`` was replaced; a liar that finds none is none."""
    old, _, new = text.partition("=>")
    if not any(old in word for word in words):
        sys.exit(f"no {old} to replace in {words}")
    return [word.replace(old, new) for word in words]


def main(
    words: list[str], folder: str, faults: str, version: tuple[int, int, int], node_delay: float
) -> None:
    """Be QEMU until the end; the exit status is QEMU's."""
    told = faults_module.loads(faults)
    for fault in told:
        if fault.name == "refuse-start":
            sys.exit(f"{sys.argv[0]}: {fault.text}")
        if fault.name == "die-first":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.name == "rewrite":
            words = _rewritten(words, fault.text)
    root = Path(folder) / f"guest-{os.getpid()}"
    try:
        asyncio.run(_run(parse(words), root, told, version, node_delay))
    except Refused as error:
        sys.exit(f"{sys.argv[0]}: {error}")
