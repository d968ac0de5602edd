"""The host's ends of the ports under test, and what the guest says on its console by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from vmserial.errors import QemuError
from vmserial.guests import cloudinit
from vmserial.guests.login import Dialogue, Login, LoginRefusedError
from vmserial.guests.shell import Shell
from vmserial.limits import ISA_SERIAL_PLACES
from vmserial.machines import architecture
from vmserial.model import Machine, NodeIdentity, Plan, Pty, TcpSocket, UnixSocket
from vmserial.qemu.process import VirtualMachine
from vmserial.verify.wire import console
from vmserial.verify.wire.endpoints import Endpoint, PtyEndpoint, TcpEndpoint, UnixEndpoint
from vmserial.verify.wire.transfer import Line

_LAST_WORDS = 2.0
"""Seconds for which a guest that is lost may go on talking."""

_SILENT = 0.2
"""Seconds of silence after which it has said all."""

_SEEDED = 1 / 3
"""Of a login's bound, for how long a guest may refuse a password that cloud-init gives: systemd
orders it before the prompt, and another init may not."""

_AGAIN = 3.0
"""Seconds between two such tries."""

_READABLE = 7
"""Characters up to which a readable line may be one by chance."""


class HostEnds:
    """The host's ends of a VM's ports; those that were opened are closed with ``stack``.

    Args:
        machine: that the ports are of.
        lines: the ports, by name; some come later.
        bound: seconds for opening one.
        stack: of the VM.

    Attributes:
        messages: what the guest said on its console outside of the checks.
    """

    def __init__(
        self,
        machine: Machine,
        lines: Mapping[str, Line],
        bound: float,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self.messages = ""
        self._lines = lines
        self._bound = bound
        self._stack = stack
        self._console_at = console_identity(machine)

    async def places(self, vm: VirtualMachine) -> dict[str, str]:
        """Return, by chardev id, where QEMU says that it is."""
        answer = await vm.monitor.execute("query-chardev")
        return {
            str(one["label"]): str(one["filename"]).removeprefix("disconnected:") for one in answer
        }

    async def connect(self, line: Line, places: dict[str, str]) -> None:
        """Open the host's end of a port, and keep draining it."""
        name, backend = line.name, line.assignment.port.chardev.backend
        endpoint: Endpoint
        if isinstance(backend, UnixSocket):
            endpoint = UnixEndpoint(backend.path, name=name)
        elif isinstance(backend, TcpSocket):
            endpoint = TcpEndpoint(*console.tcp_place(places[name]), name=name)
        elif isinstance(backend, Pty):
            endpoint = PtyEndpoint(places[name].removeprefix("pty:"), name=name)
        else:
            raise QemuError(
                f"{name} has no backend that a test can reach", hint="this is a fault of vmserial"
            )
        await endpoint.open(self._bound)
        self._stack.push_async_callback(endpoint.close)
        line.endpoint = endpoint
        if self.is_console(line):
            # Also what was said in the middle of a check; there, a wrong byte is all that is seen.
            endpoint.hear = self._keep

    def attended(self, line: Line) -> bool:
        """Tell whether the host's end of a port was opened."""
        return hasattr(line, "endpoint")

    def is_console(self, line: Line) -> bool:
        """Tell whether the guest's kernel and the firmware write to a port on their own."""
        return line.assignment.port.index == 0 or line.assignment.identity == self._console_at

    def take_console(self) -> None:
        """Keep what the guest said on its console outside of the checks."""
        for line in self._lines.values():
            if self.is_console(line):
                self.take(line)

    def take(self, line: Line) -> None:
        """Keep what the guest said on a port before its test: it belongs to no check."""
        if self.attended(line):
            said = line.endpoint.clear()
            if line.endpoint.hear is None:
                self._keep(said)

    def _keep(self, said: bytes) -> None:
        self.messages += printable(said)

    async def last_words(self) -> None:
        """Wait for what a guest that is lost says last: it comes a moment after its end."""
        consoles = [
            line.endpoint
            for line in self._lines.values()
            if self.is_console(line) and self.attended(line)
        ]
        loop = asyncio.get_running_loop()
        end, before = loop.time() + _LAST_WORDS, -1
        while any(not one.gone for one in consoles) and loop.time() < end:
            count = sum(one.count for one in consoles)
            if count == before:
                break
            before = count
            await asyncio.sleep(_SILENT)

    async def log_in(
        self, found: console.Console, login: Login, timeout: float,
        asked: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Log in to a full system on a port, and keep what it says.

        Args:
            found: the port.
            login: who; whom cloud-init gives a password may be refused until it has.
            timeout: seconds for all of it.
            asked: called when the guest asks for a name there.

        Raises:
            LostVMError: no prompt within ``timeout`` seconds, or the login was refused.
        """
        dialogue = Dialogue(found.reader, found.writer, name=found.line.name)
        loop = asyncio.get_running_loop()
        end, grace, refused = loop.time() + timeout, timeout * _SEEDED, 0.0
        try:
            while True:
                try:
                    await dialogue.log_in(login, max(end - loop.time(), 1.0), asked)
                    return
                except LoginRefusedError as error:
                    if not login.seeded:
                        raise
                    refused = refused or loop.time()
                    if loop.time() + _AGAIN > min(refused + grace, end):
                        raise cloudinit.not_taken(error, login.user, grace) from None
                await asyncio.sleep(_AGAIN)
        finally:
            self.messages += printable(bytes(dialogue.heard))

    def keep_noise(self, shell: Shell) -> None:
        """Keep what the guest said on serial0 while its shell was looked for there."""
        self.messages = printable(bytes(shell.noise)) + self.messages


def console_identity(machine: Machine) -> NodeIdentity | None:
    """Return the port that the test guest's kernel has as its console, whatever it is called."""
    platform = architecture(machine.arch).planned_on(machine)
    if platform is None:
        return None
    if platform.uart is not None:
        return platform.uart.identities[0]
    return NodeIdentity("io", f"{ISA_SERIAL_PLACES[0][0]:#x}") if platform.isa else None


def without_client(plan: Plan) -> frozenset[str]:
    """Return the ports of a plan that can do without a client at the start: all but the console.

    A port whose device comes later has its client after that.
    What a guest says on its console while nobody is there is lost.
    """
    console = console_identity(plan.machine)
    return frozenset(
        one.port.name
        for one in plan.assignments
        if one.port.state != "absent" and one.port.index and one.identity != console
    )


def printable(data: bytes) -> str:
    """Return the lines of ``data`` that a person can read, such as a kernel's messages.

    Very short ones are left out: in random data some are readable by chance.
    """
    lines = [line.rstrip(b"\r") for line in data.split(b"\n")]
    return "".join(
        f"{line.decode('ascii')}\n"
        for line in lines
        if len(line) > _READABLE and all(0x20 <= byte < 0x7F or byte == 9 for byte in line)
    )
