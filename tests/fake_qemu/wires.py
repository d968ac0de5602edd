"""The way between a port and its chardev: the bytes, and what the fake was told to do to them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from fake_qemu import streams
from fake_qemu.chardevs import Chardev
from fake_qemu.faults import Fault, Mutator
from fake_qemu.guest import Guest

_LAST_WORDS = 0.1
"""Seconds after a guest's end until its console has said why."""


class Wires:
    """All ways of a machine.

    Attributes:
        stopped: set when the machine does not run any more; nothing passes then.
    """

    def __init__(
        self, faults: tuple[Fault, ...], chardevs: dict[str, Chardev], guest: Guest,
        emit: Callable[..., None],
    ) -> None:  # fmt: skip
        self.stopped = asyncio.Event()
        self._faults = faults
        self._chardevs = chardevs
        self._guest = guest
        self._emit = emit
        self._mutators: dict[tuple[str, str], Mutator] = {}
        self._received: dict[str | None, int] = {}
        self._spouts: dict[str | None, asyncio.Future[None]] = {}
        self._last: asyncio.Future[None] | None = None

    def fault(self, name: str, port: str = "") -> Fault | None:
        """Return the fault of that name at that port, if the fake was told to have it."""
        for fault in self._faults:
            if fault.name == name and fault.port == port:
                return fault
        return None

    def of(self, id: str, direction: str) -> Chardev:
        """Return the chardev that a port is wired to, each way."""
        for fault in self._faults:
            if fault.name == "crosswire" and fault.direction == direction:
                if fault.port == id:
                    return self._chardevs[fault.other]
                if fault.other == id:
                    return self._chardevs[fault.port]
        return self._chardevs[id]

    def _mutate(self, id: str | None, direction: str, data: bytes) -> bytes:
        if id is None:
            return data
        mutator = self._mutators.get((id, direction))
        if mutator is None:
            mutator = self._mutators[id, direction] = Mutator(
                [f for f in self._faults if f.port == id and f.direction == direction]
            )
        result = mutator.feed(data)
        for fault in self._faults:
            if fault.port == id and fault.direction == direction and mutator.passed > fault.at:
                self._life(fault)
        return result

    def _life(self, fault: Fault) -> None:
        if fault.name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.name == "hang":
            # Stops the whole process, as a guest does that blocks QEMU's main loop.
            os.kill(os.getpid(), signal.SIGSTOP)
        elif fault.name == "panic" and not self.stopped.is_set():
            self.stopped.set()
            self._emit("GUEST_PANICKED", action="pause")
            self._last = asyncio.ensure_future(self._last_words())
        elif fault.name == "reset" and not self.stopped.is_set():
            self.stopped.set()
            self._emit("RESET", guest=True, reason="guest-reset")
            self._last = asyncio.ensure_future(self._last_words())

    async def _last_words(self) -> None:
        await asyncio.sleep(_LAST_WORDS)
        await self._chardevs["serial0"].send(b"\r\nKernel panic - not syncing: fake\r\n", False)

    async def carry(self, read: Any, chardev: Chardev, id: str | None, wait: bool) -> None:
        while data := await read():
            data = self._mutate(id, "out", data)
            if data and not self.stopped.is_set():
                await chardev.send(data, wait)
            spout = self.fault("spout", id or "")
            if spout is not None and id and self._mutators[id, "out"].passed > spout.at:
                self._spouts.setdefault(id, asyncio.ensure_future(self._spout(chardev, wait)))

    async def deliver(self, chardev: Chardev, fd: int, id: str | None) -> None:
        while True:
            data = self._mutate(id, "in", await chardev.receive())
            self._received[id] = self._received.get(id, 0) + len(data)
            if data and not self.stopped.is_set():
                await streams.write(fd, data)
            flood = self.fault("flood", id or "")
            if flood is not None and self._received[id] > flood.at:
                await self._flood(fd)

    async def _spout(self, chardev: Chardev, wait: bool) -> None:
        """Have the guest send for ever."""
        while not self.stopped.is_set():
            await chardev.send(bytes(4096), wait)
            await asyncio.sleep(0.001)

    @staticmethod
    async def _flood(fd: int) -> None:
        """Have the guest read for ever."""
        while await streams.write(fd, bytes(4096)):
            await asyncio.sleep(0.001)

    async def command(self, chardev: Chardev, fd: int) -> None:
        translator = self._guest.translator()
        while True:
            await streams.write(fd, translator.feed(await chardev.receive()))
