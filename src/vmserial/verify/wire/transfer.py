"""Bytes through ports, both ways, and what came of them.

A :class:`Transfer` is one port's share: a stream from the guest, a stream to
it.  Transfers are carried one by one or all at once, and judged only when all
is quiet: what comes too late, or at another port, counts as well.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vmserial.errors import ShellError
from vmserial.guests.farend import Sent
from vmserial.guests.nodes import Node
from vmserial.model import Assignment
from vmserial.verify.agent import GuestAgent, Upload
from vmserial.verify.request import Limits
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.wire import floods
from vmserial.verify.wire.echoes import echo_named
from vmserial.verify.wire.endpoints import Endpoint
from vmserial.verify.wire.form import Stream
from vmserial.verify.wire.frames import Analysis, analyse
from vmserial.verify.wire.standstill import QUIET, Ends, Standstill
from vmserial.verify.wire.stragglers import Stragglers

TIMED = 1 << 15
"""Bytes from which on a transfer's duration says something about the port, and not about us."""

_MANY = 8
"""Ports of which one look at all costs the guest less than a question to each."""


@dataclass
class Line:
    """One port under test: the host's end, and the guest's once it is there.

    Attributes:
        assignment: as planned.
        endpoint: the host's end, open and draining; there once it was connected.
        node: the guest's node; None as long as there is none.
        trouble: why it cannot be tested; empty if it can.
        depth: bytes that have passed it whole, by direction, since its VM started.
        came: bytes that the guest received since it opened the node.
        digest: their SHA-256.
    """

    assignment: Assignment
    endpoint: Endpoint = field(init=False)
    node: Node | None = None
    trouble: tuple[Fault, ...] = ()
    depth: dict[Direction, int] = field(
        default_factory=lambda: {GUEST_TO_HOST: 0, HOST_TO_GUEST: 0}
    )
    came: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def name(self) -> str:
        """``serialN``."""
        return self.assignment.port.name

    @property
    def path(self) -> str:
        """The node to open."""
        assert self.node is not None, f"{self.name} has no node"
        return self.node.path

    @property
    def ends(self) -> Ends:
        """The guest's node and the host's endpoint."""
        return self.path, self.endpoint

    def opened(self, node: Node) -> None:
        """Note that the guest has just opened ``node``."""
        self.node, self.came, self.digest, self.trouble = node, 0, hashlib.sha256(), ()

    def left(self) -> None:
        """Note that the guest has no node any more."""
        self.node = None


@dataclass
class Transfer:
    """One port's share of an exchange.

    Attributes:
        line: the port.
        out: what the guest sends.
        into: what the guest receives.
        upload: where ``out`` is in the guest; None before it is there.
        stray: what came to the host before, while this port had nothing to send.
        faults: what went wrong besides the bytes, by direction.
        seconds: by direction, as far as they are known.
        began: when the host began to send, by the event loop's clock.
    """

    line: Line
    out: Stream
    into: Stream
    upload: Upload | None = None
    stray: bytes = b""
    faults: dict[Direction, list[Fault]] = field(
        default_factory=lambda: {GUEST_TO_HOST: [], HOST_TO_GUEST: []}
    )
    seconds: dict[Direction, float] = field(default_factory=dict)
    began: float = 0.0

    @property
    def all_came(self) -> bool:
        """Whether the host has what the guest sent, and nothing else."""
        return self.stray + self.line.endpoint.received == self.out.data

    @property
    def wanted(self) -> int:
        """How many bytes the guest has received at all, once it has the whole of this."""
        return self.line.came + len(self.into.data)

    @property
    def sha256(self) -> str:
        """What the guest's hash of all that it received is, once it has the whole of this."""
        digest = self.line.digest.copy()
        digest.update(self.into.data)
        return digest.hexdigest()

    def stream(self, direction: Direction) -> Stream:
        """Return what passes in that direction."""
        return self.out if direction == GUEST_TO_HOST else self.into


@dataclass(frozen=True)
class Outcome:
    """What came of one direction of one transfer."""

    line: Line
    direction: Direction
    verdict: Verdict
    bytes: int
    seconds: float
    detail: str
    faults: tuple[Fault, ...] = ()

    def deepen(self) -> int:
        """Count its bytes to what is proven of its port, if they passed; return how many are."""
        depth = self.line.depth
        if self.verdict is Verdict.PASS:
            depth[self.direction] += self.bytes
        return depth[self.direction]


class Exchange:
    """Carries and judges transfers.

    Args:
        agent: the guest.
        limits: how long anything may take.

    Attributes:
        standstill: tells ports that stand still from those that are late.
        stragglers: remembers what did not come.
    """

    def __init__(self, agent: GuestAgent, limits: Limits) -> None:
        self._agent = agent
        self._limits = limits
        self.standstill = Standstill(agent, limits)
        self.stragglers = Stragglers(agent, limits)

    async def upload(self, transfers: Sequence[Transfer]) -> None:
        """Put what the guest is to send into the guest, unless it has it on board."""
        ashore = [t for t in transfers if t.upload is None]
        for size in dict.fromkeys(len(t.out.sent) for t in ashore):
            alike = [t for t in ashore if len(t.out.sent) == size]
            files = {f"{t.out.run:x}.{t.out.port}": t.out.sent for t in alike}
            put = await self._agent.put_all(files, self._limits.command)
            for transfer, upload in zip(alike, put.values(), strict=True):
                transfer.upload = upload

    async def forget(self, transfers: Sequence[Transfer]) -> None:
        """Remove what :meth:`upload` put there: all of one upload at once."""
        await self._agent.remove([t.upload for t in transfers if t.upload])

    async def carry(self, transfers: Sequence[Transfer]) -> None:
        """Carry all of ``transfers`` at once, both ways."""
        count = sum(len(t.out.sent) + len(t.into.sent) for t in transfers)
        bound = self._limits.bytes(count)
        still = asyncio.Event()
        watch = asyncio.create_task(self.standstill.watch([t.line.ends for t in transfers], still))
        try:
            await asyncio.gather(*(self._both_ways(t, bound, still) for t in transfers))
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        # One after the other: while one port is asked about, the others go on undisturbed.
        for transfer in await self._missing(transfers):
            await self._arrive(transfer, bound)
        if len(transfers) == 1:
            # Of several, each was looked at only when those before it were done.
            now = asyncio.get_running_loop().time()
            transfers[0].seconds[HOST_TO_GUEST] = now - transfers[0].began

    async def _both_ways(self, transfer: Transfer, bound: float, still: asyncio.Event) -> None:
        line, endpoint = transfer.line, transfer.line.endpoint
        transfer.stray = endpoint.clear()
        data = transfer.into.sent
        if transfer.into.path.form == "nothing":
            await self._send_into_nothing(transfer, bound)
            data = b""
        transfer.began = asyncio.get_running_loop().time()
        upload = transfer.upload
        assert upload is not None, f"what {line.name} is to send was not uploaded"
        sending = asyncio.ensure_future(
            self._agent.send(line.path, upload.file, bound, part=upload.part)
        )
        try:
            taken = await self._send(transfer, bound) if data else 0
            if taken < len(data):
                why = endpoint.gone or (self._stood() if still.is_set() else f"in {bound:g} s")
                transfer.faults[HOST_TO_GUEST].append(
                    Fault(
                        FaultKind.DISCONNECTED if endpoint.gone else FaultKind.TIMEOUT,
                        f"QEMU took {taken} of {len(data)} bytes: {why}",
                    )
                )
            await self._outcome_of_sending(sending, transfer, still)
        finally:
            if not sending.done():
                sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        await self.standstill.drained(line.ends, len(transfer.out.data), bound)
        if endpoint.first_at is not None and endpoint.last_at is not None:
            transfer.seconds[GUEST_TO_HOST] = endpoint.last_at - endpoint.first_at

    async def _send_into_nothing(self, transfer: Transfer, bound: float) -> None:
        """Send what is to arrive nowhere; a device that echoes it by itself may do so."""
        endpoint, path, data = transfer.line.endpoint, transfer.into.path, transfer.into.sent
        await endpoint.send(data, bound)
        await asyncio.sleep(QUIET)
        came = endpoint.clear()
        if not path.echo or came.translate(None, b"\r\n") != data.strip():
            transfer.stray += came

    async def _send(self, transfer: Transfer, bound: float) -> int:
        """Send what the guest is to receive; return how much was taken."""
        line, data, path = transfer.line, transfer.into.sent, transfer.into.path
        if not path.burst:
            return await line.endpoint.send(data, bound)
        taken = 0
        for at in range(0, len(data), path.burst):
            piece = data[at : at + path.burst]
            taken += await line.endpoint.send(piece, bound)
            wanted = line.came + len(path.arriving(data[: at + len(piece)]))
            if await self._agent.counted(line.path, wanted, bound, self._limits.idle) < wanted:
                break
        return taken

    def _stood(self) -> str:
        return f"no byte moved for {self._limits.stall:g} s"

    async def _outcome_of_sending(
        self, sending: asyncio.Future[Sent], transfer: Transfer, still: asyncio.Event
    ) -> None:
        standstill = asyncio.ensure_future(still.wait())
        either: set[asyncio.Future[Any]] = {sending, standstill}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        standstill.cancel()
        await asyncio.gather(standstill, return_exceptions=True)
        path = transfer.line.path
        if sending.done():
            try:
                sending.result()
                return
            except ShellError as error:
                message = error.message
        else:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await self._agent.stop(path)
            message = f"{path} did not take what it was to send: {self._stood()}"
        transfer.faults[GUEST_TO_HOST].append(Fault(FaultKind.GUEST_ERROR, message))

    async def _missing(self, transfers: Sequence[Transfer]) -> Sequence[Transfer]:
        """Return those of which the guest has not yet received all."""
        if len(transfers) < _MANY:
            return transfers
        counts = await self._agent.counts([t.line.path for t in transfers], self._limits.command)
        return [t for t in transfers if counts[t.line.path] < t.wanted]

    async def _arrive(self, transfer: Transfer, bound: float) -> None:
        """Wait for what the guest receives."""
        await self._agent.counted(transfer.line.path, transfer.wanted, bound, self._limits.idle)

    async def start_anew(self, line: Line) -> None:
        """Wait until nothing comes any more, and forget what came for no transfer of ours.

        For a port that was cut off in mid-stream: what was on its way may come now.

        Raises:
            ShellError: it does not stop.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.command
        before, count = -1, await self._agent.count(line.path)
        # Linux keeps what an unplugged 8250 had received and not yet passed on, and gives it
        # to the next opener together with the next byte that comes: so one is sent.
        await line.endpoint.send(b"\0", self._limits.transfer)
        wanted = count + 1
        await self._agent.counted(line.path, wanted, self._limits.transfer, self._limits.idle)
        count = await self._agent.count(line.path)
        while count != before:
            if loop.time() > end:
                raise ShellError(
                    f"{line.name} goes on receiving what was sent before it was cut off",
                    hint="see what else is connected to it",
                )
            await asyncio.sleep(QUIET)
            before, count = count, await self._agent.count(line.path)
        data = await self._agent.fetch(line.path, self._limits.bytes(count), most=count)
        line.came, line.digest = len(data), hashlib.sha256(data)
        line.endpoint.clear()

    async def judge(
        self, transfers: Sequence[Transfer], strangers: Sequence[Stream] = (), *,
        settle: bool = True,
    ) -> list[Outcome]:  # fmt: skip
        """Say what came of ``transfers``, once everything has been quiet for a while.

        Args:
            transfers: carried.
            strangers: further streams that might turn up at these ports.
            settle: wait for that quiet; False where the same ports carry more at once, so that
                what comes too late is the next transfer's and named there.
        """
        if not transfers:
            return []
        streams = [stream for t in transfers for stream in (t.out, t.into)]
        known = [*streams, *strangers, *self.stragglers.streams]
        sums = await (self._settled(transfers) if settle else self._sums(transfers))
        wrong = [t for t in transfers if not (t.all_came and sums[t.line.path] == t.sha256)]
        if wrong:
            # Others' bytes, or extra ones, may have been counted for those still to come.
            await self.standstill.quiet([t.line.ends for t in wrong])
            sums |= await self._sums(wrong)
            await self._blame(wrong)
        outcomes = []
        for transfer in transfers:
            line, first = transfer.line, not transfer.line.came
            sent = _sent(transfer, known)
            # What comes from here on belongs to no transfer.
            line.endpoint.clear()
            if sums[line.path] == transfer.sha256:
                size = len(transfer.into.data)
                line.came += size
                line.digest.update(transfer.into.data)
                found = Analysis(True, (), f"{size} bytes", size, size)
            else:
                found = await self._look_closer(transfer, known)
                if first:
                    sent = echo_named(sent, found, line.name)
            for stream, analysis in ((transfer.out, sent), (transfer.into, found)):
                self.stragglers.note(line, stream, analysis)
                outcomes.append(_outcome(transfer, stream.direction, analysis))
        return outcomes

    async def _blame(self, wrong: Sequence[Transfer]) -> None:
        """Say where a port had no chance: what it was to send came damaged into the guest."""
        sent = [t for t in wrong if t.upload is not None and not t.all_came]
        uploads = [t.upload for t in sent if t.upload is not None]
        damaged = await self._agent.damaged(uploads, self._limits.command)
        for transfer, upload in zip(sent, uploads, strict=True):
            if upload.file in damaged:
                detail = (
                    f"{upload.file} arrived in the guest with other content than was sent; see "
                    "what else writes to the control channel"
                )
                transfer.faults[GUEST_TO_HOST].append(Fault(FaultKind.GUEST_ERROR, detail))

    async def _settled(self, transfers: Sequence[Transfer]) -> dict[str, str]:
        """Return the hashes: made while nothing may come any more, and again if more came."""
        settling = self.standstill.settled(transfers[0].line.path)
        sums, _ = await asyncio.gather(self._sums(transfers), settling)
        came = await self._agent.counts([t.line.path for t in transfers], self._limits.command)
        changed = [
            t for t in transfers
            if sums[t.line.path] != t.sha256 or came[t.line.path] != t.wanted
        ]  # fmt: skip
        return sums | await self._sums(changed) if changed else sums

    async def _sums(self, transfers: Sequence[Transfer]) -> dict[str, str]:
        return await self._agent.hashes([t.line.path for t in transfers], self._limits.command)

    async def _look_closer(self, transfer: Transfer, known: Sequence[Stream]) -> Analysis:
        """Fetch what the guest received, and name what is wrong with it."""
        line = transfer.line
        data = await floods.received(self._agent, transfer, self._limits)
        found = analyse(transfer.into, transfer.into.path.joined(data[line.came :]), known)
        line.came, line.digest = len(data), hashlib.sha256(data)
        return found


def _sent(transfer: Transfer, known: Sequence[Stream]) -> Analysis:
    endpoint = transfer.line.endpoint
    if (more := floods.past(transfer)) is not None:
        transfer.faults[GUEST_TO_HOST].append(more)
    if endpoint.gone:
        transfer.faults[GUEST_TO_HOST].append(
            Fault(FaultKind.DISCONNECTED, f"the host's end: {endpoint.gone}")
        )
    came = floods.looked_at(transfer.stray + endpoint.received, len(transfer.out.data))
    return analyse(transfer.out, transfer.out.path.joined(came), known)


def _outcome(transfer: Transfer, direction: Direction, found: Analysis) -> Outcome:
    more = tuple(transfer.faults[direction])
    stream = transfer.stream(direction)
    size = len(stream.data)
    ok = found.ok and not more
    good = Verdict.CANNOT if stream.path.form == "nothing" else Verdict.PASS
    words = [*(fault.detail for fault in more), *([] if found.ok else [found.detail])]
    if stream.path.sysrq:
        words.append("0F passes only when it is sent twice")
    detail = "; ".join([*words, *filter(None, [stream.path.why])])
    return Outcome(
        line=transfer.line,
        direction=direction,
        verdict=good if ok else Verdict.FAIL,
        bytes=size,
        seconds=transfer.seconds.get(direction, 0.0) if size >= TIMED else 0.0,
        detail=detail,
        faults=(*more, *found.faults),
    )
