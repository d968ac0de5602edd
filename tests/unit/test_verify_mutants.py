"""Each mutant, in each direction, is found by name; without one everything is green."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from vmserial.errors import UsageError
from vmserial.verify.mutants import Mutant, MutantKind, parse
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, Direction, FaultKind
from vmserial.verify.wire.endpoints import Endpoint, UnixEndpoint
from vmserial.verify.wire.frames import LADDERS, Analysis, Stream, analyse

PORTS = (3, 5)
KINDS = [k for k in MutantKind if k is not MutantKind.CROSSWIRE]
ALL = [f"{kind}@serial3" for kind in KINDS] + ["crosswire@serial3+serial5"]


QUIET = 0.1
"""Seconds without a byte after which a direction is done; late-extra comes after 0.02."""

Result = dict[tuple[int, Direction], Analysis]


async def until_quiet(reader: asyncio.StreamReader) -> bytes:
    data = b""
    with contextlib.suppress(TimeoutError):
        while True:
            data += await asyncio.wait_for(reader.read(65536), QUIET)
    return data


async def drained(endpoint: Endpoint) -> bytes:
    while await endpoint.wait_bytes(endpoint.count + 1, QUIET):
        pass
    return endpoint.clear()


class Bench:
    """Two ports whose guests are sockets of the test."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.endpoints: dict[str, Endpoint] = {}
        self.peers: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        for port in PORTS:
            path = str(self.tmp_path / f"s{port}")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen()
                endpoint = UnixEndpoint(path, name=f"serial{port}")
                await endpoint.open(5)
                peer, _ = listener.accept()
            self.peers[port] = await asyncio.open_connection(sock=peer)
            stack.callback(self.peers[port][1].close)
            self.endpoints[f"serial{port}"] = await stack.enter_async_context(endpoint)

    async def transfer(self, run: int, sizes: tuple[int, ...], cut: int) -> Result:
        streams = {
            (port, way): Stream(run, port, way, 11, sizes)
            for port in PORTS
            for way in (GUEST_TO_HOST, HOST_TO_GUEST)
        }
        reading = [asyncio.create_task(until_quiet(self.peers[port][0])) for port in PORTS]
        for port in PORTS:
            data = streams[port, HOST_TO_GUEST].data
            assert await self.endpoints[f"serial{port}"].send(data, 30) == len(data)
        for at in range(0, len(streams[3, GUEST_TO_HOST].data), cut):
            for port in PORTS:
                self.peers[port][1].write(streams[port, GUEST_TO_HOST].data[at : at + cut])
                await self.peers[port][1].drain()
        sent = await asyncio.gather(*(drained(self.endpoints[f"serial{port}"]) for port in PORTS))
        got = {(port, GUEST_TO_HOST): data for port, data in zip(PORTS, sent, strict=True)}
        for port, task in zip(PORTS, reading, strict=True):
            got[port, HOST_TO_GUEST] = await task
        return {key: analyse(streams[key], got[key], list(streams.values())) for key in streams}


async def transfer(
    mutant: Mutant | None, tmp_path: Path, sizes: tuple[int, ...], rounds: int = 1, cut: int = 700
) -> list[Result]:
    """Send every stream through two endpoints, both ways, and analyse what arrived."""
    bench = Bench(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        await bench.open(stack)
        if mutant is not None:
            mutant.install(bench.endpoints)
        return [await bench.transfer(run, sizes, cut) for run in range(rounds)]


@pytest.mark.parametrize("cut", [1, 37, 100_000])
def test_no_mutant_is_green(tmp_path: Path, cut: int) -> None:
    (result,) = asyncio.run(transfer(None, tmp_path, LADDERS["smoke"], cut=cut))
    assert all(analysis.ok for analysis in result.values()), result


@pytest.mark.parametrize("direction", [GUEST_TO_HOST, HOST_TO_GUEST, ""])
@pytest.mark.parametrize("text", ALL)
def test_mutant_is_named(text: str, direction: Direction, tmp_path: Path) -> None:
    mutant = parse(f"{text}:{direction}" if direction else text, seed=7)
    assert parse(str(mutant), seed=7) == mutant
    (result,) = asyncio.run(transfer(mutant, tmp_path, LADDERS["smoke"]))
    hit_ports = {3, 5} if mutant.other else {3}
    for (port, way), analysis in result.items():
        if port in hit_ports and direction in (way, ""):
            assert not analysis.ok
            assert analysis.faults[0].kind is mutant.expected, analysis.detail
            if mutant.other:
                assert analysis.faults[0].other == f"serial{8 - port}"
                assert f"of serial{8 - port} arrived on serial{port}" in analysis.detail
        else:
            assert analysis.ok, analysis.detail


@pytest.mark.parametrize("cut", [1, 37, 100_000])
@pytest.mark.parametrize("text", ALL)
def test_however_it_is_cut(text: str, cut: int, tmp_path: Path) -> None:
    mutant = parse(f"{text}:guest->host", seed=3)
    (result,) = asyncio.run(transfer(mutant, tmp_path, LADDERS["smoke"], cut=cut))
    assert result[3, GUEST_TO_HOST].faults[0].kind is mutant.expected


def test_strikes_in_every_transfer(tmp_path: Path) -> None:
    mutant = parse("drop@serial3")
    results = asyncio.run(transfer(mutant, tmp_path, LADDERS["short"], rounds=3))
    for result in results:
        assert result[3, GUEST_TO_HOST].kinds == {FaultKind.LOSS}
        assert result[3, HOST_TO_GUEST].kinds == {FaultKind.LOSS}
        assert result[5, GUEST_TO_HOST].ok
    places = [result[3, GUEST_TO_HOST].faults[0].offset for result in results]
    assert len(set(places)) > 1


def test_same_seed_same_place(tmp_path: Path) -> None:
    faults = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        mutant = parse("corrupt@serial3:guest->host", seed=5)
        (result,) = asyncio.run(
            transfer(mutant, tmp_path / str(number), LADDERS["smoke"], cut=10 + 600 * number)
        )
        faults.append(result[3, GUEST_TO_HOST].faults)
    assert faults[0] == faults[1]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "drop@serial3"),
        ("drop", "drop@serial3"),
        ("drop@3", "drop@serial3"),
        ("drop@serial3:up", "drop@serial3"),
        ("dorp@serial3", "did you mean drop?"),
        ("explode@serial3", "there are drop, swap"),
        ("crosswire@serial3", "crosswire@serial3+serial5"),
        ("crosswire@serial3+serial3", "crosswire@serial3+serial5"),
        ("drop@serial3+serial5", "crosswire@serial3+serial5"),
        ("drop@serial3\n", "drop@serial3"),
        ("drop@serial9999999999", "drop@serial3"),
    ],
)
def test_parse_refuses(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert hint in caught.value.hint


def test_unknown_port() -> None:
    ports: dict[str, Endpoint] = {f"serial{n}": UnixEndpoint("/x") for n in (10, 9, 1)}
    for text in ("drop@serial3", "crosswire@serial1+serial3"):
        with pytest.raises(UsageError) as caught:
            parse(text).install(ports)
        assert "serial1, serial9, serial10" in caught.value.hint
