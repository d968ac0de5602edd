"""A login on whichever port asks for it: two ports whose guests are shells of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest
from local_shell import on_pty
from plans import machine, planned
from test_guests_login import getty

from vmserial import chardevs
from vmserial.errors import LostVMError
from vmserial.guests.login import Login
from vmserial.guests.nodes import Node
from vmserial.model.carries import ALL_BYTES
from vmserial.progress import Silent
from vmserial.verify.entrance import Entrance
from vmserial.verify.hostends import HostEnds
from vmserial.verify.request import Limits
from vmserial.verify.results import FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.subject import BOTH
from vmserial.verify.wire import console
from vmserial.verify.wire.form import Stream
from vmserial.verify.wire.transfer import Line, Transfer

SILENT = ["sleep", "600"]
LIMITS = Limits(boot=8.0, command=8.0)


@contextlib.asynccontextmanager
async def guest(path: str, words: Sequence[str]) -> AsyncIterator[None]:
    """Have a program on a pty at the other end of a port's socket, as QEMU has a guest there."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)

    async with on_pty(list(words)) as (up, down):
        tasks: list[asyncio.Task[None]] = []
        clients: list[asyncio.StreamWriter] = []

        def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            clients.append(writer)
            for task in tasks:
                task.cancel()
            tasks[:] = [asyncio.create_task(copy(up, writer)),
                        asyncio.create_task(copy(reader, down))]  # fmt: skip

        server = await asyncio.start_unix_server(client, path)
        try:
            yield
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in clients:
                writer.transport.abort()
            await server.wait_closed()
            # The transports close in the loop's next rounds.
            for _ in range(3):
                await asyncio.sleep(0)


def entered(
    tmp_path: Path, first: Sequence[str], second: Sequence[str], given_up: float = 0.0
) -> str:
    """Log in with serial0 and serial1 so occupied; return what the guest's shell says of itself.

    With ``given_up`` it is cancelled after so many seconds, and what is left of it is returned.
    """

    async def main() -> str:
        paths = [str(tmp_path / f"serial{number}") for number in range(2)]
        lines = {
            one.port.name: Line(
                replace(one, port=replace(one.port, chardev=chardevs.parse(f"socket={path}")))
            )
            for one, path in zip(planned(ports=2, kind="usb").assignments, paths, strict=True)
        }
        async with contextlib.AsyncExitStack() as stack:
            for path, words in zip(paths, (first, second), strict=True):
                await stack.enter_async_context(guest(path, words))
            ends = HostEnds(machine(), lines, 8, stack)
            places = {f"serial{number}": "" for number in range(2)}
            await ends.connect(lines["serial1"], places)
            entrance = Entrance(
                lines, ends, stack, places, LIMITS, Silent(),
                lambda _: pytest.fail("nothing is sent in band"), lambda: None,
            )  # fmt: skip
            first_end = await console.connect(lines["serial0"], places)
            stack.callback(first_end.close)
            way = asyncio.create_task(entrance._log_in(first_end, Login("root", "right")))
            if given_up:
                await asyncio.sleep(given_up)
                way.cancel()
                await asyncio.gather(way, return_exceptions=True)
                names = [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]
                return " ".join(name for name in names if name in ("_on", "_elsewhere"))
            found = await way
            shell = found.shell()
            await shell.ready(20)
            said = await shell.run("echo $((6 * 7))")
            await shell.close()
            found.close()
            assert ends.attended(lines["serial0"]) is (found.line.name != "serial0")
            return f"{found.line.name} {said.strip()}"

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmserial.verify.entrance._GRACE", 2.0)


def test_serial0_is_taken_where_both_ask(tmp_path: Path) -> None:
    assert entered(tmp_path, getty(delay=1), getty()) == "serial0 42"


def test_another_port_is_taken_where_serial0_does_not_ask(tmp_path: Path) -> None:
    assert entered(tmp_path, SILENT, getty()) == "serial1 42"


def test_no_prompt_anywhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(LostVMError, match="serial0 gave no login prompt within 8 s"):
        entered(tmp_path, SILENT, SILENT)


def test_of_a_login_that_is_given_up_nothing_goes_on(tmp_path: Path) -> None:
    assert entered(tmp_path, SILENT, SILENT, given_up=0.5) == ""


def test_a_shell_without_a_processor_is_waited_for_on_the_console_and_after_its_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmserial.guests.patience._LOOK", 0.02)
    limits, path = Limits(boot=1.0, command=20.0), str(tmp_path / "serial0")
    # Its shell comes long after the bound of a guest that has all it needs.
    slow = ["sh", "-c", "sleep 2; exec sh"]
    (one,) = planned(ports=1).assignments
    line = Line(replace(one, port=replace(one.port, chardev=chardevs.parse(f"socket={path}"))))

    async def enter(starved: Callable[[], float]) -> Entrance:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(guest(path, slow))
            ends = HostEnds(machine(), {"serial0": line}, 8, stack)
            out, into = (Stream(1, 0, way, 7, (16,), ALL_BYTES.to_host) for way in BOTH)
            entrance = Entrance(
                {"serial0": line}, ends, stack, {"serial0": ""}, limits, Silent(),
                lambda line: Transfer(line, out, into), lambda: None, starved,
            )  # fmt: skip
            control = asyncio.StreamReader(), cast(asyncio.StreamWriter, None)
            shell = await entrance.enter(None, *control)
            assert shell.starved is starved
            await shell.close()
            return entrance

    entrance = asyncio.run(enter(time.monotonic))
    assert [outcome.verdict for outcome in entrance.outcomes] == [Verdict.PASS] * 2
    with pytest.raises(LostVMError, match="no shell answered within 1 s"):
        asyncio.run(enter(lambda: 0.0))


@pytest.mark.parametrize(("image", "wrong"), [(Path("disk"), False), (None, True)])
def test_which_hvc_a_virtconsole_is_only_root_can_tell(image: Path | None, wrong: bool) -> None:
    """In a test guest, whose shell is root's, the same node is another device than planned."""
    made = planned(ports=2, kind="virtconsole")
    line = Line(made.assignments[1])
    said: list[str] = []

    class Opened:
        environment = SimpleNamespace(guest=SimpleNamespace(image=image))
        seconds: ClassVar[dict[str, float]] = {}
        seen_nodes: ClassVar[dict[str, str]] = {}
        limits = LIMITS
        agent = SimpleNamespace(open=lambda *_, **__: asyncio.sleep(0))

        def since(self) -> float:
            return 0.0

        def wrong_node(self, _line: Line, path: str) -> None:
            said.append(path)

        async def _held(self, *_: object) -> bool:
            return False

    node = Node(line.assignment.identity, "/dev/vport1p1", "vport1p1", 0.0)
    opened = asyncio.run(Session.opens(cast(Session, Opened()), line, node))
    assert opened is wrong
    assert bool(said) is wrong
    assert [fault.kind for fault in line.trouble] == ([] if wrong else [FaultKind.HELD])
