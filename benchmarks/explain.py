#!/usr/bin/env python3
"""`vmserial explain -` on a log of 50 MB, beside grep looking for the same words.

The log is a kernel's, with one error that is known in it; once in lines, once as one line
without an end.  grep (C locale, `-F -f`) is given the literals of all texts, and only says
whether there are any; explain tells which, where, and how many.  Also: the whole process for
an id alone, and what reading all documents takes in-process.

    .venv/bin/python benchmarks/explain.py [ROUNDS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from common import BOUND, Row, alone, environment, in_turn

from vmserial import catalogue

SIZE = 50_000_000
LINE = b"[%6d.%06d] serial 0000:00:07.%d: ttyS%d at I/O 0x%x (irq = %d) is a 16550A"
KNOWN = b"kvm: -device usb-serial: speed mismatch trying to attach usb device"

DOCUMENTS = """
from time import process_time
import vmserial.catalogue as catalogue
begin = process_time()
catalogue.matches("x")
print(process_time() - begin)
"""


def logs(where: Path) -> dict[str, Path]:
    """Write the logs and the literals; return the logs by name."""
    lines = [LINE % (n, n * 7919 % 10**6, n % 8, n % 4, n, n % 16) for n in range(50_000)]
    lines *= SIZE // len(b"\n".join(lines)) + 1
    lines[len(lines) // 2] = KNOWN
    found = {}
    for name, between in (("lines", b"\n"), ("one line", b" ")):
        found[name] = where / f"{name}.log"
        found[name].write_bytes(between.join(lines)[:SIZE])
    literals = {part for doc in catalogue.documents() for t in doc.texts for part in t.literals}
    (where / "literals").write_text("".join(f"{each}\n" for each in literals if len(each) > 3))
    return found


def speed(words: Sequence[str], log: Path) -> float:
    """Return how many MB a second a process reads on its standard input."""
    with log.open("rb") as stream:
        begin = perf_counter()
        done = subprocess.run(
            words, stdin=stream, capture_output=True, timeout=BOUND,
            env=environment(LC_ALL="C"),
        )  # fmt: skip
        took = perf_counter() - begin
    if done.returncode:
        sys.exit(f"{' '.join(words[:4])} ended with {done.returncode}")
    return log.stat().st_size / took / 1e6


def milliseconds(words: Sequence[str]) -> float:
    """Return the wall time of a process."""
    begin = perf_counter()
    subprocess.run(
        words, check=True, stdout=subprocess.DEVNULL, timeout=BOUND, env=environment()
    )  # fmt: skip
    return (perf_counter() - begin) * 1000


def documents() -> float:
    """Return the processor's milliseconds for reading all documents and their words."""
    done = subprocess.run(
        [sys.executable, "-c", DOCUMENTS], check=True, capture_output=True, text=True,
        timeout=BOUND, env=environment(),
    )  # fmt: skip
    return float(done.stdout) * 1000


def rows(rounds: int = 5) -> Iterator[Row]:
    """Measure it."""
    explain = [sys.executable, "-m", "vmserial", "explain"]
    with tempfile.TemporaryDirectory(prefix="vmserial-bench-") as name:
        # It counts into a pipe: with its output at /dev/null it would end at the first word.
        grep = ["grep", "-c", "-F", "-f", os.path.join(name, "literals")]  # noqa: PTH118
        for form, log in logs(Path(name)).items():
            taken = in_turn(
                {
                    "ours": partial(speed, [*explain, "-"], log),
                    "grep": partial(speed, grep, log),
                },
                rounds,
            )
            yield Row.of(
                f"explain -, {SIZE // 10**6} MB, {form}", "MB/s", taken["ours"],
                peer="grep -F -f", base=taken["grep"], aim="figure ≥ 20",
            )  # fmt: skip
    taken = in_turn(
        {
            "ours": partial(milliseconds, [*explain, "guest-8250-limit"]),
            "floor": partial(milliseconds, [sys.executable, "-c", "pass"]),
        },
        3 * rounds,
    )
    yield Row.of(
        "explain ID, whole process", "ms", taken["ours"], peer="python -c pass",
        base=taken["floor"],
    )  # fmt: skip
    read = [documents() for _ in range(3 * rounds)]
    yield Row.of("all documents, for matching, processor", "ms", read, aim="figure ≤ 15")


if __name__ == "__main__":
    alone(rows, 5)
