"""QMP: commands with a bound, and events that cannot be missed.

A thin layer over ``qemu.qmp`` (imported late: most verbs never talk to a VM).
It adds what that library leaves open: every command has a time bound, a lost
connection is one error (:class:`LostVMError`), events are handed to whoever
subscribed *before* the command that causes them, and nothing is kept of events
that nobody asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vmserial.errors import LostVMError, MonitorError

if TYPE_CHECKING:
    from qemu.qmp import QMPClient
    from qemu.qmp.message import Message

COMMAND_BOUND = 30.0
"""Seconds that QEMU may take for one command before it counts as hung."""

_CLOSE_BOUND = 2.0

_EVENTS_KEPT = 4096
"""Events that one expectation keeps before the oldest are dropped."""

Event = Mapping[str, Any]
"""One QMP event: ``event``, ``data`` (may be absent), ``timestamp``."""


class Expectation:
    """Events that are being collected, from :meth:`Monitor.expect`."""

    def __init__(
        self, names: frozenset[str], match: Callable[[Mapping[str, Any]], bool] | None, what: str
    ) -> None:
        self._names = names
        self._match = match
        self._what = what
        self._events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._news = asyncio.Event()
        self._lost: LostVMError | None = None

    def _take(self, event: Event) -> None:
        if event["event"] in self._names and (
            self._match is None or self._match(event.get("data") or {})
        ):
            self._events.append(event)
            self._news.set()

    def _end(self, reason: LostVMError) -> None:
        self._lost = reason
        self._news.set()

    async def next(self, timeout: float) -> Event:
        """Return the next event, whole; it may have come before this call.

        Args:
            timeout: seconds to wait for it.

        Raises:
            MonitorError: it did not come in time.
            LostVMError: the connection ended first.
        """
        try:
            async with asyncio.timeout(timeout):
                while not self._events:
                    if self._lost is not None:
                        raise self._lost
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise MonitorError(
                f"no {self._what} within {timeout:g} s",
                command=" or ".join(sorted(self._names)),
                error_class="Timeout",
                hint="the guest did not answer; is its driver loaded and is it still running?",
            ) from None
        return self._events.popleft()

    async def wait(self, timeout: float) -> Mapping[str, Any]:
        """Return the ``data`` of the next event; errors as :meth:`next`."""
        data: Mapping[str, Any] = (await self.next(timeout)).get("data") or {}
        return data


class Monitor:
    """One QMP session.

    Attributes:
        closed: set, once the session has ended, to the reason.
    """

    def __init__(self) -> None:
        self._client: QMPClient | None = None
        self._handlers: list[Callable[[Event], None]] = []
        self._expectations: list[Expectation] = []
        self._watcher: asyncio.Task[None] | None = None
        self.closed: asyncio.Future[LostVMError] = asyncio.get_running_loop().create_future()

    async def connect(self, sock: socket.socket) -> None:
        """Take over a connected socket, read the greeting, negotiate.

        Raises:
            LostVMError: the other side closed it, or does not speak QMP.
        """
        from qemu.qmp import EventListener, QMPClient, QMPError, Runstate

        # Without a handler of its own its warnings would reach stderr by logging's last resort.
        logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())
        monitor = self

        class Dispatch(EventListener):
            """Hands each event on at once and keeps none."""

            def accept(self, event: Message) -> bool:
                monitor._dispatch(event)
                return False

        client = QMPClient("vmserial")
        # The library's own listener would keep every event for ever.
        client.events.event_filter = lambda _event: False
        client.register_listener(Dispatch())
        try:
            await client.connect(sock)
        except (QMPError, OSError, EOFError) as error:
            raise LostVMError(
                f"QEMU's monitor did not answer: {error}", hint="see QEMU's own messages"
            ) from None
        self._client = client

        async def watch() -> None:
            while client.runstate == Runstate.RUNNING:
                await client.runstate_changed()
            with contextlib.suppress(QMPError, OSError, EOFError):
                await client.disconnect()
            self._end(LostVMError("QEMU closed its monitor", hint="it ended; see its messages"))

        self._watcher = asyncio.create_task(watch())

    def _dispatch(self, event: Event) -> None:
        for handler in (*self._handlers, *(one._take for one in self._expectations)):
            handler(event)

    def _end(self, reason: LostVMError) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        for one in self._expectations:
            one._end(reason)

    @property
    def connected(self) -> bool:
        """Whether commands can be run."""
        return self._client is not None and not self.closed.done()

    @property
    def version(self) -> tuple[int, int, int]:
        """QEMU's version from its greeting; zeroes before :meth:`connect`."""
        if self._client is None or self._client.greeting is None:
            return (0, 0, 0)
        qemu: Any = self._client.greeting.QMP.version["qemu"]
        return (int(qemu["major"]), int(qemu["minor"]), int(qemu["micro"]))

    def subscribe(self, handler: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``handler`` with every event from now on; return what ends that.

        It is called inside the event loop and must neither block nor raise.
        """
        self._handlers.append(handler)

        def unsubscribe() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return unsubscribe

    @contextlib.contextmanager
    def expect(
        self,
        names: str | Iterable[str],
        match: Callable[[Mapping[str, Any]], bool] | None = None,
        what: str = "",
    ) -> Iterator[Expectation]:
        """Collect events from here on, so that none is missed between command and wait.

        Args:
            names: one or more event names.
            match: which of them count, judged by their ``data``.
            what: words for the error; the names if empty.
        """
        wanted = frozenset((names,) if isinstance(names, str) else names)
        one = Expectation(wanted, match, what or " or ".join(sorted(wanted)))
        if self.closed.done():
            one._end(self.closed.result())
        self._expectations.append(one)
        try:
            yield one
        finally:
            self._expectations.remove(one)

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        within: float = COMMAND_BOUND,
        **more: Any,
    ) -> Any:
        """Run one QMP command and return its ``return`` value.

        Args:
            command: its name.
            arguments: its arguments; needed for names with a dash.
            within: seconds that QEMU may take.
            more: further arguments by keyword.

        Raises:
            MonitorError: QEMU refused it.
            LostVMError: QEMU ended, or did not answer in time.
        """
        from qemu.qmp import ExecuteError, QMPError

        if self.closed.done():
            raise self.closed.result()
        if self._client is None:
            raise LostVMError("the monitor is not connected", hint="start the VM first")
        everything = {**(arguments or {}), **more}
        try:
            async with asyncio.timeout(within):
                return await self._client.execute(command, everything or None)
        except TimeoutError:
            raise LostVMError(
                f"QEMU did not answer {command} within {within:g} s",
                where=command,
                hint="QEMU hangs, for example in a serial port whose client does not read",
            ) from None
        except ExecuteError as error:
            raise MonitorError(
                str(error),
                command=command,
                error_class=error.error_class,
                hint="QEMU's own words; see the arguments of the command",
            ) from None
        except (QMPError, OSError, EOFError) as error:
            raise LostVMError(
                f"QEMU's monitor was lost during {command}: {error}",
                where=command,
                hint="QEMU ended; see its messages",
            ) from None

    async def command_line(self, text: str, *, within: float = COMMAND_BOUND) -> str:
        """Run a command of the human monitor and return its text; errors as :meth:`execute`."""
        answer = await self.execute("human-monitor-command", {"command-line": text}, within=within)
        return str(answer)

    async def close(self) -> None:
        """End the session; never raises, takes at most a few seconds."""
        if self._watcher is not None and self._client is not None:
            from qemu.qmp import QMPError, Runstate

            if self._client.runstate == Runstate.RUNNING:
                self._watcher.cancel()
                with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
                    async with asyncio.timeout(_CLOSE_BOUND):
                        await self._client.disconnect()
            # Otherwise the watcher is disconnecting it; that must not be done by two.
            await asyncio.wait({self._watcher}, timeout=_CLOSE_BOUND)
            self._watcher = None
        self._end(LostVMError("the monitor was closed", hint="the VM is being ended"))
