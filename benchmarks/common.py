"""What benchmarks share: rows, one table, processes in turn, an earlier build beside today's.

A benchmark is a module with ``rows(rounds) -> Iterator[Row]``.  ``make bench`` runs them all
(``benchmarks/table.py``) and prints one table; a file run by itself prints its own rows.

Whatever is compared runs in turn within one round, so that the machine's speed, and what else
it does at the time, falls out of the ratio; the ratio to quote is the median of the rounds' own.
"""

from __future__ import annotations

import datetime
import io
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"

EARLIER = os.environ.get("VMSERIAL_BENCH_BASE", "9f45831")
"""The commit that today's tree is measured beside: the last one with three judges."""

BOUND = 300.0
"""Seconds within which a measured process has ended."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was measured.
        figure: the median.
        unit: of the figure and of ``base``.
        peer: what it is held against; empty where nothing is.
        base: the peer's figure in the same rounds.
        ratio: the median of the rounds' own ratios to the peer.
        aim: what was promised of the ratio or the figure, as text.
    """

    name: str
    figure: float
    unit: str
    peer: str = ""
    base: float | None = None
    ratio: float | None = None
    aim: str = ""

    @classmethod
    def of(
        cls, name: str, unit: str, own: Sequence[float], *, peer: str = "",
        base: Sequence[float] = (), aim: str = "",
    ) -> Row:  # fmt: skip
        """Make a row of what each round gave; ``own`` and ``base`` are of the same rounds."""
        figure = statistics.median(own)
        if not base:
            return cls(name, figure, unit, peer, aim=aim)
        ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
        return cls(name, figure, unit, peer, statistics.median(base), ratio, aim)


# ------------------------------------------------------------------ the table


def machine() -> str:
    """Return what the figures were measured on: processor, cores, load, Python, QEMU, libvirt."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        model = found[1]
    parts = [model, f"{len(os.sched_getaffinity(0))} cores", f"load {os.getloadavg()[0]:.1f}"]
    parts.append(f"Python {platform.python_version()}")
    for name, words in (
        ("QEMU", ["qemu-system-aarch64", "-version"]), ("libvirt", ["virsh", "--version"])
    ):  # fmt: skip
        if shutil.which(words[0]):
            said = subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
            if found := re.search(r"\d+\.\d+[.\d]*", said):
                parts.append(f"{name} {found[0]}")
    return ", ".join(parts)


def commit() -> str:
    """Return today's commit, and whether the tree is as it was committed."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or "no commit"


def heading() -> str:
    """Return date, commit and machine."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y-%m-%d %H:%M} UTC, commit {commit()}\n{machine()}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def table(rows: Iterable[Row]) -> str:
    """Return rows as text."""
    lines = [("what", "figure", "unit", "beside", "its figure", "ratio", "aim")]
    lines += [
        (r.name, _number(r.figure), r.unit, r.peer, _number(r.base), _number(r.ratio), r.aim)
        for r in rows
    ]
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    right = {1, 4, 5}
    return "\n".join(
        "  ".join(
            text.rjust(width) if n in right else text.ljust(width)
            for n, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def alone(rows: Callable[[int], Iterator[Row]], rounds: int) -> None:
    """Print one benchmark's rows; the rounds may be named on the command line."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else rounds
    print(heading(), flush=True)
    print(table(rows(rounds)))


# ------------------------------------------------------------------ in turn


@dataclass(frozen=True)
class Spent:
    """What a process took, in seconds.

    Attributes:
        wall: from its start to its end.
        processor: its own and its children's.
    """

    wall: float
    processor: float


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which Python keeps its bytecode, as installed software has it."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **more}


def spent(
    words: Sequence[str], env: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> Spent:
    """Run a process and return what it took.

    Args:
        words: the program and its arguments.
        env: its environment.
        codes: exit statuses that are right.

    Raises:
        SystemExit: it ended with another one; its own words are given.
    """
    # A file, not a pipe: nobody has to read while the time runs.
    with tempfile.TemporaryFile() as out:
        begin = perf_counter()
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=environment() if env is None else env,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        wall = perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in codes:
            out.seek(0)
            said = out.read().decode(errors="replace")
            sys.exit(f"{' '.join(words[:6])} ended with {child.returncode}: {said[-2000:]}")
    return Spent(wall, usage.ru_utime + usage.ru_stime)


def milliseconds(words: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Run a process that must not fail and return its wall time."""
    return spent(words, env).wall * 1000


def in_turn(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Take each measure once a round; every other round begins at the other end."""
    taken: dict[str, list[float]] = {key: [] for key in measures}
    for index in range(rounds):
        order = list(measures)
        for key in order if index % 2 == 0 else reversed(order):
            taken[key].append(measures[key]())
    return taken


# ------------------------------------------------------------------ an earlier build


@dataclass(frozen=True)
class Build:
    """A tree of vmserial with a cache of its own, for what it asks of QEMU.

    Attributes:
        src: its ``src`` directory.
        cache: its ``XDG_CACHE_HOME``.
    """

    src: Path
    cache: Path

    @property
    def env(self) -> dict[str, str]:
        """What makes a Python process import this tree and no other."""
        return environment(PYTHONPATH=str(self.src), XDG_CACHE_HOME=str(self.cache))

    def vmserial(self, *words: str, codes: Sequence[int] = (0, 1)) -> Spent:
        """Run a verb as a whole process; 1 is the status of whoever finds something wrong."""
        return spent([sys.executable, "-m", "vmserial", *words], self.env, codes)

    def seconds(self, code: str, *words: str) -> float:
        """Run a program that prints one figure, and return it.

        Args:
            code: of the program; it has ``words`` in ``sys.argv[1:]``.
            words: its arguments.

        Raises:
            SystemExit: it failed.
        """
        done = subprocess.run(
            [sys.executable, "-c", code, *words], env=self.env, capture_output=True, text=True,
            timeout=BOUND,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"a program on {self.src} failed: {done.stderr[-2000:]}")
        return float(done.stdout.split()[-1])


@dataclass(frozen=True)
class Builds:
    """Today's tree, and an earlier one beside it.

    Attributes:
        today: this working tree.
        earlier: None where its commit is not here (a shallow clone).
        name: of the earlier one, for the table.
    """

    today: Build
    earlier: Build | None
    name: str

    def compared(
        self, name: str, today: Callable[[Build], float],
        earlier: Callable[[Build], float] | None = None, *, rounds: int, unit: str = "ms",
        aim: str = "",
    ) -> Row:  # fmt: skip
        """Measure both in turn, after one run of each that fills the caches.

        Args:
            name: of the row.
            today: measures today's tree; it returns what ``unit`` says.
            earlier: the same for the earlier one, where that is called otherwise.
            rounds: how many.
            unit: of the figure.
            aim: what was promised.
        """
        build, other = self.earlier, earlier or today
        measures = {"today": partial(today, self.today)}
        if build is not None:
            measures["earlier"] = partial(other, build)
        for measure in measures.values():
            measure()
        taken = in_turn(measures, rounds)
        peer = self.name if build is not None else f"{self.name} is not in this clone"
        return Row.of(name, unit, taken["today"], peer=peer, base=taken.get("earlier", ()), aim=aim)


def _unpacked(revision: str, where: Path) -> bool:
    """Write the ``src`` of a commit; tell whether it is known here."""
    # An archive, not a worktree: who is killed leaves nothing in the repository.
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", revision, "src"],
        capture_output=True, timeout=BOUND,
    )  # fmt: skip
    if done.returncode:
        return False
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(where, filter="data")
    return True


@contextmanager
def builds(revision: str = EARLIER) -> Iterator[Builds]:
    """Give today's tree and that of an earlier commit, both with bytecode."""
    with tempfile.TemporaryDirectory(prefix="vmserial-bench-") as name:
        where = Path(name)
        for part in ("today", "earlier"):
            (where / part / "cache").mkdir(parents=True)
        earlier = None
        if _unpacked(revision, where / "earlier"):
            earlier = Build(where / "earlier" / "src", where / "earlier" / "cache")
        today = Build(ROOT / "src", where / "today" / "cache")
        for build in (today, earlier):
            if build is not None:
                spent([sys.executable, "-m", "compileall", "-q", str(build.src)])
        yield Builds(today, earlier, revision)
