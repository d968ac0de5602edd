"""The far end's shell functions, run by real shells of this machine on ptys as ports."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pty
import re
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from local_shell import SHELLS, Stream, close, fd_stream, on_pty, over_socket, pause

from vmserial.errors import LostVMError, ShellError
from vmserial.guests import farend
from vmserial.guests.farend import FarEnd
from vmserial.guests.shell import Shell
from vmserial.model import NodeIdentity

each_shell = pytest.mark.parametrize("words", SHELLS, ids=" ".join)
Scenario = Callable[[FarEnd, Shell], Awaitable[None]]


def run(words: list[str], scenario: Scenario, *, on_tty: bool = False) -> None:
    async def main() -> None:
        async with (on_pty if on_tty else over_socket)(words) as stream:
            shell = Shell(*stream)
            try:
                await shell.ready(20)
                async with FarEnd(shell) as far:
                    await scenario(far, shell)
            finally:
                await shell.close()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def ports(count: int) -> AsyncIterator[dict[str, Stream]]:
    """Yield the host sides of so many ports, by the nodes that the far end opens."""
    made: dict[str, Stream] = {}
    slaves = []
    for _ in range(count):
        master, slave = pty.openpty()
        # As another user would leave it: the far end must make it raw itself.
        tty.setcbreak(slave)
        slaves.append(slave)
        made[os.ttyname(slave)] = await fd_stream(master)
    try:
        yield made
    finally:
        for stream in made.values():
            await close(stream)
        for slave in slaves:
            os.close(slave)


@each_shell
@pytest.mark.parametrize("on_tty", [False, True], ids=["raw", "tty"])
def test_all_ports_at_once_both_ways(words: list[str], on_tty: bool) -> None:
    async def scenario(far: FarEnd, _: Shell) -> None:
        async with ports(4) as hosts:
            await far.open(*hosts)
            await asyncio.gather(*(exchange(far, path, hosts[path], 9000) for path in hosts))
            await asyncio.gather(*(far.receive_begin(path) for path in hosts))
            await asyncio.gather(*(exchange(far, path, hosts[path], 300) for path in hosts))

    async def exchange(far: FarEnd, path: str, host: Stream, size: int) -> None:
        down, up = bytes(range(256)) + os.urandom(size), os.urandom(size) + bytes(range(256))
        file = await far.put("out-" + path.replace("/", "-"), up)
        host[1].write(down)
        got, sent, received = await asyncio.gather(
            asyncio.wait_for(host[0].readexactly(len(up)), 20),
            far.send(path, file, 20),
            far.received(path, len(down), 20),
        )
        assert got == up
        assert sent.end >= sent.start
        assert (received.size, received.sha256) == (len(down), hashlib.sha256(down).hexdigest())
        assert await far.fetch(path) == down

    run(words, scenario, on_tty=on_tty)


@each_shell
def test_of_one_file_each_port_sends_its_part(words: list[str]) -> None:
    async def scenario(far: FarEnd, _: Shell) -> None:
        async with ports(2) as hosts:
            await far.open(*hosts)
            parts = [os.urandom(3000), os.urandom(3000)]
            file = await far.put("both", b"".join(parts), checked=False)
            for number, path in enumerate(hosts):
                await far.send(path, file, 20, part=(3000, number))
                came = await asyncio.wait_for(hosts[path][0].readexactly(3000), 20)
                assert came == parts[number]

    run(words, scenario)


@each_shell
def test_too_little_too_much_and_to_whom(words: list[str]) -> None:
    async def scenario(far: FarEnd, _: Shell) -> None:
        async with ports(2) as hosts:
            one, two = hosts
            await far.open(one, two)
            hosts[one][1].write(b"12345")
            enough = await far.received(one, 5, 10)
            assert (enough.size, enough.sha256) == (5, hashlib.sha256(b"12345").hexdigest())
            short = await far.received(one, 9, 0.2)
            assert (short.size, short.sha256) == (5, enough.sha256)
            hosts[one][1].write(b"678")
            more = await far.received(one, 6, 10)
            assert more.size == 8
            assert more.sha256 == hashlib.sha256(b"12345678").hexdigest()
            assert (await far.count(one), await far.count(two)) == (8, 0)
            await far.receive_begin(one)
            assert await far.count(one) == 0
            hosts[one][1].write(b"9")
            assert (await far.received(one, 1, 10)).sha256 == hashlib.sha256(b"9").hexdigest()
            assert await far.fetch(one) == b"9"

    run(words, scenario)


@each_shell
def test_a_port_that_takes_nothing_is_given_up_and_goes_on_living(words: list[str]) -> None:
    async def scenario(far: FarEnd, _: Shell) -> None:
        async with ports(1) as hosts:
            (path,) = hosts
            pause(hosts[path])
            await far.open(path)
            file = await far.put("much", bytes(300000))
            with pytest.raises(ShellError, match="did not take"):
                await far.send(path, file, 0.3)
            hosts[path][1].write(b"x")
            assert (await far.received(path, 1, 10)).size == 1

    run(words, scenario)


@each_shell
def test_what_cannot_be_opened_is_named_and_the_rest_is_let_go(words: list[str]) -> None:
    async def scenario(far: FarEnd, shell: Shell) -> None:
        async with ports(1) as hosts:
            (path,) = hosts
            with pytest.raises(ShellError, match=r"/dev/no such node: no such device"):
                await far.open(path, "/dev/no such node")
            await far.open(path)
            with pytest.raises(ShellError, match="open already"):
                await far.open(path)
            await far.close(path, "/dev/never-opened")
            for work in (far.count(path), far.send(path, "x", 1), far.fetch(path), far.stop(path)):
                with pytest.raises(ShellError, match="not open"):
                    await work
            with pytest.raises(ShellError, match="plain file name"):
                await far.put("../x", b"")
            await far.open(path)
            with pytest.raises(ShellError, match="failed"):
                await far.send(path, "/nonexistent/file", 10)
            assert await shell.run("echo alive") == "alive\n"

    run(words, scenario)


@each_shell
def test_nothing_is_left_behind(words: list[str]) -> None:
    left: list[str] = []

    async def scenario(far: FarEnd, shell: Shell) -> None:
        async with ports(2) as hosts:
            await far.open(*hosts)
            path = next(iter(hosts))
            pause(hosts[path])
            file = await far.put("much", bytes(300000))
            sending = asyncio.create_task(far.send(path, file, 30))
            await asyncio.sleep(0.1)
            left.append((await shell.run("echo $vs_d")).strip())
            left.append((await shell.run("echo $$")).strip())
            await far.end()
            with pytest.raises(ShellError):
                await sending
            assert not os.path.lexists(left[0])
            # All processes that it started are children of the shell.
            children = await shell.run(f"ps -o ppid= -o args= | grep '^ *{left[1]} ' || :")
            assert "cat" not in children

    run(words, scenario)


@each_shell
def test_a_stream_that_ends_takes_everything_with_it(words: list[str]) -> None:
    async def main() -> None:
        async with over_socket(words) as stream, ports(2) as hosts:
            shell = Shell(*stream)
            await shell.ready(20)
            far = FarEnd(shell)
            await far.start()
            await far.open(*hosts)
            directory = (await shell.run("echo $vs_d")).strip()
            pids = (await shell.run("echo $vs_watcher $$")).split()
            pids += [str(agent.pid) for agent in far._agents.values()]
            stream[1].write_eof()
            for _ in range(100):
                await asyncio.sleep(0.05)
                alive = [pid for pid in pids if is_running(pid)]
                if not alive and not os.path.lexists(directory):
                    break
            assert not alive
            assert not os.path.lexists(directory)
            await shell.close()

    asyncio.run(main())


def is_running(pid: str) -> bool:
    """Tell whether there is such a process that has not ended (a zombie has)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def test_a_shell_that_dies_is_not_waited_for() -> None:
    async def scenario(far: FarEnd, shell: Shell) -> None:
        async with ports(1) as hosts:
            (path,) = hosts
            await far.open(path)
            waits = [
                asyncio.create_task(far.received(path, 5, 60)),
                asyncio.create_task(far.node(NodeIdentity("usb", "never"), 60)),
            ]
            await asyncio.sleep(0.2)
            with pytest.raises(LostVMError):
                await shell.run("kill -9 $$", 1)
            for wait in waits:
                with pytest.raises(LostVMError):
                    await asyncio.wait_for(wait, 15)

    run(["sh"], scenario)


def test_nodes_that_never_come_or_never_go_are_named() -> None:
    async def scenario(far: FarEnd, _: Shell) -> None:
        missing = [NodeIdentity("usb", "never"), NodeIdentity("pci", "1d.0#0")]
        appearing = aiter(far.appearing(missing, 0.2))
        with pytest.raises(ShellError, match=r"usb:never, pci:1d\.0#0 within 0\.2 s") as caught:
            await anext(appearing)
        assert caught.value.hint
        assert await far.gone(missing[0], 1) is None

    run(["sh"], scenario)


# ------------------------------------------------------------------ events, played


class PlayedShell:
    """What a watcher needs of a shell: it answers each look with a script's next events."""

    def __init__(self, *looks: list[str]) -> None:
        self.looks = list(looks)
        self.sent: list[str] = []
        self.hear: Callable[[str], None] = lambda _: None

    def subscribe(self, hear: Callable[[str], None]) -> Callable[[], None]:
        self.hear = hear
        return lambda: None

    async def run(self, command: str, timeout: float) -> str:
        del timeout
        self.sent.append(command)
        if command.startswith("vs_probe"):
            for event in self.looks.pop(0):
                self.hear(event)
        return "/tmp/vmserial.1\n"

    async def post(self, command: str) -> None:
        self.sent.append(command)
        match = re.fullmatch(r"vs_look (\d+) (\d+)", command)
        assert match is not None
        # The guest watches for so many ticks before it takes the next order.
        await asyncio.sleep(int(match.group(2)) * 0.001)
        for event in self.looks.pop(0) if self.looks else []:
            self.hear(event)
        self.hear(f"z {match.group(1)}")

    async def wait(self, future: asyncio.Future[object], timeout: float) -> object:
        async with self.patient(timeout):
            return await self.come(future)

    def patient(self, timeout: float) -> asyncio.Timeout:
        return asyncio.timeout(timeout)

    async def come(self, future: asyncio.Future[object]) -> object:
        return await future


async def played(*looks: list[str]) -> tuple[FarEnd, PlayedShell]:
    shell = PlayedShell(*looks)
    far = FarEnd(shell)  # type: ignore[arg-type]
    await far.start()
    return far, shell


def test_consoles_of_one_controller_need_no_probe() -> None:
    async def scenario() -> None:
        far, shell = await played(
            [
                "c vport1p0 1",
                "c vport1p1 2",
                "v vport1p1 1.5 b",
                "v vport1p0 1.5 a",
                "v vport1p2 1.5 c",
            ]
        )
        nodes = await far.nodes()
        assert {str(k): v.path for k, v in nodes.items()} == {
            "virtio:a": "/dev/hvc0",
            "virtio:b": "/dev/hvc1",
            "virtio:c": "/dev/vport1p2",
        }
        assert not [line for line in shell.sent if "vs_probe" in line and "vs_start" not in line]

    asyncio.run(scenario())


def test_consoles_of_two_controllers_are_probed_and_a_dead_one_is_no_node() -> None:
    async def scenario() -> None:
        far, shell = await played(
            ["c vport1p0 1", "c vport2p0 1", "v vport1p0 1.5 a", "v vport2p0 1.5 b"],
            ["h vport2p0 0"],
        )
        nodes = await far.nodes()
        assert shell.sent[-1] == "vs_probe vport1p0 vport2p0"
        assert {str(k): v.path for k, v in nodes.items()} == {"virtio:b": "/dev/hvc0"}
        with pytest.raises(ShellError) as caught:
            await far.node(NodeIdentity("virtio", "a"), 0.05)
        assert "vport1p0" in caught.value.hint

    asyncio.run(scenario())


def test_a_console_past_the_last_hvc_is_no_node() -> None:
    async def scenario() -> None:
        names = [f"vport1p{n}" for n in range(9)]
        far, _ = await played(
            [f"c {name} {n}" for n, name in enumerate(names, 1)]
            + [f"v {name} 1.0 {name}" for name in names]
        )
        paths = [node.path for node in (await far.nodes()).values()]
        assert paths == [f"/dev/hvc{n}" for n in range(8)]

    asyncio.run(scenario())


def test_a_node_that_comes_back_is_a_new_one() -> None:
    usb = "- - - - /sys/devices/pci0000:00/0000:00:02.0/usb1/1-1/1-1:1.0/ttyUSB0 serial1"
    one = NodeIdentity("usb", "serial1")

    async def scenario() -> None:
        far, _ = await played(
            [f"n ttyUSB0 1.00 {usb}"],
            ["g ttyUSB0 2.00"],
            [f"n ttyUSB1 3.00 {usb}"],
        )
        assert (await far.node(one, 1)).path == "/dev/ttyUSB0"
        assert await far.gone(one, 1) == 2.0
        assert (await far.node(one, 1)).seen == 3.0
        # What another node of that name did does not matter to this one.
        far._event("g ttyUSB0 4.00")
        assert far.present[one].path == "/dev/ttyUSB1"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "event",
    [
        "", "n", "n ttyS0", "v", "v vport0p1", "v vport0p1 1.0", "v a b c", "c x", "c x y", "g",
        "g x y", "h x", "h x 1", "r", "z", "p 1", "x",
    ],
)  # fmt: skip
def test_garbled_events_are_ignored(event: str) -> None:
    async def scenario() -> None:
        far, shell = await played()
        shell.hear(event)
        assert far.present == {}

    asyncio.run(scenario())


def test_the_script_is_small_and_has_what_the_guest_is_told_to_call() -> None:
    text = farend.script()
    assert len(text) < 12000
    assert "#" not in {line[:1] for line in text.splitlines()}
    for name in ("vs_start", "vs_look", "vs_open", "vs_order", "vs_probe", "vs_end"):
        assert f"{name}() {{" in text
    # On a tty, a line is bounded.
    assert max(map(len, text.splitlines())) < 1000


@pytest.mark.parametrize("grace", [0.05, 0.1])
def test_a_guest_that_does_not_answer_is_given_up_after_what_is_allowed(grace: float) -> None:
    class Mute(PlayedShell):
        async def post(self, line: str) -> None:
            del line

    async def scenario() -> None:
        far = FarEnd(Mute([]), grace)  # type: ignore[arg-type]
        with pytest.raises(LostVMError, match=f"within {grace:g} s"):
            await far.nodes()

    asyncio.run(scenario())
