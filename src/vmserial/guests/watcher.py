"""Which serial nodes a guest has, watched: what comes, what goes, and which port it is.

The guest's side is ``vs_scan`` and ``vs_watch`` of ``farend.sh``: a background
process that looks when it is asked to and, as long as somebody waits, whenever
the kernel sent a uevent.  Its events come over the control channel at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import TypeVar

from vmserial.errors import LostVMError, ShellError
from vmserial.guests.channel import Countdown
from vmserial.guests.nodes import Node
from vmserial.guests.nodetable import NodeTable
from vmserial.guests.shell import Shell
from vmserial.model import NodeIdentity

T = TypeVar("T")

# Ticks (of 10 ms) for which the guest goes on unasked; somebody who waits asks again and again.
# What is watched for nobody costs others their time.
_LEASE = 10
# Seconds for what a living guest answers at once, put off by what it has to wait for a processor;
# unless more is allowed: a malta whose two UARTs take 64 KiB byte for byte had no answer in 20 s.
GRACE = 20.0


class Watcher:
    """The nodes of a guest, and what its functions answer.

    Attributes:
        present: the nodes that the guest had when it was last looked at, by identity.
        looks: how often it has looked; of a guest that waits for a processor, seldom.
        grace: seconds for what a living guest answers at once.
    """

    def __init__(self, shell: Shell, grace: float = GRACE) -> None:
        self.looks = 0
        self.grace = grace
        self._shell = shell
        self._count = 0
        self._heard = 0
        self._answers: dict[str, asyncio.Future[list[str]]] = {}
        self._waiters: set[asyncio.Future[None]] = set()
        self._table = NodeTable(self._wake)
        self._watch: asyncio.Task[None] | None = None
        self.present = self._table.present

    # -------------------------------------------------------------- events

    def _event(self, text: str) -> None:
        # What noise on a console cut in two is no event.
        with contextlib.suppress(ValueError):
            self._take(text)

    def _take(self, text: str) -> None:
        kind, _, rest = text.partition(" ")
        fields = rest.split(" ")
        if self._table.take(kind, rest):
            self._heard += 1
            return
        if kind in ("p", "o", "q", "z"):
            self._answer(f"{kind} {fields[0]}", fields[1:])
        elif kind in ("s", "r", "k") and len(fields) > 1:
            self._answer(f"{kind} {fields[0]} {fields[1]}", fields[2:])

    def _answer(self, key: str, fields: list[str]) -> None:
        future = self._answers.pop(key, None)
        if future is not None and not future.done():
            future.set_result(fields)

    def _wake(self) -> None:
        for future in self._waiters:
            if not future.done():
                future.set_result(None)
        self._waiters.clear()

    def _expect(self, key: str) -> asyncio.Future[list[str]]:
        future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._answers[key] = future
        return future

    async def _ask(self, line: str, key: str, timeout: float) -> list[str]:
        """Send a line and wait for the event that answers it."""
        future = self._expect(key)
        try:
            await self._shell.post(line)
            return await self._shell.wait(future, timeout)
        finally:
            self._answers.pop(key, None)

    async def _ask_now(self, line: str, key: str, what: str) -> list[str]:
        """Ask for what a living guest answers at once."""
        try:
            return await self._ask(line, key, self.grace)
        except TimeoutError:
            raise self._silent(what) from None

    def _silent(self, what: str) -> LostVMError:
        return LostVMError(
            f"the guest did not {what} within {self.grace:g} s",
            hint="it hangs or is overloaded; see its console",
        )

    def _number(self) -> int:
        self._count += 1
        return self._count

    # -------------------------------------------------------------- nodes

    async def _look(self, ticks: int) -> None:
        """Have the guest look for nodes now, and then for so many ticks when they change."""
        number = self._number()
        done = self._expect(f"z {number}")
        await self._shell.post(f"vs_look {number} {ticks}")
        heard = -1
        while heard != self._heard and not done.done():
            # One that has hundreds of them takes its time, and tells them meanwhile.
            heard = self._heard
            with contextlib.suppress(TimeoutError):
                await self._shell.wait(asyncio.shield(done), self.grace)
        if not done.done():
            self._answers.pop(f"z {number}", None)
            raise self._silent("look for its nodes")
        self.looks += 1
        self._table.hvc.looked()
        if self._table.unsure:
            await self._probe()

    async def _probe(self) -> None:
        """Find the hvc of consoles that the kernel's rule does not tell."""
        names, self._table.dead = list(self._table.unsure), {}
        await self._shell.run(f"vs_probe {' '.join(names)}", self.grace)
        self._table.bury(names)

    async def _keep_watching(self) -> None:
        # A look that is asked for while the watcher watches is done when it has finished,
        # so this is one long watch.
        try:
            while self._waiters:
                await self._look(_LEASE)
        except LostVMError as error:
            for future in self._waiters:
                if not future.done():
                    future.set_exception(error)

    async def _until(
        self, found: Callable[[], T | None], timeout: float, *, look: bool = True
    ) -> T:
        """Wait until ``found`` returns something; TimeoutError at the bound.

        Looks first (what is known may be old), unless it is told not to.
        """
        async with self._shell.patient(timeout):
            if look and (self._watch is None or self._watch.done()):
                await self._look(0)
            while (result := found()) is None:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.add(future)
                if self._watch is None or self._watch.done():
                    self._watch = asyncio.create_task(self._keep_watching(), name="node watcher")
                try:
                    await self._shell.come(future)
                finally:
                    self._waiters.discard(future)
            return result

    async def nodes(self) -> dict[NodeIdentity, Node]:
        """Look at all serial nodes of the guest, now.

        Raises:
            LostVMError: no answer.
        """
        await self._look(0)
        return dict(self.present)

    async def node(self, identity: NodeIdentity, timeout: float) -> Node:
        """Wait until the guest shows a port, and return its node.

        After an unplug wait for :meth:`gone` before plugging the same identity
        again; otherwise the old node may be taken for the new one.

        Raises:
            ShellError: it did not appear within ``timeout`` seconds.
            LostVMError: the guest does not answer.
        """
        await self._first([identity], timeout, timeout)
        return self.present[identity]

    async def appearing(
        self, identities: Iterable[NodeIdentity], timeout: float
    ) -> AsyncIterator[Node]:
        """Yield the node of each identity, each as soon as the guest shows it.

        Raises:
            ShellError: some did not appear within ``timeout`` seconds; it names them.
            LostVMError: the guest does not answer.
        """
        missing = dict.fromkeys(identities)
        left = Countdown(timeout)
        look = True
        while missing:
            identity = await self._first(missing, left(), timeout, look=look)
            # One look serves all that it found.
            look = False
            del missing[identity]
            yield self.present[identity]

    async def _first(
        self,
        identities: Collection[NodeIdentity],
        left: float,
        timeout: float,
        *,
        look: bool = True,
    ) -> NodeIdentity:
        try:
            return await self._until(
                lambda: next((i for i in identities if i in self.present), None), left, look=look
            )
        except TimeoutError:
            names = ", ".join(str(identity) for identity in identities)
            buried = self._table.dead
            dead = [buried[identity] for identity in identities if identity in buried]
            raise ShellError(
                f"the guest shows no node for {names} within {timeout:g} s",
                hint=f"its kernel gave no hvc of its own to {', '.join(dead)}; up to Linux 6.1 "
                "that happens to virtconsoles on several controllers: put them on one"
                if dead
                else "see the guest's kernel messages: a driver may be missing, "
                "or the number of its ports bounded",
            ) from None

    async def gone(self, identity: NodeIdentity, timeout: float) -> float | None:
        """Wait until the guest no longer has a port.

        Returns:
            The guest's uptime when it went, in seconds; None if it was not there.

        Raises:
            ShellError: it is still there after ``timeout`` seconds.
            LostVMError: the guest does not answer.
        """
        self._table.left.pop(identity, None)
        try:
            await self._until(lambda: None if identity in self.present else True, timeout)
        except TimeoutError:
            raise ShellError(
                f"the guest still has {identity} after {timeout:g} s",
                hint="see the guest's kernel messages",
            ) from None
        return self._table.left.get(identity)
