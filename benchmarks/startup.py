#!/usr/bin/env python3
"""How long a verb takes as a whole process, beside an earlier build of vmserial.

Of a PVE configuration (the article's), a domain with four default serials, and a command
line.  Also a bare interpreter, which no verb can be quicker than.

    .venv/bin/python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from common import TESTS, Build, Row, alone, builds, milliseconds

CONF = str(TESTS / "data" / "pve" / "142.conf")
DOMAIN = str(TESTS / "data" / "libvirt" / "aarch64-untyped.xml")
COMMAND = str(TESTS / "rules" / "kind-not-on-arch" / "bad.args")

HALF = "ratio ≤ 0.5"

VERBS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], str], ...] = (
    ("doctor, a conf", ("doctor", CONF), ("doctor", CONF), HALF),
    ("doctor, a domain", ("doctor", DOMAIN), ("doctor", DOMAIN), HALF),
    ("doctor, a command", ("doctor", COMMAND), ("doctor", COMMAND), HALF),
    ("plan, a conf", ("plan", CONF), ("plan", CONF), HALF),
    # What --no-check leaves out, the earlier build has not.
    ("fix --diff --no-check, a conf", ("fix", "--diff", "--no-check", CONF),
     ("fix", "--diff", CONF), HALF),
    ("fix --diff --no-check, a domain", ("fix", "--diff", "--no-check", DOMAIN),
     ("fix", "--diff", DOMAIN), HALF),
    ("showcmd, a conf", ("showcmd", CONF), ("showcmd", CONF), "ratio ≤ 1"),
    ("showcmd, a domain", ("showcmd", DOMAIN), ("showcmd", DOMAIN), "ratio ≤ 1"),
)  # fmt: skip
"""Name, words today, words of the earlier build, what was promised."""


def verb(words: tuple[str, ...], build: Build) -> float:
    """Return the milliseconds of one run."""
    return build.vmserial(*words).wall * 1000


def rows(rounds: int = 15) -> Iterator[Row]:
    """Measure each verb."""
    with builds() as both:
        for name, today, earlier, aim in VERBS:
            yield both.compared(
                name, partial(verb, today), partial(verb, earlier), rounds=rounds, aim=aim
            )
    bare = [milliseconds([sys.executable, "-c", "pass"]) for _ in range(rounds)]
    yield Row.of("python -c pass", "ms", bare)


if __name__ == "__main__":
    alone(rows, 15)
