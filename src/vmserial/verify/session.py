"""One booted guest with its ports: the boot, the nodes, the exchanges, the end.

Everything that waits here has a bound, and is given up at once when the VM is
lost (:meth:`Lifeline.guarded`): it ended, panicked, rebooted or stopped
answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
from collections.abc import AsyncIterator, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vmserial.errors import ShellError
from vmserial.guests.nodes import Node
from vmserial.guests.patience import Waited
from vmserial.guests.shell import Shell
from vmserial.guests.watcher import GRACE
from vmserial.model import NodeIdentity
from vmserial.qemu.process import VirtualMachine
from vmserial.verify import mutants
from vmserial.verify.agent import GuestAgent
from vmserial.verify.hostends import HostEnds
from vmserial.verify.lifeline import Lifeline
from vmserial.verify.request import Booted
from vmserial.verify.results import (
    Fault,
    FaultKind,
)
from vmserial.verify.setup import CONTROL_SOCKET
from vmserial.verify.subject import Subject
from vmserial.verify.undriven import driven
from vmserial.verify.wire.transfer import Exchange, Line, Outcome

if TYPE_CHECKING:
    from vmserial.verify.holders import Keeper

_NO_SYSRQ = "echo 0 >/proc/sys/kernel/sysrq"
"""Where a device takes bytes of the data for SysRq keys: else they reboot the guest."""

_QUIET = (
    "[ -e /proc/sys/kernel/printk ] || mount -t proc proc /proc 2>/dev/null; "
    "{ echo 1 >/proc/sys/kernel/printk || dmesg -n 1; } 2>/dev/null; :"
)
"""No message of the guest's kernel may come out of a port under test; a panic still does."""


class Session(Subject):
    """A VM under test; an async context manager that boots it and ends it.

    Attributes:
        ends: the host's ends of the ports.
        in_band: the port that is itself the control channel, if one is; then it cannot be tested
            beside others, and ``in_band_outcomes`` say what came of it before.
        vm, life, shell, agent: QEMU, what tells that it is lost, the guest's shell, the
            guest's ports.
        seconds: milestones since QEMU's start.
        timings: how long each of many steps took, in seconds, by step.
    """

    vm: VirtualMachine
    life: Lifeline
    shell: Shell
    agent: GuestAgent
    exchange: Exchange

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seconds: dict[str, float] = {}
        self.timings: dict[str, list[float]] = {}
        self.seen_nodes: dict[str, str] = {}
        self.in_band: Line | None = None
        self.in_band_outcomes: list[Outcome] = []
        self._freed_once: set[str] = set()
        self._stack = contextlib.AsyncExitStack()
        self._began = 0.0
        self.ends = HostEnds(self.made.plan.machine, self.lines, self.limits.command, self._stack)

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
        if hasattr(self, "vm") and self.vm.lost.done():
            await self.ends.last_words()
        self.ends.take_console()
        await self._stack.aclose()

    def since(self) -> float:
        """Return the seconds since QEMU was started."""
        return asyncio.get_running_loop().time() - self._began

    async def _boot(self) -> None:
        self.reporter.step(f"booting {self.title}")
        self._began = asyncio.get_running_loop().time()
        self.vm = await self._stack.enter_async_context(
            VirtualMachine(self.made.argv, rundir=self.rundir)
        )
        self.life = Lifeline(self.vm, self.limits.hang)
        self._stack.push_async_callback(self.life.stop)
        places = await self.ends.places(self.vm)
        over_console = self.environment.guest.shell == "console"
        for name, line in self.lines.items():
            if not (over_console and name == "serial0") and name not in self.made.late:
                await self.ends.connect(line, places)
        reader, writer = await asyncio.open_unix_connection(
            self.rundir.socket(CONTROL_SOCKET), limit=1 << 20
        )
        self._stack.callback(writer.close)
        first = self._console(places, reader, writer) if over_console else None
        greeted = self._greet(first or self._control(reader, writer))
        await self.life.guarded(greeted, self.limits.boot + 10 * self.limits.command, "the boot")
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
        shell = Shell(reader, writer, starved=Waited(self.vm.pid))
        await shell.ready(self.limits.boot)
        return shell

    async def _console(
        self, places: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Shell:
        """Return the shell of a guest of the user's own, moved to the control port."""
        from vmserial.verify.entrance import Entrance  # what only such a guest needs

        entrance = Entrance(
            self.lines, self.ends, self._stack, places, self.limits, self.reporter,
            lambda line: self.transfers([line], self.request.alone)[0],
            lambda: self.seconds.update(login=self.since()), Waited(self.vm.pid),
        )  # fmt: skip
        shell = await entrance.enter(self.request.login, reader, writer)
        self.in_band, self.in_band_outcomes = entrance.in_band, entrance.outcomes
        return shell

    async def _greet(self, shell: Coroutine[Any, Any, Shell]) -> None:
        self.shell = await shell
        self._stack.push_async_callback(self.shell.close)
        if not self.environment.guest.suite:
            # Our own guests have done it at their start.
            await self.shell.run(_QUIET, self.limits.command)
        if any(line.assignment.carries.to_guest.sysrq for line in self.lines.values()):
            await self.shell.run(_NO_SYSRQ, self.limits.command)
        self.agent = GuestAgent(self.shell, max(GRACE, self.limits.command))
        self.exchange = Exchange(self.agent, self.limits)
        await self.agent.start(self.limits.command, ports=len(self.lines) + 1)

    # -------------------------------------------------------------- nodes

    async def found(self, lines: Sequence[Line], bound: float) -> AsyncIterator[Line]:
        """Yield each line as soon as the guest has its node and has opened it.

        Lines whose node does not come, or cannot be opened, get their
        ``trouble`` and are not yielded.
        """
        waiting: dict[NodeIdentity, Line] = {}
        if self.environment.guest.image is not None:
            lines = await driven(lines, self.shell, self.limits.command)
        for line in lines:
            first = waiting.setdefault(line.assignment.identity, line)
            if first is not line:
                # A user's own command can put two devices at one place.
                detail = (
                    f"{first.name} is at {line.assignment.identity} as well: one of them is dead"
                )
                line.trouble = (Fault(FaultKind.NO_NODE, detail),)
        try:
            async for node in self.agent.shown(list(waiting), bound):
                line = waiting.pop(node.identity)
                if await self.opens(line, node):
                    yield line
        except ShellError:
            again = [line for line in waiting.values() if await self._freed(line)]
            others = self.unclaimed()
            for line in waiting.values():
                line.trouble = line.trouble or (
                    Fault(
                        FaultKind.NO_NODE,
                        f"the guest shows no node for {line.assignment.identity} within "
                        f"{bound:g} s; {others}",
                    ),
                )
            for line in again:
                line.trouble = ()
            if again:
                async for line in self.found(again, bound):
                    yield line

    async def _freed(self, line: Line) -> bool:
        """Tell whether a usb-serial without a tty was taken by a program and now is free."""
        identity = line.assignment.identity
        if self.environment.guest.suite or identity.kind != "usb" or line.name in self._freed_once:
            return False
        self._freed_once.add(line.name)
        why = await self._keeper().grabbed(identity.value, take=self.request.take_ports)
        line.trouble = (Fault(FaultKind.HELD, why),) if why else ()
        # What that program wrote to the port: brltty asks for its braille display.
        self.ends.take(line)
        return self.request.take_ports and not why

    def _keeper(self) -> Keeper:
        from vmserial.verify.holders import Keeper  # what only a system of the user's own needs

        return Keeper(self.shell, self.limits.command, self._stack, self.reporter.note)

    async def opens(self, line: Line, node: Node) -> bool:
        """Have the guest open a port's node; if it cannot, the line gets its ``trouble``."""
        self.seconds["nodes"] = self.since()
        self.seen_nodes[line.name] = node.path
        expected = line.assignment.node
        if expected.startswith("/dev/virtio-ports/"):
            # udev's name for it, which a test guest has not; a virtconsole is an hvc.
            expected = "/dev/vport*"
        if not fnmatch.fnmatch(node.path, expected):
            if (
                self.environment.guest.image is not None
                and expected.startswith("/dev/hvc")
                and node.path.startswith("/dev/vport")
            ):
                # It stands in debugfs, which nobody else reads: the node is no wrong one.
                detail = "only root can tell which hvc this virtconsole is; log in as root"
                line.trouble = (Fault(FaultKind.HELD, detail),)
                return False
            self.wrong_node(line, node.path)
        if await self._held(line, node.path):
            return False
        try:
            await self.agent.open(node.path, timeout=self.limits.command)
        except ShellError as error:
            if not await self._held(line, node.path, error):
                line.trouble = (Fault(FaultKind.GUEST_ERROR, error.message),)
            return False
        line.opened(node)
        return True

    async def _held(self, line: Line, path: str, error: ShellError | None = None) -> bool:
        """Tell whether a full system keeps a port from the user; the line gets the reason."""
        if self.environment.guest.image is not None:
            keeper = self._keeper()
            line.trouble = await keeper.trouble(path, error, take=self.request.take_ports)
            # systemd asks each login tty for its size when a getty starts and ends.
            self.ends.take(line)
        return bool(line.trouble)

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

    # -------------------------------------------------------------- what is left of it

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
            console=self.ends.messages,
        )
