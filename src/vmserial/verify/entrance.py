"""How a guest of the user's own is entered: by the shell on its console, or by login.

A login is taken wherever the guest asks for one; serial0 has the choice, because the guest's
messages are there and a kernel's console belongs to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from vmserial.errors import QemuError, ShellError, UsageError
from vmserial.guests import cloudinit
from vmserial.guests.login import Login
from vmserial.guests.loginwords import asks
from vmserial.guests.shell import Shell
from vmserial.progress import Reporter
from vmserial.verify.hostends import HostEnds
from vmserial.verify.request import Limits
from vmserial.verify.wire import console
from vmserial.verify.wire.endpoints import Endpoint
from vmserial.verify.wire.transfer import Line, Outcome, Transfer

_GRACE = 15.0
"""Seconds that serial0 gets to ask, too, once another port has asked: gettys start at once, and
on a busy host one of them comes much later."""

_LOOK = 0.5
"""Seconds between two looks at what came."""

_STREAM = 1 << 20
_FOREVER = 86400.0


@dataclass
class Entrance:
    """The way into one guest.

    Attributes:
        lines: the ports, by name.
        ends: the host's ends of them; those besides serial0 are open.
        stack: of the VM.
        places: where QEMU says that its chardevs are.
        limits: how long anything may take.
        reporter: told where the shell stays.
        transfer: what is sent over a port that is itself the control channel.
        in_band: that port, if there is one, and ``outcomes`` what came of it.
        logged_in: called when the login is done.
        starved: for how many seconds the guest had no processor until now.
    """

    lines: Mapping[str, Line]
    ends: HostEnds
    stack: contextlib.AsyncExitStack
    places: dict[str, str]
    limits: Limits
    reporter: Reporter
    transfer: Callable[[Line], Transfer]
    logged_in: Callable[[], None]
    starved: Callable[[], float] | None = None
    in_band: Line | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    async def enter(
        self, login: Login | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Shell:
        """Return the guest's shell, moved to the control port.

        Where the guest has no control port it stays, and its port is tested now.

        Args:
            login: who logs in; None: the guest gives a shell by itself.
            reader: the host's end of the control port.
            writer: the same.

        Raises:
            UsageError: there is no port for it.
            LostVMError: no prompt came, or the login was refused.
        """
        first = self.lines.get("serial0")
        if first is None and login is None:
            raise UsageError(
                "a guest of your own gives its shell on serial0, and this VM has none",
                hint="add serial0, or leave out --kernel",
            )
        found = await console.connect(first, self.places) if first is not None else None
        if found is not None:
            self.stack.callback(found.close)
        listen = self.limits.boot / 2
        if login is not None:
            found, listen = await self._log_in(found, login), 0.0
            self.logged_in()
        assert found is not None
        line, shell = found.line, found.shell(self.starved)
        self.stack.callback(self.ends.keep_noise, shell)
        await shell.ready(self.limits.boot, listen=listen)
        if login is not None:
            # A login has flow control on, and long output would get XOFF and XON into it.
            await shell.run("stty -ixon -ixoff 2>/dev/null; :", self.limits.command)
            if login.seeded and not await cloudinit.settled(shell, self.limits.boot):
                self.reporter.note(
                    f"cloud-init is still at work after {self.limits.boot:g} s: what it writes to "
                    "the console is in the way of the port there"
                )
        try:
            moved = await shell.upgrade(reader, writer, self.limits.command)
        except ShellError as error:
            self.reporter.note(f"the shell stays on {line.name}: {error.message}")
            self.in_band = line
            shell, self.outcomes = await console.exchange(
                found, shell, self.transfer(line), self.limits
            )
            return shell
        await shell.close()
        found.close()
        if not self.ends.attended(line):
            await self.ends.connect(line, self.places)
        return moved

    async def _log_in(self, first: console.Console | None, login: Login) -> console.Console:
        """Log in where the guest asks for a name; return that port's stream."""
        bound = self.limits.boot
        here = [] if first is None else [asyncio.create_task(self._on(first, login, bound))]
        grace = _GRACE if here else 0.0
        elsewhere = asyncio.create_task(self._elsewhere(grace))
        try:
            async with asyncio.timeout(bound + self.limits.command):
                await asyncio.wait([*here, elsewhere], return_when=asyncio.FIRST_COMPLETED)
                if here and (here[0].done() or self._asked):
                    return await here[0]
        finally:
            # Also when the VM is lost meanwhile: no error of theirs is left that nobody takes.
            for task in (*here, elsewhere):
                task.cancel()
            await asyncio.gather(*here, elsewhere, return_exceptions=True)
        if first is not None:
            first.close()
            await self.ends.connect(first.line, self.places)
        line = elsewhere.result()
        self.reporter.note(f"the login prompt is on {line.name}")
        streams = await self.stack.enter_async_context(streams_of(line.endpoint))
        return await self._on(console.Console(line, *streams), login, bound)

    _asked: bool = False

    async def _on(self, found: console.Console, login: Login, bound: float) -> console.Console:
        def asked() -> None:
            self._asked = True

        await self.ends.log_in(found, login, bound, asked)
        return found

    async def _elsewhere(self, grace: float) -> Line:
        """Return the first port besides serial0 on which the guest asks for a name."""
        others = [line for line in self.lines.values() if self.ends.attended(line)]
        while True:
            for line in others:
                if asks(line.endpoint.received):
                    await asyncio.sleep(grace)
                    return line
            await asyncio.sleep(_LOOK)


@contextlib.asynccontextmanager
async def streams_of(
    endpoint: Endpoint,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a port's open end as streams: closing and opening it would unplug a usb-serial.

    What came before is the first to be read.  When the writer is closed the endpoint keeps
    what comes again.
    """
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near, limit=_STREAM)
    inner, outer = await asyncio.open_connection(sock=far, limit=_STREAM)

    async def up() -> None:
        while await endpoint.wait_bytes(1, _FOREVER):
            if writer.is_closing():
                return
            outer.write(endpoint.clear())
            await outer.drain()
        outer.close()

    async def down() -> None:
        while data := await inner.read(_STREAM):
            await endpoint.send(data, _FOREVER)
        tasks[0].cancel()

    tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        yield reader, writer
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for one in (writer, outer):
            one.close()
            with contextlib.suppress(OSError):
                await one.wait_closed()
        for error in ended:
            if isinstance(error, QemuError):
                raise error
