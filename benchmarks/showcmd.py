#!/usr/bin/env python3
"""How long `vmserial showcmd` takes as a whole process, beside a bare interpreter.

Both run in turn, so that the machine's speed falls out of the ratio; the figure
to quote is the median of the ratios.  Also: planning ten ports in-process.

    .venv/bin/python benchmarks/showcmd.py [RUNS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vmserial import chardevs
from vmserial.model import Capabilities, GuestProfile, Machine, SerialPort
from vmserial.planning import planner

CONF = "arch: aarch64\nmemory: 2048\nserial0: socket\nserial1: socket\n"


def seconds(command: list[str]) -> float:
    """Return the wall time of one run of ``command``."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def planning() -> float:
    """Return the median seconds of one planning of ten ports, in-process."""
    ports = tuple(SerialPort(n, chardevs.parse(f"socket=/run/s{n}")) for n in range(10))
    machine = Machine("aarch64", ports)
    binary = Capabilities((7, 2, 0), "aarch64", onboard_uarts={"virt": 1})
    guest = GuestProfile("debian-12-arm64")
    times = []
    for _ in range(300):
        begin = time.perf_counter()
        planner.plan(machine, binary, guest)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main(runs: int = 15) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        conf = Path(directory) / "142.conf"
        conf.write_text(CONF)
        ours = [sys.executable, "-m", "vmserial", "showcmd", str(conf)]
        floor = [sys.executable, "-c", "pass"]
        seconds(ours)  # the first run asks the binary and fills the cache
        pairs = [(seconds(ours), seconds(floor)) for _ in range(runs)]
    mine, bare = (sorted(column) for column in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    print(
        f"showcmd, whole process: median {statistics.median(mine):.3f} s "
        f"({mine[0]:.3f} to {mine[-1]:.3f}), {runs} runs"
    )
    print(f"python -c pass:         median {statistics.median(bare):.3f} s")
    print(f"ratio:                  median {statistics.median(ratios):.1f}")
    print(f"planning ten ports, in-process: median {planning() * 1000:.2f} ms")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
