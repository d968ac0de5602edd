#!/usr/bin/env python3
"""Very many ports in one verified VM: the verifier's memory for each, and the time of all.

`vmserial verify` as a whole process, with 10, 100 and 1,000 virtio ports, both ways, each alone
and all at once.  Its memory is the most that the process itself ever had (VmHWM), without QEMU;
from one number of ports to the next it is that of their ports.  Beside it stand the bytes that
such a port sends and receives.  The time stands beside a boot of the same guest that only waits
until its last port's node exists.

    .venv/bin/python benchmarks/manyports.py [RUNS]
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

from common import Row, alone
from common import environment as python_environment

from vmserial.paths import RunDirectory
from vmserial.progress import Silent
from vmserial.qemu.loop import run_interruptible
from vmserial.sources.overrides import Overrides, from_options
from vmserial.verify import runner
from vmserial.verify.registry import CheckRegistry
from vmserial.verify.request import TOGETHER, TestEnvironment, VerifyRequest
from vmserial.verify.session import Session
from vmserial.verify.setup import AMPLE_MIB, setup
from vmserial.verify.topologies import Builder
from vmserial.verify.wire.form import OVERHEAD, SMOKE

ARCH = "aarch64"
PORTS = (10, 100, 1000)
BOUND = 900.0
"""Seconds within which a verification has ended."""

SIZES = (*SMOKE, TOGETHER[-1])
DATA_KIB = 2 * sum(size + OVERHEAD for size in SIZES) / 1024
"""What a port sends and receives when all do."""

_PROGRAM = """
import sys
from vmserial.cli.main import run
code = run(sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(code, status["VmHWM"].split()[0])
"""


def whole(ports: int) -> tuple[float, float]:
    """Return the seconds of one verification as a whole process, and its memory in KiB.

    Raises:
        SystemExit: it did not pass.
    """
    words = ["verify", "--arch", ARCH, "--ports", str(ports), "--type", "virtio"]
    begin = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words, "--sizes", "smoke", "--quiet"],
        env=python_environment(), capture_output=True, text=True, timeout=BOUND,
    )  # fmt: skip
    wall = perf_counter() - begin
    said = done.stdout.split()
    if done.returncode or said[-2] != "0":
        sys.exit(f"{ports} ports did not pass: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return wall, float(said[-1])


def floor(ports: int) -> float:
    """Return the seconds of one boot that only waits for the last of so many ports' nodes."""
    machine = from_options(Overrides(arch=ARCH, ports=ports, kind="virtio", memory_mib=AMPLE_MIB))
    request = VerifyRequest(machine, given=True)
    (environment,) = runner.find_environments(request, Silent())
    return run_interruptible(boot(request, environment))


async def boot(request: VerifyRequest, environment: TestEnvironment) -> float:
    """Return the seconds from QEMU's start until the last port's node exists."""
    (topology,), _ = Builder(request, environment).build()
    with RunDirectory() as rundir:
        made = setup(topology.machine, environment, "unix", rundir.socket)
        session = Session(
            title=topology.title, environment=environment, made=made, kind="virtio",
            request=request, seed=1, runs=itertools.count(1),
            registry=CheckRegistry(lambda _: None), reporter=Silent(), rundir=rundir,
        )  # fmt: skip
        begin = perf_counter()
        async with session:
            wanted = [line.assignment.identity for line in session.lines.values()]
            async for _ in session.agent.shown(wanted, session.limits.nodes(len(wanted))):
                pass
            return perf_counter() - begin


def rows(rounds: int = 1) -> Iterator[Row]:
    """Measure it."""
    whole(2)  # the guest is fetched and the files are read
    took: dict[int, list[tuple[float, float]]] = {ports: [] for ports in PORTS}
    floors: dict[int, list[float]] = {ports: [] for ports in PORTS}
    for _ in range(rounds):
        for ports in PORTS:
            took[ports].append(whole(ports))
            floors[ports].append(floor(ports))
    for ports in PORTS:
        yield Row.of(
            f"verify, {ports:,} virtio ports, command to verdict, {ARCH}", "s",
            [wall for wall, _ in took[ports]],
            peer="the same guest until its last node", base=floors[ports],
        )  # fmt: skip
    for few, many in itertools.pairwise(PORTS):
        each = [
            (more - less) / (many - few)
            for (_, less), (_, more) in zip(took[few], took[many], strict=True)
        ]
        yield Row.of(
            f"verify's own memory for each port, {few:,} to {many:,}", "KiB", each,
            peer="the bytes that it sends and receives", base=[DATA_KIB] * rounds,
            aim="figure ≤ 256",
        )  # fmt: skip


if __name__ == "__main__":
    alone(rows, 1)
