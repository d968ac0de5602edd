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

from vmserial.errors import QemuError, ShellError, UsageError
from vmserial.guests.shell import Shell
from vmserial.limits import ISA_SERIAL_PLACES
from vmserial.machines import architecture
from vmserial.model import Machine, NodeIdentity, Pty, TcpSocket, UnixSocket
from vmserial.paths import RunDirectory
from vmserial.progress import Reporter
from vmserial.qemu.process import VirtualMachine
from vmserial.verify import mutants
from vmserial.verify.agent import GuestAgent
from vmserial.verify.registry import CheckRegistry
from vmserial.verify.request import Booted, TestEnvironment, VerifyRequest
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
from vmserial.verify.wire import console
from vmserial.verify.wire.endpoints import Endpoint, PtyEndpoint, TcpEndpoint, UnixEndpoint
from vmserial.verify.wire.form import Stream
from vmserial.verify.wire.transfer import Exchange, Line, Outcome, Transfer

_QUIET = (
    "[ -e /proc/sys/kernel/printk ] || mount -t proc proc /proc 2>/dev/null; "
    "{ echo 1 >/proc/sys/kernel/printk || dmesg -n 1; } 2>/dev/null; :"
)
"""No message of the guest's kernel may come out of a port under test; a panic still does."""

T = TypeVar("T")

BOTH: tuple[Direction, ...] = (GUEST_TO_HOST, HOST_TO_GUEST)

_HEARTBEAT = 1.0
"""Seconds between two questions to QEMU whether it still answers."""

_READABLE = 7
"""Characters up to which a readable line may be one by chance."""


class Session:
    """A VM under test; an async context manager that boots it and ends it.

    Args:
        title: of the VM, for people and in the checks.
        environment: the binary and the guest.
        made: how it is started.
        kind: the device kind it is about.
        request: the whole verification's.
        seed: of its data.
        runs: numbers of its transfers; no two of a verification share one.
        registry: where its checks go.
        reporter: told what is being done.
        rundir: where the ports' sockets are.

    Attributes:
        lines: the ports, by name.
        in_band: serial0, if it is itself the control channel; then it cannot be tested
            beside others, and ``in_band_outcomes`` say what came of it before.
        vm, shell, agent: QEMU, the guest's shell, the guest's ports.
        seconds: milestones since QEMU's start.
        timings: how long each of many steps took, in seconds, by step.
    """

    vm: VirtualMachine
    shell: Shell
    agent: GuestAgent
    exchange: Exchange

    def __init__(
        self, title: str, environment: TestEnvironment, made: Setup, kind: str, *,
        request: VerifyRequest, seed: int, runs: Iterable[int], registry: CheckRegistry,
        reporter: Reporter, rundir: RunDirectory,
    ) -> None:  # fmt: skip
        self.title = title
        self.environment = environment
        self.made = made
        self.kind = kind
        self.request = request
        self.limits = request.limits
        self.seed = seed
        self.registry = registry
        self.reporter = reporter
        self.lines = {
            assignment.port.name: Line(assignment)
            for assignment in made.plan.assignments
            if assignment.port.state != "absent"
        }
        self.seconds: dict[str, float] = {}
        self.timings: dict[str, list[float]] = {}
        self.messages = ""
        self.seen_nodes: dict[str, str] = {}
        self.in_band: Line | None = None
        self.in_band_outcomes: list[Outcome] = []
        self._console_at = console_identity(made.plan.machine)
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
        self.seconds["end"] = self.since()
        self.take_console()
        await self._stack.aclose()

    def since(self) -> float:
        """Return the seconds since QEMU was started."""
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
        over_console = self.environment.guest.shell == "console"
        for name, line in self.lines.items():
            if not (over_console and name == "serial0") and name not in self.made.late:
                await self.connect(line, places)
        reader, writer = await asyncio.open_unix_connection(
            self._rundir.socket(CONTROL_SOCKET), limit=1 << 20
        )
        self._stack.callback(writer.close)
        first = self._console(places, reader, writer) if over_console else None
        bound = self.limits.boot + 10 * self.limits.command
        await self.guarded(self._greet(first or self._control(reader, writer)), bound, "the boot")
        endpoints = {
            name: line.endpoint
            for name, line in self.lines.items()
            if line is not self.in_band and name not in self.made.late
        }
        for mutant in (mutants.parse(text, self.seed) for text in self.request.mutants):
            # A VM without that port goes on without it; the runner knows that one has it.
            if {mutant.port, mutant.other or mutant.port} <= endpoints.keys():
                mutant.install(endpoints)
        self.seconds["shell"] = self.since()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Shell:
        """Return the shell on the control port."""
        shell = Shell(reader, writer)
        await shell.ready(self.limits.boot)
        return shell

    async def _console(
        self,
        places: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Shell:
        """Return the shell of a guest that gives it on serial0, moved to the control port.

        Where the guest has no control port it stays, and serial0 is tested now.
        """
        line = self.lines.get("serial0")
        if line is None:
            raise UsageError(
                "a guest of your own gives its shell on serial0, and this VM has none",
                hint="add serial0, or leave out --kernel",
            )
        found = await console.connect(line, places)
        self._stack.callback(found.close)
        shell = found.shell()
        self._stack.callback(self._keep_noise, shell)
        await shell.ready(self.limits.boot, listen=self.limits.boot / 2)
        try:
            moved = await shell.upgrade(reader, writer, self.limits.command)
        except ShellError as error:
            self.reporter.note(f"the shell stays on serial0: {error.message}")
            self.in_band = line
            transfer = self.transfers([line], self.request.alone)[0]
            shell, self.in_band_outcomes = await console.exchange(
                found, shell, transfer, self.limits
            )
            return shell
        await shell.close()
        found.close()
        await self.connect(line, places)
        return moved

    async def _greet(self, shell: Coroutine[Any, Any, Shell]) -> None:
        self.shell = await shell
        self._stack.push_async_callback(self.shell.close)
        if not self.environment.guest.suite:
            # Our own guests have done it at their start.
            await self.shell.run(_QUIET, self.limits.command)
        self.agent = GuestAgent(self.shell)
        self.exchange = Exchange(self.agent, self.limits)
        await self.agent.start(self.limits.command)

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
            endpoint = TcpEndpoint(*console.tcp_place(places[name]), name=name)
        elif isinstance(backend, Pty):
            endpoint = PtyEndpoint(places[name].removeprefix("pty:"), name=name)
        else:
            raise QemuError(
                f"{name} has no backend that a test can reach", hint="this is a fault of vmserial"
            )
        await endpoint.open(self.limits.command)
        self._stack.push_async_callback(endpoint.close)
        line.endpoint = endpoint

    def is_console(self, line: Line) -> bool:
        """Tell whether the guest's kernel and the firmware write to a port on their own."""
        return line.assignment.port.index == 0 or line.assignment.identity == self._console_at

    def take_console(self) -> None:
        """Keep what the guest said on its console outside of the checks."""
        for line in self.lines.values():
            if self.is_console(line) and hasattr(line, "endpoint"):
                self.messages += printable(line.endpoint.clear())

    def _keep_noise(self, shell: Shell) -> None:
        """Keep what the guest said on serial0 while its shell was looked for there."""
        self.messages = printable(bytes(shell.noise)) + self.messages

    # -------------------------------------------------------------- nodes

    async def found(self, lines: Sequence[Line], bound: float) -> AsyncIterator[Line]:
        """Yield each line as soon as the guest has its node and has opened it.

        Lines whose node does not come, or cannot be opened, get their
        ``trouble`` and are not yielded.
        """
        waiting: dict[NodeIdentity, Line] = {}
        for line in lines:
            first = waiting.setdefault(line.assignment.identity, line)
            if first is not line:
                # A user's own command can put two devices at one place.
                detail = (
                    f"{first.name} is at {line.assignment.identity} as well: one of them is dead"
                )
                line.trouble = (Fault(FaultKind.NO_NODE, detail),)
        try:
            async for node in self.agent.appearing(list(waiting), bound):
                line = waiting.pop(node.identity)
                self.seconds["nodes"] = self.since()
                self.seen_nodes[line.name] = node.path
                expected = line.assignment.node
                if not expected.startswith("/dev/virtio-ports/") and not fnmatch.fnmatch(
                    node.path, expected
                ):
                    self.wrong_node(line, node.path)
                try:
                    await self.agent.open(node.path, timeout=self.limits.command)
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
        self.registry.decide(
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
            for identity, node in self.agent.present.items()
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

    # -------------------------------------------------------------- checks

    def check(self, case: str, line: Line | None, mode: str, way: Direction = "") -> Check:
        """Return a check of this VM, without its verdict."""
        environment, machine = self.environment, self.made.plan.machine
        return Check(
            case=case,
            arch=machine.arch,
            machine=architecture(machine.arch).machine_type(machine.machine_type),
            qemu=environment.capabilities.version_text,
            guest=environment.guest.name,
            kind=line.assignment.kind if line is not None else self.kind,
            port=line.name if line is not None else "",
            direction=way,
            mode=mode,
            vm=self.title,
        )

    def decide(self, check: Check, outcome: Outcome, note: str = "") -> None:
        """Decide a check by what came of its transfer."""
        self.registry.decide(
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
        self.registry.decide(
            check,
            verdict=Verdict.FAIL,
            detail="; ".join(fault.detail for fault in line.trouble),
            faults=line.trouble,
        )

    def booted(self, cases: tuple[str, ...]) -> Booted:
        """Return what there is to say about this VM."""
        return Booted(
            title=self.title,
            environment=self.environment,
            kind=self.kind,
            cases=cases,
            plan=self.made.plan,
            argv=self.made.argv,
            notes=self.made.notes,
            nodes=dict(self.seen_nodes),
            seconds={name: round(value, 3) for name, value in self.seconds.items()},
            timings={name: tuple(values) for name, values in self.timings.items()},
            console=self.messages,
        )


def console_identity(machine: Machine) -> NodeIdentity | None:
    """Return the port that the test guest's kernel has as its console, whatever it is called."""
    platform = architecture(machine.arch).platform(machine.machine_type)
    if platform is None:
        return None
    if platform.uart is not None:
        return platform.uart.identities[0]
    return NodeIdentity("io", f"{ISA_SERIAL_PLACES[0][0]:#x}") if platform.isa else None


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
