"""One booted guest with its ports: the boot, the nodes, the exchanges, the end.

Everything that waits here has a bound, and is given up at once when the VM is
lost (:meth:`Session.guarded`): it ended, panicked, rebooted or stopped
answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from vmserial import chardevs
from vmserial.errors import MonitorError, QemuError, ShellError
from vmserial.guests.shell import Shell
from vmserial.model import Assignment, Pty, TcpSocket, UnixSocket
from vmserial.paths import RunDirectory
from vmserial.progress import Reporter
from vmserial.qemu.process import VirtualMachine
from vmserial.verify import mutants
from vmserial.verify.endpoints import Endpoint, PtyEndpoint, TcpEndpoint, UnixEndpoint
from vmserial.verify.ledger import Ledger
from vmserial.verify.request import Booted, Stand, VerifyRequest
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.setup import CONTROL_SOCKET, Setup
from vmserial.verify.station import Station
from vmserial.verify.transfer import Exchange, Line, Outcome, Transfer
from vmserial.verify.wire import Stream

T = TypeVar("T")

BOTH: tuple[Direction, ...] = (GUEST_TO_HOST, HOST_TO_GUEST)

_HEARTBEAT = 1.0
"""Seconds between two questions to QEMU whether it still answers."""

_READABLE = 7
"""Characters up to which a readable line may be one by chance."""

_PTY_NOTICED = 1.2
"""Seconds until QEMU has surely noticed that a pty was opened: it looks once a second."""


class Session:
    """A VM under test; an async context manager that boots it and ends it.

    Args:
        title: of the VM, for people and in the checks.
        stand: the binary and the guest.
        made: how it is started.
        kind: the device kind it is about.
        request: the whole verification's.
        seed: of its data.
        runs: numbers of its transfers; no two of a verification share one.
        ledger: where its checks go.
        reporter: told what is being done.
        rundir: where the ports' sockets are.

    Attributes:
        lines: the ports, by name.
        vm, shell, station: QEMU, the guest's shell, the guest's ports.
        seconds: milestones since QEMU's start.
        timings: how long each of many steps took, in seconds, by step.
    """

    vm: VirtualMachine
    shell: Shell
    station: Station
    exchange: Exchange

    def __init__(
        self, title: str, stand: Stand, made: Setup, kind: str, *, request: VerifyRequest,
        seed: int, runs: Iterable[int], ledger: Ledger, reporter: Reporter, rundir: RunDirectory,
    ) -> None:  # fmt: skip
        self.title = title
        self.stand = stand
        self.made = made
        self.kind = kind
        self.request = request
        self.limits = request.limits
        self.seed = seed
        self.ledger = ledger
        self.reporter = reporter
        self.lines = {
            assignment.port.name: Line(assignment)
            for assignment in made.plan.assignments
            if assignment.port.state != "absent"
        }
        self.seconds: dict[str, float] = {}
        self.timings: dict[str, list[float]] = {}
        self.console = ""
        self.seen_nodes: dict[str, str] = {}
        self._rundir = rundir
        self._runs = iter(runs)
        self._stack = contextlib.AsyncExitStack()
        self._began = 0.0
        self._heart: asyncio.Task[None] | None = None

    # -------------------------------------------------------------- start and end

    async def __aenter__(self) -> Session:
        await self._stack.__aenter__()
        try:
            await self._boot()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._end()

    async def _end(self) -> None:
        self.seconds["end"] = self._since()
        self.take_console()
        await self._stack.aclose()

    def _since(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    async def _boot(self) -> None:
        self.reporter.step(f"booting {self.title}")
        self._began = asyncio.get_running_loop().time()
        self.vm = await self._stack.enter_async_context(
            VirtualMachine(self.made.argv, rundir=self._rundir)
        )
        self._heart = asyncio.create_task(self._beat(), name="heartbeat")
        self._stack.push_async_callback(self._stop_heart, self._heart)
        places = await self.places()
        for line in self.lines.values():
            await self.connect(line, places)
        endpoints = {name: line.endpoint for name, line in self.lines.items()}
        for mutant in (mutants.parse(text, self.seed) for text in self.request.mutants):
            # A VM without that port goes on without it; the runner knows that one has it.
            if {mutant.port, mutant.other or mutant.port} <= endpoints.keys():
                mutant.install(endpoints)
        reader, writer = await asyncio.open_unix_connection(
            self._rundir.socket(CONTROL_SOCKET), limit=1 << 20
        )
        self._stack.callback(writer.close)
        self.shell = Shell(reader, writer)
        self._stack.push_async_callback(self.shell.close)
        await self.guarded(self._greet(), self.limits.boot + self.limits.command, "the boot")
        self.seconds["shell"] = self._since()

    async def _greet(self) -> None:
        await self.shell.ready(self.limits.boot)
        self.station = Station(self.shell)
        self.exchange = Exchange(self.station, self.limits)
        await self.station.start(self.limits.command)

    @staticmethod
    async def _stop_heart(heart: asyncio.Task[None]) -> None:
        heart.cancel()
        await asyncio.gather(heart, return_exceptions=True)

    async def _beat(self) -> None:
        """Ask QEMU again and again; a LostVMError ends this task."""
        while True:
            await asyncio.sleep(_HEARTBEAT)
            await self.vm.monitor.execute("query-status", within=self.limits.hang)

    # -------------------------------------------------------------- not for ever

    async def guarded(self, work: Coroutine[Any, Any, T], timeout: float, what: str) -> T:
        """Do ``work`` as long as the VM lives and answers, and within ``timeout`` seconds.

        Raises:
            LostVMError: the VM was lost, or the bound was reached.
        """
        return await self.vm.guarded(self._while_alive(work), timeout, what)

    async def _while_alive(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        assert self._heart is not None
        try:
            await asyncio.wait({task, self._heart}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._heart.result()
            return await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    # -------------------------------------------------------------- the host's ends

    async def places(self) -> dict[str, str]:
        """Return, by chardev id, where QEMU says that it is."""
        answer = await self.vm.monitor.execute("query-chardev")
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
            # tcp:127.0.0.1:40123,server=on
            host, _, port = places[name].partition(":")[2].partition(",")[0].rpartition(":")
            endpoint = TcpEndpoint(host, int(port), name=name)
        elif isinstance(backend, Pty):
            endpoint = PtyEndpoint(places[name].removeprefix("pty:"), name=name)
        else:
            raise QemuError(
                f"{name} has no backend that a test can reach", hint="this is a fault of vmserial"
            )
        await endpoint.open(self.limits.command)
        self._stack.push_async_callback(endpoint.close)
        line.endpoint = endpoint

    def take_console(self) -> None:
        """Keep what the guest said on serial0 outside of the checks."""
        for line in self.lines.values():
            if line.assignment.port.index == 0 and hasattr(line, "endpoint"):
                self.console += printable(line.endpoint.clear())

    # -------------------------------------------------------------- nodes

    async def found(self, lines: Sequence[Line], bound: float) -> AsyncIterator[Line]:
        """Yield each line as soon as the guest has its node and has opened it.

        Lines whose node does not come, or cannot be opened, get their
        ``trouble`` and are not yielded.
        """
        waiting = {line.assignment.identity: line for line in lines}
        try:
            async for node in self.station.appearing(list(waiting), bound):
                line = waiting.pop(node.identity)
                self.seconds["nodes"] = self._since()
                self.seen_nodes[line.name] = node.path
                expected = line.assignment.node
                if not expected.startswith("/dev/virtio-ports/") and not fnmatch.fnmatch(
                    node.path, expected
                ):
                    self.wrong_node(line, node.path)
                try:
                    await self.station.open(node.path, timeout=self.limits.command)
                except ShellError as error:
                    line.trouble = (Fault(FaultKind.GUEST_ERROR, error.message),)
                    continue
                line.opened(node)
                yield line
        except ShellError:
            others = self.unclaimed()
            for line in waiting.values():
                line.trouble = (
                    Fault(
                        FaultKind.NO_NODE,
                        f"the guest shows no node for {line.assignment.identity} within "
                        f"{bound:g} s; {others}",
                    ),
                )

    def wrong_node(self, line: Line, path: str) -> None:
        """Report a node that has the right identity and is not the one that was planned."""
        detail = f"{line.assignment.identity} is {path}, not {line.assignment.node}"
        self.ledger.decide(
            self.check("", line, "node"),
            verdict=Verdict.FAIL,
            detail=detail,
            faults=(Fault(FaultKind.WRONG_NODE, detail),),
        )

    def unclaimed(self) -> str:
        """Return, in words, which nodes the guest has that are nobody's."""
        claimed = {line.assignment.identity for line in self.lines.values()}
        control = self.made.plan.control
        if control is not None:
            claimed.add(control.identity)
        others = [
            f"{node.path} ({identity})"
            for identity, node in self.station.present.items()
            if identity not in claimed
        ]
        return f"it shows {', '.join(others)} instead" if others else "it shows nothing instead"

    # -------------------------------------------------------------- data

    def transfers(
        self, lines: Iterable[Line], sizes: tuple[int, ...] | Callable[[Line], tuple[int, ...]]
    ) -> list[Transfer]:
        """Return a transfer for each line, all of one new run; ``sizes`` for all or for each."""
        run = next(self._runs)
        made = []
        for line in lines:
            own = sizes(line) if callable(sizes) else sizes
            out, into = (
                Stream(run, line.assignment.port.index, way, self.seed, own) for way in BOTH
            )
            made.append(Transfer(line, out, into))
        return made

    # -------------------------------------------------------------- plugging

    async def unplug(self, line: Line) -> float:
        """Take the port's device out, wait until QEMU and the guest have let go of it.

        Returns:
            How long it took, in seconds.

        Raises:
            MonitorError: QEMU refused, or the guest did not let go within its bound.
            ShellError: the guest still has the node.
        """
        device = line.assignment.device
        assert device is not None
        begin = self._since()
        with self.vm.monitor.expect(
            "DEVICE_DELETED", lambda data: data.get("device") == device.id,
            f"DEVICE_DELETED of {device.id}",
        ) as deleted:  # fmt: skip
            await self.vm.monitor.execute("device_del", id=device.id)
            await deleted.wait(self.limits.node)
        await self.station.gone(line.assignment.identity, self.limits.node)
        took = self._since() - begin
        if line.node is not None:
            await self.station.close(line.path)
            line.left()
        return took

    async def plug(self, line: Line) -> float:
        """Put the port's device in, wait for its node and open it.

        Returns:
            How long the guest took to show the node, in seconds.

        Raises:
            MonitorError: QEMU refused it.
        """
        device = line.assignment.device
        assert device is not None
        line.trouble = ()
        begin = self._since()
        await self.vm.monitor.execute("device_add", device.qmp())
        async for _ in self.found([line], self.limits.node):
            return self.seconds["nodes"] - begin
        return self._since() - begin

    async def add_chardev(self, assignment: Assignment) -> Line:
        """Create the port's chardev on the running VM and connect to it."""
        port = assignment.port
        answer = await self.vm.monitor.execute(
            "chardev-add", chardevs.qmp(port.name, port.chardev, self.stand.capabilities.version)
        )
        places = await self.places()
        if "pty" in (answer or {}):
            places[port.name] = f"pty:{answer['pty']}"
        line = Line(assignment)
        await self.connect(line, places)
        self.lines[line.name] = line
        if isinstance(port.chardev.backend, Pty):
            await asyncio.sleep(_PTY_NOTICED)
        return line

    async def remove_chardev(self, line: Line) -> None:
        """Remove the port's chardev from the running VM.

        QEMU says "busy" for a moment after device_del (7.2 and 10.0), so it is
        asked again within the bound.

        Raises:
            MonitorError: QEMU refused it for longer than that.
        """
        end = self._since() + self.limits.command
        pause = 0.01
        while True:
            try:
                await self.vm.monitor.execute("chardev-remove", id=line.name)
            except MonitorError as error:
                if "busy" not in error.message or self._since() + pause > end:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.5)
            else:
                break
        await line.endpoint.close()
        del self.lines[line.name]

    # -------------------------------------------------------------- checks

    def check(self, case: str, line: Line | None, mode: str, way: Direction = "") -> Check:
        """Return a check of this VM, without its verdict."""
        stand = self.stand
        return Check(
            case=case,
            arch=self.made.plan.machine.arch,
            machine=self.made.plan.machine.machine_type or "",
            qemu=stand.capabilities.version_text,
            guest=stand.guest.name,
            kind=line.assignment.kind if line is not None else self.kind,
            port=line.name if line is not None else "",
            direction=way,
            mode=mode,
            vm=self.title,
        )

    def decide(self, check: Check, outcome: Outcome, note: str = "") -> None:
        """Decide a check by what came of its transfer."""
        self.ledger.decide(
            check,
            verdict=outcome.verdict,
            bytes=outcome.bytes,
            seconds=round(outcome.seconds, 4),
            detail="; ".join(part for part in (outcome.detail, note) if part),
            faults=outcome.faults,
            node=outcome.line.node.path if outcome.line.node is not None else "",
        )

    def untestable(self, check: Check, line: Line) -> None:
        """Decide a check of a port that has no node, or one that cannot be opened."""
        self.ledger.decide(
            check,
            verdict=Verdict.FAIL,
            detail="; ".join(fault.detail for fault in line.trouble),
            faults=line.trouble,
        )

    def booted(self, cases: tuple[str, ...]) -> Booted:
        """Return what there is to say about this VM."""
        return Booted(
            title=self.title,
            stand=self.stand,
            kind=self.kind,
            cases=cases,
            plan=self.made.plan,
            argv=self.made.argv,
            notes=self.made.notes,
            nodes=dict(self.seen_nodes),
            seconds={name: round(value, 3) for name, value in self.seconds.items()},
            timings={name: tuple(values) for name, values in self.timings.items()},
            console=self.console,
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
