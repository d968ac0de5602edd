"""The far end: what the guest does with its ports while they are tested.

Works in any Linux guest in which a :class:`~vmserial.guests.shell.Shell` is
root and has busybox or coreutils.  Each open port has an *agent* in the guest,
which holds it open and receives all that comes into a file; orders go to it
without waiting and its answers come as events, so many ports are tested at once
over one control channel, while others are still being enumerated.

A port that is itself the control channel (a console without a free port
``vmserial.control``) cannot have an agent.  It can be tested in band, through
:meth:`Shell.run`: ``stty raw -echo; head -c N >FILE; stty -raw`` for what the
host sends next, and ``cat FILE`` for the other direction.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vmserial.errors import LostVMError, ShellError
from vmserial.guests.agents import Agent, Agents
from vmserial.guests.channel import Countdown
from vmserial.guests.shell import Shell, quote
from vmserial.guests.watcher import GRACE, Watcher

_TICK = 0.01
# Ports opened by one command: a tty takes so much at once.
_AT_ONCE = 24


@dataclass(frozen=True, slots=True)
class Received:
    """What came in at a port.

    Attributes:
        size: bytes since :meth:`FarEnd.receive_begin`; more than was waited for if more came.
        sha256: of these bytes, in hex.
        at: the guest's uptime when it was looked at, in seconds (10 ms steps).
    """

    size: int
    sha256: str
    at: float


@dataclass(frozen=True, slots=True)
class Sent:
    """That a file was written to a port: from and to which uptime of the guest."""

    start: float
    end: float


def script() -> str:
    """Return the functions for the guest, without comments and indentation."""
    # importlib.resources takes 18 ms to import.
    text = Path(__file__).with_name("farend.sh").read_text("utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


class FarEnd(Watcher):
    """The guest's side of its serial ports.

    As an async context manager it puts its functions into the shell, and ends
    all that it started in the guest.

    Consoles (virtconsole) on more than one controller are told apart by writing
    one NUL byte to each when they are first seen: their host side gets that byte.

    Attributes:
        present: the nodes that the guest had when it was last looked at, by identity.
    """

    def __init__(self, shell: Shell, grace: float = GRACE) -> None:
        super().__init__(shell, grace)
        self._directory = ""
        self._agents = Agents()
        self._unsubscribe: Callable[[], None] | None = None

    # -------------------------------------------------------------- start and end

    async def __aenter__(self) -> FarEnd:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        # A guest that is gone, or too ill to answer, has nothing left to clean.
        with contextlib.suppress(ShellError, LostVMError):
            await self.end()

    async def start(self, timeout: float = 30.0, *, ports: int = 16) -> None:
        """Put the functions into the shell, prepare for so many ports, and watch the nodes.

        Raises:
            ShellError: the guest has no place for files, or no mkfifo.
            LostVMError: no answer within ``timeout`` seconds.
        """
        self._unsubscribe = self._shell.subscribe(self._event)
        output = await self._shell.run(f"{script()}\nvs_start {ports}", timeout)
        self._directory = output.split()[-1]

    async def end(self, timeout: float = 30.0) -> None:
        """Close all ports and remove what is in the guest.

        Raises:
            LostVMError: no answer within ``timeout`` seconds.
        """
        try:
            if self._watch is not None:
                self._watch.cancel()
            if not self._shell.lost:
                await self.close(*self._agents, timeout=timeout)
                await self._shell.run("cd /; vs_end", timeout)
        finally:
            if self._unsubscribe is not None:
                self._unsubscribe()

    # -------------------------------------------------------------- ports

    async def open(self, *paths: str, timeout: float = 30.0) -> None:
        """Open ports: raw, no echo, 115200; all that comes in is kept from now on.

        Args:
            paths: nodes such as ``/dev/ttyUSB0``.
            timeout: seconds for all of them.

        Raises:
            ShellError: one cannot be opened; it names each and why. None is left open.
            LostVMError: the guest does not answer.
        """
        agents = self._agents.numbered(paths)
        left = Countdown(timeout)
        starts = [self._expect(f"p {agent.id}") for agent in agents.values()]
        opens = [self._expect(f"o {agent.id}") for agent in agents.values()]
        lines = [f"vs_open {agent.id} {quote(path)}" for path, agent in agents.items()]
        for at in range(0, len(lines), _AT_ONCE):
            await self._shell.run("\n".join(lines[at : at + _AT_ONCE]), left())
        self._agents |= agents
        failed, stuck = [], []
        for (path, agent), started, opened in zip(agents.items(), starts, opens, strict=True):
            try:
                agent.pid = int((await self._shell.wait(started, left()))[0])
                words = await self._shell.wait(opened, left())
            except TimeoutError:
                words = [f"it did not open within {timeout:g} s"]
                stuck.append(agent)
            if words != ["ok"]:
                failed.append(f"{path}: {' '.join(words)}")
                del self._agents[path]
        if failed:
            await self._kill(stuck)
            await self.close(*agents)
            raise ShellError(
                f"cannot open {'; '.join(failed)}", hint="see who else has it open in the guest"
            )

    async def close(self, *paths: str, timeout: float = 10.0) -> None:
        """Close ports; what they received is thrown away.

        An agent that does not end within ``timeout`` seconds, because a driver
        does not let go of it, is killed.

        Raises:
            LostVMError: the guest does not answer.
        """
        agents = [self._agents.pop(path) for path in paths if path in self._agents]
        asked = (
            self._ask(a.order("close", self._number(), *a.end_jobs()), f"q {a.id}", timeout)
            for a in agents
        )
        results = await asyncio.gather(*asked, return_exceptions=True)
        stuck = []
        for agent, result in zip(agents, results, strict=True):
            if isinstance(result, TimeoutError):
                stuck.append(agent)
            elif isinstance(result, BaseException):
                raise result
        await self._kill(stuck)

    async def _kill(self, agents: Iterable[Agent]) -> None:
        pids = [str(agent.pid) for agent in agents if agent.pid]
        if pids:
            await self._shell.run(f"kill -9 {' '.join(pids)} || :")

    async def send(
        self, path: str, file: str, timeout: float, *, part: tuple[int, int] | None = None
    ) -> Sent:
        """Write a file of the guest to a port.

        Done when the driver has taken all of it, which may be before all of it went out.

        Args:
            path: the node, open.
            file: such as :meth:`put` returned.
            timeout: seconds.
            part: send this part of it alone: the size of each in bytes, and its number from 0.

        Raises:
            ShellError: it was not all taken within ``timeout`` (then the rest is given
                up), or the port failed.
            LostVMError: the guest does not answer.
        """
        agent, number = self._agents.of(path), self._number()
        agent.jobs.add(number)
        try:
            what = "send" if part is None else "part"
            order = agent.order(what, number, *(part or ()), quote(file))
            status, start, end = await self._ask(order, f"s {agent.id} {number}", timeout)
            agent.jobs.discard(number)
        except TimeoutError:
            await self.stop(path)
            raise ShellError(
                f"{path} did not take {file} within {timeout:g} s",
                hint="is its host side connected and read? with more than 15 virtio ports on one "
                "controller, a starting guest misses who is connected",
            ) from None
        if status != "0":
            raise ShellError(
                f"writing to {path} failed (status {status})", hint="see the guest's messages"
            )
        return Sent(float(start), float(end))

    async def stop(self, path: str) -> None:
        """Give up what is being sent to a port, and what :meth:`received` waits for.

        Raises:
            LostVMError: the guest does not answer.
        """
        agent, number = self._agents.of(path), self._number()
        await self._ask_now(
            agent.order("stop", number, *agent.end_jobs()), f"k {agent.id} {number}", "stop sending"
        )

    async def count(self, path: str) -> int:
        """Return how many bytes came in since :meth:`receive_begin` (or :meth:`open`).

        Raises:
            LostVMError: the guest does not answer.
        """
        agent, number = self._agents.of(path), self._number()
        answer = await self._ask_now(
            agent.order("count", number), f"r {agent.id} {number}", "count"
        )
        return int(answer[0]) - agent.mark

    async def receive_begin(self, path: str) -> None:
        """From now on count, hash and fetch only what comes next."""
        self._agents.of(path).mark += await self.count(path)

    async def received(self, path: str, size: int, timeout: float) -> Received:
        """Wait until a port received ``size`` bytes, or the bound; return what came.

        Raises:
            LostVMError: the guest does not answer.
        """
        answer = await self._received(path, size, int(timeout / _TICK), timeout + 1.0)
        if answer is None:
            # The guest's ticks are longer than ours: look at what is there now.
            answer = await self._received(path, 0, 0, self.grace)
        if answer is None:
            raise LostVMError(
                f"the guest did not say what came in at {path} within {self.grace:g} s",
                hint="it hangs or is overloaded; see its console",
            )
        return answer

    async def _received(self, path: str, size: int, ticks: int, timeout: float) -> Received | None:
        agent, number = self._agents.of(path), self._number()
        agent.jobs.add(number)
        try:
            count, sha256, at = await self._ask(
                agent.order("await", number, agent.mark, size, ticks),
                f"r {agent.id} {number}",
                timeout,
            )
            agent.jobs.discard(number)
        except TimeoutError:
            return None
        return Received(int(count), sha256, float(at))

    async def fetch(self, path: str, timeout: float = 60.0, *, most: int | None = None) -> bytes:
        """Return what came in since :meth:`receive_begin`, of that at most ``most`` bytes.

        Raises:
            LostVMError: not done within ``timeout`` seconds.
        """
        file = f"{self._directory}/{self._agents.of(path).id}.in"
        start = self._agents.of(path).mark
        return await self._shell.get(file, timeout, start=start, most=most)

    async def put(
        self, name: str, data: bytes, timeout: float = 60.0, *, checked: bool = True
    ) -> str:
        """Write a file into the guest, to be sent; return its path there.

        Args:
            name: a plain file name.
            data: its content.
            timeout: seconds.
            checked: ask the guest for the SHA-256 of what arrived.

        Raises:
            ShellError: no room, or it arrived wrong.
            LostVMError: not done within ``timeout``.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ShellError(f"{name!r} is not a plain file name", hint="letters and digits")
        path = f"{self._directory}/out.{name}"
        await self._shell.put(path, data, timeout, checked=checked)
        return path
