"""A firmware as the guest: on which ports it speaks, and on which it listens.

The firmware is booted without a system.  Nothing is sent until it waits for a key, and a terminal
query of its own (``ESC[6n``) is neither output nor answered; then each port in turn gets one key,
and whatever is written anywhere is the answer to it.  What is seen is held against the table of
:mod:`vmserial.planning.stages`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vmserial.errors import LostVMError, QemuStartError
from vmserial.guests.firmware import Firmware
from vmserial.machines import architecture
from vmserial.model import Capabilities
from vmserial.paths import RunDirectory
from vmserial.planning.stages import Reached, Stage, versions_of
from vmserial.qemu.process import VirtualMachine
from vmserial.verify.recording import Keep, Recording
from vmserial.verify.request import Booted, Limits, TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.runner import Runner
from vmserial.verify.setup import Setup
from vmserial.verify.stage_setup import MARK, environment_of, expected_of, setup

if TYPE_CHECKING:
    from vmserial.progress import Reporter

NAME = "firmware"
"""The case of the checks."""

SPEAKS, OBEYS, SUMMARY = "speaks", "obeys", "boot output"
"""Modes of the checks."""

_QUIET = 1.5
"""Seconds without a byte after which a firmware waits."""
_DEAF = 3.0
"""Seconds in which a port that nobody listens on gets no answer."""
_TICK = 0.05

_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_]|[()][0-9A-Za-z])|[\x00-\x20\x7f]")
"""What moves a cursor, sets a colour or asks the terminal something; and blanks."""


def text_of(said: bytes) -> bytes:
    """Return what a person would read of a port's bytes; empty where there are only escapes."""
    return _ESCAPES.sub(b"", said)


@dataclass(eq=False)
class Wire:
    """The host's end of a port, which only listens until it is told to send.

    Attributes:
        name: the port's.
        said: all that came.
    """

    name: str
    said: bytearray = field(default_factory=bytearray)
    _writer: asyncio.StreamWriter | None = None

    async def open(self, path: str, bound: float, stack: contextlib.AsyncExitStack) -> None:
        """Connect, and drain until the end."""
        reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(path), bound)
        self._writer = writer
        stack.callback(writer.close)
        task = asyncio.create_task(self._drain(reader))
        stack.callback(task.cancel)

    async def _drain(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                self.said += data

    def send(self, data: bytes) -> None:
        """Send a key."""
        assert self._writer is not None
        self._writer.write(data)


@dataclass(frozen=True)
class Seen:
    """What a firmware did.

    Attributes:
        ready: it came to wait for a key.
        said: what came out of each port before the first key was sent.
        obeyed: the ports on which a key was answered.
        seconds: from QEMU's start until it waited.
    """

    ready: bool
    said: Mapping[str, bytes]
    obeyed: frozenset[str]
    seconds: float = 0.0


class Listening:
    """A firmware that runs, with a host's end at each port.

    Args:
        vm: QEMU.
        wires: by port.
        limits: how long anything may take.
        mark: what is no port, on which it says that it waits; None: a port says so.
    """

    def __init__(
        self, vm: VirtualMachine, wires: Mapping[str, Wire], limits: Limits,
        mark: Wire | None = None,
    ) -> None:  # fmt: skip
        self._vm, self._wires, self._limits, self._mark = vm, wires, limits, mark
        self._loop = asyncio.get_running_loop()

    def _count(self) -> int:
        return sum(len(wire.said) for wire in self._wires.values())

    async def _until(self, done: Callable[[], bool], bound: float) -> bool:
        """Wait until something is so; False if it is not within ``bound`` seconds.

        Raises:
            LostVMError: the VM ended.
        """
        end = self._loop.time() + bound
        while not done():
            if self._vm.lost.done():
                raise self._vm.lost.result()
            if self._loop.time() > end:
                return False
            await asyncio.sleep(_TICK)
        return True

    async def _silence(self) -> None:
        """Wait until nothing more is written."""
        before, since = self._count(), self._loop.time()

        def quiet() -> bool:
            nonlocal before, since
            if (now := self._count()) != before:
                before, since = now, self._loop.time()
            return self._loop.time() - since > _QUIET

        await self._until(quiet, self._limits.boot)

    async def _answered(self, names: Sequence[str], key: bytes, bound: float) -> bool:
        """Send a key to some ports, and tell whether anything is written anywhere then."""
        before = self._count()
        for name in names:
            self._wires[name].send(key)
        answered = await self._until(lambda: self._count() > before, bound)
        if answered:
            await self._silence()
        return answered

    async def look(self, firmware: Firmware, expected: Mapping[str, Reached]) -> Seen:
        """Wait for the stage, then give each port a key.

        Ports that are not expected to be heard come first, all at once, and one by one only if
        something answers: a key may end the stage.

        Raises:
            LostVMError: the VM ended.
        """
        began = self._loop.time()

        def waits() -> bool:
            return bool(self._mark is not None and self._mark.said) or any(
                mark in wire.said for wire in self._wires.values() for mark in firmware.ready
            )

        ready = await self._until(waits, self._limits.boot)
        seconds = self._loop.time() - began
        await self._silence()
        said = {name: bytes(wire.said) for name, wire in self._wires.items()}
        deaf = [name for name, one in expected.items() if not one.obeys]
        if deaf and not await self._answered(deaf, firmware.key, _DEAF):
            deaf = []
        obeyed = {name for name in deaf if await self._answered([name], firmware.key, _DEAF)}
        for name, one in expected.items():
            if one.obeys and await self._answered([name], firmware.key, self._limits.command):
                obeyed.add(name)
        return Seen(ready, said, frozenset(obeyed), seconds)


def judged(
    base: Callable[[str, str, Direction], Check], expected: Mapping[str, Reached], seen: Seen
) -> list[Check]:
    """Return the checks of what a firmware did, held against the table; pure.

    Args:
        base: gives the check of a port, a mode and a direction.
        expected: by port, of the table.
        seen: what it did.
    """
    found = []
    for name, one in expected.items():
        said = text_of(seen.said[name])
        for mode, way, wanted, got in (
            (SPEAKS, GUEST_TO_HOST, one.speaks, bool(said)),
            (OBEYS, HOST_TO_GUEST, one.obeys, name in seen.obeyed),
        ):
            check = base(name, mode, way)
            if mode == SPEAKS:
                check = replace(check, bytes=len(seen.said[name]))
            found.append(replace(check, **_verdict(one.stage, name, mode, wanted, got)))
    return found


def _verdict(stage: Stage, name: str, mode: str, wanted: bool | None, got: bool) -> dict[str, Any]:
    positive = {SPEAKS: f"{stage.name} writes to {name}", OBEYS: f"{stage.name} obeys {name}"}[mode]
    negative = {
        SPEAKS: f"{stage.name} writes nothing to {name}",
        OBEYS: f"{stage.name} does not listen on {name}",
    }[mode]
    verdict = Verdict.PASS if got else Verdict.CANNOT
    if wanted is None:
        detail = f"{positive if got else negative}; nobody knows its version: {versions_of(stage)}"
        return {"verdict": verdict, "detail": detail}
    if wanted == got:
        return {"verdict": verdict, "detail": positive if got else f"{negative}, as is known of it"}
    kinds = {
        (SPEAKS, True): FaultKind.LOSS, (SPEAKS, False): FaultKind.EXTRA,
        (OBEYS, True): FaultKind.TIMEOUT, (OBEYS, False): FaultKind.NOT_REFUSED,
    }  # fmt: skip
    detail = f"{positive if got else negative}, and the table says otherwise ({stage.source})"
    return {
        "verdict": Verdict.FAIL, "detail": detail, "faults": (Fault(kinds[mode, wanted], detail),)
    }  # fmt: skip


def summary(seen: Seen) -> str:
    """Return in one line which ports a firmware speaks on and which it obeys."""
    speaks = [name for name, said in seen.said.items() if text_of(said)]
    obeys = [name for name in seen.said if name in seen.obeyed]
    return f"boot output: {', '.join(speaks) or 'no port'}; obeys: {', '.join(obeys) or 'no port'}"


async def run(
    request: VerifyRequest, reporter: Reporter, firmware: Firmware, capabilities: Capabilities,
    *, table: Stage | None = None, keep: Keep | None = None,
) -> VerifyReport:  # fmt: skip
    """Boot a firmware on a machine's ports, and say which it reaches.

    Args:
        request: with the machine.
        reporter: told what is being done.
        firmware: which.
        capabilities: of the QEMU that runs it.
        table: what is known of it; None: the table's own entry.
        keep: told what was done until then if the run is cancelled.

    Raises:
        PlanRefused: the ports cannot be carried.
        UsageError: this QEMU does not start it.
    """
    environment = environment_of(firmware, capabilities)
    recording = Recording(request, [capabilities], keep=keep, data=False)
    with recording.file() as writer, RunDirectory() as rundir:
        runner = Runner(request, reporter, recording.seed, writer)
        made = setup(request.machine, firmware, environment, rundir, request.mirror)
        with recording.until_cut(runner, lambda: None):
            await _tried(runner, made, firmware, environment, table, rundir)
        return recording.report(runner)


async def _tried(
    runner: Runner, made: Setup, firmware: Firmware, environment: TestEnvironment,
    table: Stage | None, rundir: RunDirectory,
) -> None:  # fmt: skip
    machine = made.plan.machine
    board = architecture(machine.arch).machine_type(machine.machine_type)
    title = f"{machine.arch} {board} {NAME}, {environment.guest.name}"
    kinds = {one.port.name: one.kind for one in made.plan.assignments}

    def base(port: str, mode: str, way: Direction = "") -> Check:
        return Check(
            case=NAME, arch=machine.arch, machine=board, kind=kinds.get(port, ""), port=port,
            qemu=environment.capabilities.version_text, guest=environment.guest.name,
            direction=way, mode=mode, vm=title,
        )  # fmt: skip

    expected = expected_of(firmware, made, table)
    wires = {name: Wire(name) for name in expected}
    runner.reporter.step(f"booting {title}")
    seconds: dict[str, float] = {}
    whole = base("", SUMMARY)
    try:
        seen = await _look(runner.request.limits, made, firmware, expected, wires, rundir)
    except LostVMError as error:
        runner.sink(replace(whole, verdict=Verdict.LOST, detail=error.message))
    except QemuStartError as error:
        fault = Fault(FaultKind.REFUSED, error.message)
        runner.sink(replace(whole, verdict=Verdict.FAIL, detail=error.message, faults=(fault,)))
    else:
        seconds["ready"] = round(seen.seconds, 3)
        firmware = _named(firmware, wires.values(), environment.capabilities)
        runner.reporter.note(f"it is {firmware.title}")
        expected = expected_of(firmware, made, table)
        environment = environment_of(firmware, environment.capabilities)
        whole = base("", SUMMARY)
        checks = judged(base, expected, seen)
        for check in checks:
            runner.sink(check)
        if not seen.ready:
            why = f"{firmware.name} did not come to wait for a key; {summary(seen)}"
            runner.sink(replace(whole, verdict=Verdict.LOST, detail=why))
        else:
            bad = any(check.verdict is Verdict.FAIL for check in checks)
            verdict = Verdict.FAIL if bad else Verdict.PASS
            runner.sink(replace(whole, verdict=verdict, detail=summary(seen),
                                seconds=round(seen.seconds, 3)))  # fmt: skip
    console = "".join(
        f"--- {name}\n{wire.said.decode('ascii', 'replace')}\n"
        for name, wire in wires.items() if wire.said
    )  # fmt: skip
    booted = Booted(
        title=title, environment=environment, kind="", cases=(NAME,), plan=made.plan,
        argv=made.argv, notes=made.notes, seconds=seconds, console=console,
    )  # fmt: skip
    runner.keep(booted)


async def _look(
    limits: Limits, made: Setup, firmware: Firmware, expected: Mapping[str, Reached],
    wires: Mapping[str, Wire], rundir: RunDirectory,
) -> Seen:  # fmt: skip
    mark = Wire(MARK) if any(f"id={MARK}," in word for word in made.argv) else None
    async with contextlib.AsyncExitStack() as stack:
        # No byte may be lost that a firmware writes at once: it starts when all are connected.
        vm = await stack.enter_async_context(
            VirtualMachine(made.argv, rundir=rundir, paused=True, reset_is_loss=False)
        )
        for wire in (*wires.values(), *([mark] if mark else [])):
            await wire.open(rundir.socket(wire.name), limits.command, stack)
        await vm.monitor.execute("cont")
        return await Listening(vm, wires, limits, mark).look(firmware, expected)


def _named(firmware: Firmware, wires: Iterable[Wire], capabilities: Capabilities) -> Firmware:
    """Return a firmware with its version: the package's, what it says itself, or QEMU's own."""
    known = firmware.of_version(b"".join(wire.said for wire in wires))
    if known.how == "own" and not known.version:
        return replace(
            known, version=f"of QEMU {capabilities.package or capabilities.version_text}"
        )
    return known
