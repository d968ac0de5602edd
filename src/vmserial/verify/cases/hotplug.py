"""Ports that come and go on a running VM, as in the article and beyond it.

The article: unplug a device, plug the same id again on the same chardev; plug
a new id on a chardev that was there from the start.  Beyond: a chardev made and
removed live, many cycles, an unplug in the middle of a stream, and another
port whose data must stay whole all the time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from vmserial.errors import MonitorError, QemuError, ShellError
from vmserial.verify import plugging, readback, unattended
from vmserial.verify.cases import Case
from vmserial.verify.cases.hotplug_checks import (
    NOTHING,
    Roles,
    both_ways,
    check_of,
    expected,
    nobody_there,
    of_victim,
    unseen,
)
from vmserial.verify.cases.load import PIECE, cut_receiver, cut_sender
from vmserial.verify.cases.traffic import Tally, tallies, traffic
from vmserial.verify.results import (
    HOTPLUG,
    Check,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.session import Session
from vmserial.verify.subject import BOTH
from vmserial.verify.wire.form import SHORT, SMOKE
from vmserial.verify.wire.transfer import Line, Transfer

_BATCH = 25
"""Cycles whose data is put into the guest in one piece."""


@dataclass
class Pace:
    """How long the cycles took, in seconds each."""

    unplug: list[float] = field(default_factory=list)
    plug: list[float] = field(default_factory=list)
    data: list[float] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        from statistics import median  # not needed before the end; takes 8 ms to import

        return ", ".join(
            f"{name} {median(values):.3f} s (most {max(values):.3f})"
            for name, values in (("unplug", self.unplug), ("node", self.plug), ("data", self.data))
            if values
        )


class HotplugCase(Case):
    """All of hot-plug on one VM.

    Nobody is at the chardev of a port that is there, or comes on a chardev that is there, until
    the guest has its node.

    Args:
        cycles: how often the victim goes and comes.
        alone: no other case on its VM has looked at the ports before.
    """

    name = HOTPLUG
    unattended = True

    def __init__(self, cycles: int, *, alone: bool = False) -> None:
        self.cycles = cycles
        self.alone = alone

    def bound(self, session: Session) -> float:
        """Return how long the whole case may take, in seconds."""
        limits = session.limits
        step = 3 * limits.node + 6 * limits.command + limits.bytes(1 << 20)
        return 2 * limits.nodes(len(session.lines)) + (self.cycles + 8) * step

    def expect(self, session: Session) -> None:
        """Announce all checks."""
        for check in (*unseen(session, alone=self.alone), *expected(session, self.cycles)):
            session.registry.expect(check)

    # -------------------------------------------------------------- the case

    async def run(self, session: Session) -> None:
        """Make the checks; a LostVMError if the VM was lost."""
        roles = Roles.of(session)
        victim = roles.victim
        assert victim is not None, "a VM without a port to unplug is not made for this case"
        session.reporter.step(f"{self.name}: {victim.name} before")
        missing = [
            line
            for line in session.lines.values()
            if line.node is None
            and line.assignment.port.state == "plugged"
            and line is not session.in_band
        ]
        bound = session.limits.nodes(len(missing))
        if late := [line for line in missing if not session.ends.attended(line)]:
            await unattended.first(session, late, bound, partial(nobody_there, session))
        async for line in session.found(missing, bound):
            if session.ends.is_console(line):
                session.ends.take_console()
        if missing:
            # Of the others, the case before this one has asked.
            await self._see(session, missing)
        await self._exchange(session, victim, "before", victim.name, SHORT)
        bystander = roles.bystander
        during = both_ways(session, bystander.name, "during") if bystander is not None else []
        async with traffic(session, bystander, during):
            if await self._replug(session, victim):
                await self._cycle(session, victim)
                await self._under_load(session, victim)
            if roles.spare:
                await self._plug_spare(session, session.lines[roles.spare])
            if roles.absent:
                await self._live(session, roles.absent)
        session.reporter.step(f"{self.name}: {victim.name} after")
        await self._exchange(session, victim, "after", victim.name, SHORT)

    async def _exchange(
        self, session: Session, line: Line, mode: str, out: str, sizes: tuple[int, ...]
    ) -> None:
        """Pass data through one port and decide its two checks."""
        checks = both_ways(session, line.name, mode, out)
        if line.node is None or line.trouble:
            line.trouble = line.trouble or (
                Fault(FaultKind.NO_NODE, "it is not plugged in at this time"),
            )
            for check in checks:
                session.untestable(check, line)
            return
        transfers = session.transfers([line], sizes)
        await session.exchange.upload(transfers)
        await session.exchange.carry(transfers)
        outcomes = await session.exchange.judge(transfers)
        await session.exchange.forget(transfers)
        for check, outcome in zip(checks, outcomes, strict=True):
            session.decide(check, outcome)

    # -------------------------------------------------------------- out and in again

    async def _replug(self, session: Session, victim: Line) -> bool:
        """Unplug and plug the same id; False if it could not be unplugged."""
        session.reporter.step(f"{self.name}: {victim.name} out and in again")
        check = check_of(session, victim.name, "unplug", out=victim.name)
        try:
            took = await plugging.unplug(session, victim)
        except (MonitorError, ShellError) as error:
            _refused(session, check, error)
            for other in of_victim(session, victim.name, self.cycles)[1:]:
                session.registry.decide(
                    other, verdict=Verdict.SKIPPED, detail=f"{victim.name} was not unplugged"
                )
            return False
        session.registry.decide(
            check, verdict=Verdict.PASS, seconds=round(took, 4),
            detail=f"QEMU and the guest let go of it in {took:.3f} s",
        )  # fmt: skip
        await self._plug(session, victim)
        await self._exchange(session, victim, "plugged", victim.name, SHORT)
        return True

    async def _plug(self, session: Session, line: Line) -> float:
        """Plug a port in; what goes wrong becomes the line's trouble.  See where it is then."""
        unseen = None if session.ends.attended(line) else nobody_there(session, line)
        try:
            took = await plugging.plug(session, line, unseen)
        except MonitorError as error:
            line.trouble = (Fault(FaultKind.REFUSED, f"device_add: {error.message}"),)
            if unseen is not None:
                session.untestable(unseen, line)
            return 0.0
        await self._see(session, [line])
        return took

    async def _see(self, session: Session, lines: list[Line]) -> None:
        """Have QEMU and the guest say where ports are."""
        told = await readback.told_by_qemu(session, lines)
        await readback.compare(
            session, lambda line: check_of(session, line.name, readback.MODE), lines, told
        )

    async def _plug_spare(self, session: Session, line: Line) -> None:
        """Plug a new id on a chardev that was there from the start."""
        session.reporter.step(f"{self.name}: {line.name}, a new device")
        await self._plug(session, line)
        await self._exchange(session, line, "plugged", NOTHING, SHORT)

    async def _live(self, session: Session, name: str) -> None:
        """Make a chardev and a device, use them, and remove both."""
        session.reporter.step(f"{self.name}: {name}, a new chardev and device")
        assignment = session.made.plan.assignment(int(name.removeprefix("serial")))
        removed = check_of(session, name, "removed", out=NOTHING)
        try:
            line = await plugging.add_chardev(session, assignment)
        except QemuError as error:
            for check in (*both_ways(session, name, "live", NOTHING), removed):
                _refused(session, check, error)
            return
        await self._plug(session, line)
        await self._exchange(session, line, "live", NOTHING, SHORT)
        begin = asyncio.get_running_loop().time()
        try:
            if not any(fault.kind is FaultKind.REFUSED for fault in line.trouble):
                await plugging.unplug(session, line)
            await plugging.remove_chardev(session, line)
        except (MonitorError, ShellError) as error:
            _refused(session, removed, error)
            return
        took = asyncio.get_running_loop().time() - begin
        session.registry.decide(
            removed, verdict=Verdict.PASS, seconds=round(took, 4),
            detail=f"device and chardev were gone after {took:.3f} s",
        )  # fmt: skip

    # -------------------------------------------------------------- cycles

    async def _cycle(self, session: Session, victim: Line) -> None:
        """Unplug and plug many times, with data each time."""
        found = tallies()
        pace, trouble = Pace(), ""
        waiting: list[Transfer] = []
        uploaded: list[Transfer] = []
        for number in range(self.cycles):
            session.reporter.step(f"{self.name}: cycle {number + 1} of {self.cycles}")
            if not waiting:
                wanted = min(_BATCH, self.cycles - number)
                waiting = [session.transfers([victim], SMOKE)[0] for _ in range(wanted)]
                await session.exchange.upload(waiting)
                uploaded += waiting
            transfer = waiting.pop(0)
            last = number + 1 == self.cycles
            trouble = await self._one_cycle(session, victim, transfer, found, pace, last=last)
            if trouble:
                trouble = f"cycle {number + 1}: {trouble}"
                break
        await session.exchange.forget(uploaded)
        session.timings["unplug"] = pace.unplug
        session.timings["plug"] = pace.plug
        session.timings["data"] = pace.data
        if not self.cycles:
            return
        for way in BOTH:
            check = check_of(session, victim.name, "cycle", way, out=victim.name)
            found[way].decide(session, check, "cycle", pace.text(), trouble)

    async def _one_cycle(
        self, session: Session, victim: Line, transfer: Transfer,
        found: dict[Direction, Tally], pace: Pace, *, last: bool,
    ) -> str:  # fmt: skip
        """Return what went wrong; empty if nothing did.

        What comes after a cycle's data is the next one's, and named there; after the last one
        it is waited for.
        """
        try:
            out = await plugging.unplug(session, victim)
            into = await plugging.plug(session, victim)
        except (MonitorError, ShellError) as error:
            return error.message
        if victim.trouble:
            return "; ".join(fault.detail for fault in victim.trouble)
        begin = asyncio.get_running_loop().time()
        await session.exchange.carry([transfer])
        pace.unplug.append(out)
        pace.plug.append(into)
        pace.data.append(asyncio.get_running_loop().time() - begin)
        for outcome in await session.exchange.judge([transfer], settle=last):
            found[outcome.direction].add(outcome)
        return ""

    # -------------------------------------------------------------- under load

    async def _under_load(self, session: Session, victim: Line) -> None:
        """Take the device out of the middle of a stream each way; then it must work again."""
        name = victim.name
        for way, cut in zip(BOTH, (cut_sender, cut_receiver), strict=True):
            session.reporter.step(f"{self.name}: {name} out of a running stream, {way}")
            check = check_of(session, name, "unplug under load", way, out=name)
            if victim.node is None or victim.trouble:
                session.untestable(check, victim)
                continue
            transfer = session.transfers([victim], PIECE)[0]
            try:
                await cut(session, victim, transfer, check)
                await session.shell.run("echo alive", session.limits.command)
            except (MonitorError, ShellError) as error:
                _refused(session, check, error)
            if victim.node is None:
                try:
                    await plugging.renew_chardev(session, victim)
                except MonitorError as error:
                    victim.trouble = (Fault(FaultKind.REFUSED, error.message),)
                    continue
                await self._plug(session, victim)
            if victim.node is not None:
                try:
                    await session.exchange.start_anew(victim)
                except ShellError as error:
                    victim.trouble = (Fault(FaultKind.EXTRA, error.message),)
        await self._exchange(session, victim, "after load", name, SHORT)


def _refused(session: Session, check: Check, error: QemuError | ShellError) -> None:
    """Decide a check that QEMU or the guest did not let happen."""
    known = {"Timeout": FaultKind.TIMEOUT, "NotDone": FaultKind.LEFTOVER}
    said = error.error_class if isinstance(error, MonitorError) else ""
    session.registry.decide(
        check,
        verdict=Verdict.FAIL,
        detail=str(error),
        faults=(Fault(known.get(said, FaultKind.REFUSED), str(error)),),
    )
