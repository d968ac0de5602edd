#!/usr/bin/env python3
"""Reading, lowering and judging in a process that has everything loaded, beside an earlier build.

Through the verbs themselves, whose names stay while what is behind them moves: `doctor` and
`showcmd` of the same inputs, called again and again in one process, with their output thrown
away.  Each build is a process of its own; the figure is the median of its calls.

    .venv/bin/python benchmarks/judging.py [ROUNDS]
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from common import TESTS, Build, Row, alone, builds

CALLS = """\
import contextlib, io, statistics, sys, time
from vmserial.cli.main import run
words, times = sys.argv[1:], []
for _ in range(120):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        begin = time.process_time()
        code = run(words)
        times.append(time.process_time() - begin)
    assert code in (0, 1), code
print(statistics.median(times[20:]) * 1000)
"""
"""The first twenty calls import, and fill caches."""

DATA = TESTS / "data"
INPUTS = {
    "a conf of two ports": DATA / "pve" / "142.conf",
    "a domain of four serials": DATA / "libvirt" / "aarch64-untyped.xml",
    "a domain of twenty usb ports": DATA / "libvirt" / "aarch64-usb-20.xml",
    "a command": TESTS / "rules" / "kind-not-on-arch" / "bad.args",
}
VERBS = ("doctor", "showcmd")


def call(words: tuple[str, ...], build: Build) -> float:
    """Return the processor milliseconds of one call."""
    return build.seconds(CALLS, *words)


def rows(rounds: int = 5) -> Iterator[Row]:
    """Measure each input."""
    with builds() as both:
        for name, path in INPUTS.items():
            # The earlier build's showcmd takes no command.
            for verb in VERBS if path.suffix != ".txt" else VERBS[:1]:
                yield both.compared(
                    f"{verb} in-process, {name}", partial(call, (verb, str(path))),
                    rounds=rounds, aim="ratio ≤ 1",
                )  # fmt: skip


if __name__ == "__main__":
    alone(rows, 5)
