"""Late is told from lost: a guest that hardly runs gets its time, one that answers does not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from vmserial.errors import LostVMError, ShellError
from vmserial.guests.nodes import Node
from vmserial.model import NodeIdentity
from vmserial.verify.agent import STANDSTILL, GuestAgent
from vmserial.verify.request import Limits
from vmserial.verify.wire.endpoints import Endpoint, UnixEndpoint
from vmserial.verify.wire.standstill import Standstill

LIMITS = Limits(command=5.0, transfer=5.0, idle=0.05, stall=0.1, settle=0.02)

SLOW = 0.03
"""Seconds for an answer of a guest that gets a processor now and then: STANDSTILL of them
take much longer than LIMITS.idle and LIMITS.stall."""


@dataclass
class SlowGuest:
    """A guest whose answers take their time; bytes are there from a number of answers on.

    Attributes:
        late: the number of answers before the bytes come.
        size: bytes that come at once then.
        pace: seconds for each answer.
    """

    late: int
    size: int = 100
    pace: float = SLOW
    answers: int = 0
    then: Callable[[], None] = lambda: None

    async def count(self, path: str) -> int:
        """Answer, as FarEnd.count does."""
        assert path == "/dev/ttyS0"
        await asyncio.sleep(self.pace)
        self.answers += 1
        if self.answers == self.late:
            self.then()
        return self.size if self.answers >= self.late else 0

    @property
    def agent(self) -> GuestAgent:
        """Itself, as what it stands for."""
        return cast(GuestAgent, self)


async def counted(guest: SlowGuest, size: int, idle: float = LIMITS.idle) -> int:
    return await GuestAgent.counted(guest.agent, "/dev/ttyS0", size, 5.0, idle)


def with_endpoint(work: Callable[[Endpoint, socket.socket], Awaitable[Any]], folder: Path) -> Any:
    """Do something with the host's end of a port and the socket that is its guest."""

    async def done() -> Any:
        path = str(folder / "port")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            async with UnixEndpoint(path, name="serial0") as endpoint:
                await endpoint.open(5)
                peer, _ = listener.accept()
                with peer:
                    return await work(endpoint, peer)

    return asyncio.run(done())


def test_many_ports_that_wait_for_the_guests_answers_share_them(tmp_path: Path) -> None:
    guest = SlowGuest(late=10**6, pace=0.001)

    async def main(endpoint: Endpoint, _: socket.socket) -> None:
        still = Standstill(guest.agent, LIMITS)
        ends = ("/dev/ttyS0", endpoint)
        await asyncio.gather(*(still.drained(ends, 100, 5.0) for _ in range(200)))

    with_endpoint(main, tmp_path)
    assert STANDSTILL <= guest.answers <= 3 * STANDSTILL


def test_what_a_slow_guest_receives_late_is_not_lost() -> None:
    guest = SlowGuest(late=STANDSTILL - 1)
    assert asyncio.run(counted(guest, 100)) == 100


def test_a_guest_that_answers_and_receives_nothing_is_not_waited_for() -> None:
    guest = SlowGuest(late=1000)
    assert asyncio.run(counted(guest, 100)) == 0
    assert guest.answers <= STANDSTILL + 2


def test_a_quick_guest_still_has_its_time() -> None:
    guest = SlowGuest(late=12, pace=0.001)
    # Much longer than its answers take also where this host is busy.
    assert asyncio.run(counted(guest, 100, idle=2.0)) == 100


@pytest.mark.parametrize(("late", "came"), [(STANDSTILL - 1, True), (1000, False)])
def test_what_a_slow_guest_sends_late_is_drained(tmp_path: Path, late: int, came: bool) -> None:
    async def work(endpoint: Endpoint, peer: socket.socket) -> int:
        guest = SlowGuest(late, then=lambda: peer.sendall(b"x" * 64))
        ends = ("/dev/ttyS0", endpoint)
        await Standstill(guest.agent, LIMITS).drained(ends, 64, 5.0)
        return endpoint.count

    assert with_endpoint(work, tmp_path) == (64 if came else 0)


@pytest.mark.parametrize(("late", "given_up"), [(STANDSTILL - 1, False), (1000, True)])
def test_sending_is_given_up_when_the_guest_runs_and_nothing_moves(
    tmp_path: Path, late: int, given_up: bool
) -> None:
    async def work(endpoint: Endpoint, _peer: socket.socket) -> bool:
        def moves() -> None:
            endpoint.moved += 1
            asyncio.get_running_loop().call_later(LIMITS.stall, watch.cancel)

        guest, still = SlowGuest(late, then=moves), asyncio.Event()
        standstill = Standstill(guest.agent, LIMITS)
        watch = asyncio.ensure_future(standstill.watch([("/dev/ttyS0", endpoint)], still))
        await asyncio.gather(watch, return_exceptions=True)
        return still.is_set()

    assert with_endpoint(work, tmp_path) is given_up


def test_sending_to_a_guest_that_is_lost_is_given_up(tmp_path: Path) -> None:
    async def work(endpoint: Endpoint, _peer: socket.socket) -> bool:
        def lost() -> None:
            raise LostVMError("it hangs", hint="")

        guest, still = SlowGuest(1, then=lost), asyncio.Event()
        await Standstill(guest.agent, LIMITS).watch([("/dev/ttyS0", endpoint)], still)
        return still.is_set()

    assert with_endpoint(work, tmp_path)


def test_a_guest_without_time_for_answers_is_not_given_up_while_bytes_move(
    tmp_path: Path,
) -> None:
    async def work(endpoint: Endpoint, _peer: socket.socket) -> tuple[bool, int]:
        silent = 0

        def busy() -> None:
            nonlocal silent
            silent += 1
            guest.answers, endpoint.moved = 0, endpoint.moved + 1
            if silent == 3:
                watch.cancel()
            raise LostVMError("it is busy", hint="")

        guest, still = SlowGuest(1, then=busy), asyncio.Event()
        standstill = Standstill(guest.agent, LIMITS)
        watch = asyncio.ensure_future(standstill.watch([("/dev/ttyS0", endpoint)], still))
        await asyncio.gather(watch, return_exceptions=True)
        return still.is_set(), silent

    assert with_endpoint(work, tmp_path) == (False, 3)


def test_the_end_of_a_transfer_is_one_that_the_guest_has_seen() -> None:
    guest = SlowGuest(1)
    asyncio.run(Standstill(guest.agent, LIMITS).settled("/dev/ttyS0"))
    assert guest.answers


def test_what_looks_damaged_is_looked_at_when_all_of_it_has_come(tmp_path: Path) -> None:
    async def work(endpoint: Endpoint, peer: socket.socket) -> int:
        guest = SlowGuest(STANDSTILL - 1, then=lambda: peer.sendall(b"x" * 64))
        await Standstill(guest.agent, LIMITS).quiet([("/dev/ttyS0", endpoint)])
        return endpoint.count

    assert with_endpoint(work, tmp_path) == 64


def test_a_port_that_never_becomes_silent_is_left(tmp_path: Path) -> None:
    async def work(endpoint: Endpoint, peer: socket.socket) -> int:
        guest = SlowGuest(1000, pace=0.0)
        real = guest.count

        async def talks(path: str) -> int:
            peer.sendall(b"a driver has something to say")
            return await real(path)

        guest.count = talks  # type: ignore[method-assign]
        await Standstill(guest.agent, LIMITS).quiet([("/dev/ttyS0", endpoint)])
        return guest.answers

    assert with_endpoint(work, tmp_path) <= 3 * STANDSTILL + 1


# ------------------------------------------------------------------ nodes

HERE = NodeIdentity("virtio", "vmserial.serial1")
NODE = Node(HERE, "/dev/vport1p1", "vport1p1", 1.0)


class SlowLooks(GuestAgent):
    """A guest that looks for its nodes a few times in each bound, and has one late.

    Args:
        each: looks in a bound.
        late: bounds that pass before the node is there.
    """

    def __init__(self, each: int, late: int) -> None:
        self.looks = 0
        self.each = each
        self.late = late

    async def appearing(
        self, identities: Iterable[NodeIdentity], timeout: float
    ) -> AsyncIterator[Node]:
        """Show the node, or say after the bound that it is not there."""
        assert list(identities) == [HERE]
        if self.late:
            await asyncio.sleep(timeout)
            self.looks += self.each
            self.late -= 1
            raise ShellError("no node", hint="")
        yield NODE


async def shown(agent: GuestAgent, timeout: float) -> list[Node]:
    return [node async for node in agent.shown([HERE], timeout)]


def test_a_node_that_a_slow_guest_shows_late_is_not_missing() -> None:
    assert asyncio.run(shown(SlowLooks(each=0, late=2), 0.1)) == [NODE]


@pytest.mark.parametrize("each", [1, 0])
def test_a_node_that_never_comes_is_not_waited_for_without_an_end(each: int) -> None:
    agent = SlowLooks(each, late=100)
    with pytest.raises(ShellError):
        asyncio.run(shown(agent, 0.1))
    assert 100 - agent.late == (1 if each else 3)
