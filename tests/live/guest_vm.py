"""A booted test guest with ports, for the live tests of the guests room."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from types import TracebackType

from vmserial.guests.images import TestGuest
from vmserial.guests.shell import CONTROL_PORT, Shell
from vmserial.machines import architecture
from vmserial.qemu.binary import find
from vmserial.qemu.process import VirtualMachine

BOOT = 60.0

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class GuestVM:
    """A VM on TCG; each port is one end of a socket pair, so nothing of it is on disk.

    Args:
        guest: what to boot.
        ports: pairs of a chardev's name and a ``-device`` without its chardev; the
            name ``serial0`` with an empty device is the on-board UART or COM1.
        devices: further ``-device`` values, before those of the ports.
        binary: a QEMU; by default the one in ``$PATH``.
    """

    def __init__(
        self,
        guest: TestGuest,
        ports: Sequence[tuple[str, str]] = (),
        devices: Sequence[str] = (),
        binary: str = "",
    ) -> None:
        known = architecture(guest.arch)
        words = [binary or find(guest.arch), "-M", known.platforms[0].name]
        if known.tcg_cpu:
            words += ["-cpu", known.tcg_cpu]
        words += ["-accel", "tcg", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
        words += ["-kernel", str(guest.kernel), "-initrd", str(guest.initrd)]
        words += ["-append", guest.append]
        self._ends: dict[str, socket.socket] = {}
        self._theirs: list[socket.socket] = []
        self._streams: dict[str, Stream] = {}
        words += [*self._chardev("serial0"), "-serial", "chardev:serial0"]
        words += ["-device", "virtio-serial-pci,id=control"]
        words += self._chardev("control")
        words += ["-device", f"virtserialport,bus=control.0,chardev=control,name={CONTROL_PORT}"]
        for device in devices:
            words += ["-device", device]
        for name, device in ports:
            words += [*self._chardev(name), "-device", f"{device},chardev={name}"]
        self.vm = VirtualMachine(words, pass_fds=[end.fileno() for end in self._theirs])

    def _chardev(self, name: str) -> list[str]:
        ours, theirs = socket.socketpair()
        self._ends[name] = ours
        self._theirs.append(theirs)
        return ["-chardev", f"socket,id={name},fd={theirs.fileno()}"]

    def stream(self, name: str) -> Stream:
        """Return the host side of a port."""
        return self._streams[name]

    async def shell(self, port: str = "control") -> Shell:
        """Return a shell that answers."""
        shell = Shell(*self.stream(port))
        listen = 0.0 if port == "control" else BOOT / 2
        await self.vm.guarded(shell.ready(BOOT, listen=listen), BOOT + 5, "the guest's shell")
        return shell

    async def send(self, name: str, data: bytes) -> None:
        """Write from the host to a port."""
        writer = (self.stream(name))[1]
        writer.write(data)
        await asyncio.wait_for(writer.drain(), 20)

    async def read(self, name: str, size: int) -> bytes:
        """Read on the host what a port sends."""
        return await asyncio.wait_for((self.stream(name))[0].readexactly(size), 20)

    async def __aenter__(self) -> GuestVM:
        """Start QEMU."""
        await self.vm.__aenter__()
        for end in self._theirs:
            end.close()
        for name, end in self._ends.items():
            self._streams[name] = await asyncio.open_connection(sock=end)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End QEMU and close all streams."""
        await self.vm.__aexit__(kind, error, traceback)
        for _, writer in self._streams.values():
            writer.close()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in self._streams.values()), return_exceptions=True
        )
