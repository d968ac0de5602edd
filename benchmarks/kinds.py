#!/usr/bin/env python3
"""How long proving every kind takes, beside an earlier build: four cases on aarch64.

`vmserial verify` with default, large, hot-plug and maximum for each device kind that the
binary has, as a whole process, on the same test guest (each build's own copy of it, fetched
before).  The cases and the hot-plug cycles are the same; today's looks at more of them (the
planned places, ports without a client).  A run of either takes minutes, so it is one round
unless more are asked for.

    .venv/bin/python benchmarks/kinds.py [ROUNDS]
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from common import Build, Row, alone, builds, in_turn

ARCH = ("--arch", "aarch64")
CASES = ("default", "large", "hot-plug", "maximum")


def proof(build: Build) -> float:
    """Return the seconds of one verification of all kinds."""
    cases = [word for case in CASES for word in ("--case", case)]
    return build.vmserial("verify", *ARCH, *cases, "--quiet").wall


def rows(rounds: int = 1) -> Iterator[Row]:
    """Measure it."""
    with builds() as both:
        there = {"today": both.today, "earlier": both.earlier}
        known = {name: build for name, build in there.items() if build is not None}
        for build in known.values():
            build.vmserial("guest", "fetch", *ARCH, "--quiet", codes=(0,))
        measures = {name: partial(proof, build) for name, build in known.items()}
        taken = in_turn(measures, rounds)
        peer = both.name if both.earlier is not None else f"{both.name} is not in this clone"
    yield Row.of(
        "verify, all kinds, four cases, aarch64", "s", taken["today"], peer=peer,
        base=taken.get("earlier", ()), aim="ratio ≤ 0.5",
    )  # fmt: skip


if __name__ == "__main__":
    alone(rows, 1)
