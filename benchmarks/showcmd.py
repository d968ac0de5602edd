#!/usr/bin/env python3
"""How long `vmserial showcmd` takes as a whole process, beside a bare interpreter.

Also: planning ten ports in-process, which no peer has.

    .venv/bin/python benchmarks/showcmd.py [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter

from common import Row, alone, in_turn, milliseconds

from vmserial import chardevs
from vmserial.model import Capabilities, GuestProfile, Machine, SerialPort
from vmserial.planning import planner

CONF = "arch: aarch64\nmemory: 2048\nserial0: socket\nserial1: socket\n"


def planning() -> list[float]:
    """Return the milliseconds of each planning of ten ports, in-process."""
    ports = tuple(SerialPort(n, chardevs.parse(f"socket=/run/s{n}")) for n in range(10))
    machine = Machine("aarch64", ports)
    binary = Capabilities((7, 2, 0), "aarch64", onboard_uarts={"virt": 1})
    guest = GuestProfile("debian-12-arm64")
    times = []
    for _ in range(300):
        begin = perf_counter()
        planner.plan(machine, binary, guest)
        times.append((perf_counter() - begin) * 1000)
    return times


def rows(rounds: int = 15) -> Iterator[Row]:
    """Measure it."""
    with tempfile.TemporaryDirectory(prefix="vmserial-bench-") as directory:
        conf = Path(directory) / "142.conf"
        conf.write_text(CONF)
        ours = [sys.executable, "-m", "vmserial", "showcmd", str(conf)]
        floor = [sys.executable, "-c", "pass"]
        milliseconds(ours)  # the first run asks the binary and fills the cache
        taken = in_turn(
            {"ours": partial(milliseconds, ours), "floor": partial(milliseconds, floor)},
            rounds,
        )
    yield Row.of(
        "showcmd, whole process", "ms", taken["ours"], peer="python -c pass", base=taken["floor"]
    )
    yield Row.of("planning ten ports, in-process", "ms", planning())


if __name__ == "__main__":
    alone(rows, 15)
