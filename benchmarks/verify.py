#!/usr/bin/env python3
"""How long proving takes, beside what the same guest needs by itself; in one run, in turn.

The large case: `vmserial verify` with 1 + 9 usb ports as a whole process, from
command to verdict, against a boot of the same guest that only waits until its
last port's node exists.  Hot-plug: whole cycles (out, in, data both ways, the
verdict), against as many in which nobody uses the port.  The figures to quote are the
medians of the ratios, for each architecture.

    .venv/bin/python benchmarks/verify.py [RUNS]
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter

from common import Row, alone, environment, in_turn, spent

from vmserial.paths import RunDirectory
from vmserial.progress import Silent
from vmserial.qemu.loop import run_interruptible
from vmserial.sources.overrides import Overrides, from_options
from vmserial.verify import plugging, runner
from vmserial.verify.registry import CheckRegistry
from vmserial.verify.request import VerifyRequest
from vmserial.verify.results import Verdict
from vmserial.verify.session import Session
from vmserial.verify.setup import setup
from vmserial.verify.topologies import Builder, Topology
from vmserial.verify.wire.form import SMOKE
from vmserial.verify.wire.transfer import Line

ARCHES = ("aarch64", "x86_64")
CYCLES = 20


def whole(arch: str, cache: str) -> float:
    """Return the seconds of one verification of the large case, as a whole process.

    Args:
        arch: the guest's.
        cache: its ``XDG_CACHE_HOME``: another vmserial at work could have it ask QEMU anew.
    """
    words = ["verify", "--arch", arch, "--type", "usb", "--case", "large", "--quiet"]
    own = environment(XDG_CACHE_HOME=cache)
    return spent([sys.executable, "-m", "vmserial", *words], own).wall


class Bench:
    """One binary and guest, and how a VM of ours is started on it."""

    def __init__(self, case: str, arch: str) -> None:
        machine = from_options(Overrides(arch=arch))
        self.request = VerifyRequest(machine, cases=(case,), kinds=("usb",))
        (self.environment,) = runner.find_environments(self.request, Silent())
        (self.topology,), _ = Builder(self.request, self.environment).build()
        self.registry = CheckRegistry(lambda _: None)

    def session(self, topology: Topology, rundir: RunDirectory) -> Session:
        """Return a session that is not yet booted."""
        made = setup(topology.machine, self.environment, "unix", rundir.socket)
        return Session(
            title=topology.title, environment=self.environment, made=made, kind="usb",
            request=self.request, seed=1, runs=itertools.count(1), registry=self.registry,
            reporter=Silent(), rundir=rundir,
        )  # fmt: skip

    async def floor(self) -> float:
        """Return the seconds from QEMU's start until the last port's node exists."""
        begin = perf_counter()
        with RunDirectory() as rundir:
            async with self.session(self.topology, rundir) as session:
                wanted = [line.assignment.identity for line in session.lines.values()]
                async for _ in session.agent.appearing(wanted, 60.0):
                    pass
                return perf_counter() - begin

    async def cycles(self) -> tuple[list[float], list[float]]:
        """Return seconds of whole cycles, and of as many in which nobody uses the port.

        Those, in turn with the whole ones: from device_del until QEMU and the guest have let
        go, and from device_add until the guest shows the node.
        """
        full: list[float] = []
        own: list[float] = []
        with RunDirectory() as rundir:
            async with self.session(self.topology, rundir) as session:
                lines = [
                    line
                    for line in session.lines.values()
                    if line.assignment.port.state == "plugged"
                ]
                async for _ in session.found(lines, 60.0):
                    pass
                victim = session.lines["serial1"]
                for _ in range(CYCLES):
                    (transfer,) = session.transfers([victim], SMOKE)
                    await session.exchange.upload([transfer])
                    begin = perf_counter()
                    await plugging.unplug(session, victim)
                    await plugging.plug(session, victim)
                    await session.exchange.carry([transfer])
                    # As in a verification, which waits for what comes late after the last one.
                    outcomes = await session.exchange.judge([transfer], settle=False)
                    full.append(perf_counter() - begin)
                    assert all(one.verdict is Verdict.PASS for one in outcomes)
                    await session.agent.close(victim.path)
                    victim.left()
                    own.append(await bare(session, victim))
                    async for _ in session.found([victim], 60.0):
                        pass
        return full, own


async def bare(session: Session, line: Line) -> float:
    """Return the seconds for which a guest needs to lose a port and to have it again."""
    device, identity = line.assignment.device, line.assignment.identity
    assert device is not None
    begin = perf_counter()
    with session.vm.monitor.expect(
        "DEVICE_DELETED", lambda data: data.get("device") == device.id, "its end"
    ) as deleted:
        await session.vm.monitor.execute("device_del", id=device.id)
        await asyncio.gather(deleted.wait(60.0), session.agent.gone(identity, 60.0))
    await session.vm.monitor.execute("device_add", device.qmp())
    await session.agent.node(identity, 60.0)
    return perf_counter() - begin


def floor(bench: Bench) -> float:
    """Return the seconds of one boot that only waits for its last node."""
    return run_interruptible(bench.floor())


def rows(rounds: int = 5) -> Iterator[Row]:
    """Measure it."""
    for arch in ARCHES:
        large = Bench("large", arch)
        with tempfile.TemporaryDirectory(prefix="vmserial-bench-") as cache:
            whole(arch, cache)  # the guest is fetched and the files are read
            measures: dict[str, Callable[[], float]] = {
                "ours": partial(whole, arch, cache), "floor": partial(floor, large)
            }  # fmt: skip
            taken = in_turn(measures, rounds)
        yield Row.of(
            f"verify, large case, command to verdict, {arch}", "s", taken["ours"],
            peer="the same guest until its last node", base=taken["floor"], aim="ratio ≤ 1.15",
        )  # fmt: skip
        full, own = run_interruptible(Bench("hot-plug", arch).cycles())
        yield Row.of(
            f"a hot-plug cycle with data both ways, {arch}", "s", full,
            peer="letting go and enumerating alone", base=own, aim="ratio ≤ 1.10",
        )  # fmt: skip


if __name__ == "__main__":
    alone(rows, 5)
