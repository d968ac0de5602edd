"""A run under way: its facts, its results file, and its report at whatever time it ends."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial import __version__
from vmserial.errors import UsageError
from vmserial.model import Capabilities
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.request import VerifyReport, VerifyRequest
from vmserial.verify.results import HTML, JUNIT, RESULTS, VMS, RunFacts
from vmserial.verify.results_file import ResultsFile

if TYPE_CHECKING:
    from vmserial.verify.runner import Runner

Keep = Callable[[VerifyReport], None]
"""Told what was done until then, if a run is cancelled, as by Ctrl-C."""


def now() -> str:
    """Return the time, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Recording:
    """A run that begins now.

    Args:
        request: what is asked for.
        binaries: those that run it.
        before: what an earlier run found that is part of this one.
        keep: told the report of what was done if the run is cancelled.
        data: it sends any, which the seed decides.

    Attributes:
        seed: of its data; 0: there is none.
        host: this one.
    """

    def __init__(
        self, request: VerifyRequest, binaries: Iterable[Capabilities], *,
        before: VerifyReport | None = None, keep: Keep | None = None,
        data: bool = True,
    ) -> None:  # fmt: skip
        kvm = any("kvm" in one.accelerators for one in binaries)
        self.seed = request.seed or (int.from_bytes(os.urandom(4), "big") >> 1) + 1
        if not data:
            self.seed = 0
        self.host = HostFacts.gather("kvm" if kvm else "tcg")
        self._request = request
        self._before = before
        self._keep = keep
        self._began = time.monotonic()
        self._started = before.started if before else now()

    @contextmanager
    def file(self) -> Iterator[ResultsFile | None]:
        """Give the results file, None if none is asked for; there is no report meanwhile.

        Raises:
            UsageError: the directory or the file cannot be made.
        """
        out = self._request.out
        if out is None:
            yield None
            return
        _make_directory(out)
        _remove_reports(out)
        facts = RunFacts(self.seed, self._request.call, __version__, self._started)
        with ResultsFile(out / RESULTS, self.host, facts) as writer:
            yield writer

    def report(self, runner: Runner, *, cut: bool = False) -> VerifyReport:
        """Return the report of what a runner has done until now, and of what was before.

        Args:
            runner: with its checks and VMs.
            cut: it was interrupted.
        """
        seconds = time.monotonic() - self._began + (self._before.seconds if self._before else 0.0)
        return VerifyReport(
            checks=tuple(runner.checks),
            booted=(*(self._before.booted if self._before else ()), *runner.booted),
            host=self.host,
            seed=self.seed,
            seconds=round(seconds, 3),
            started=self._started,
            call=self._request.call,
            interrupted=cut,
        )

    @contextmanager
    def until_cut(self, runner: Runner, rest: Callable[[], None]) -> Iterator[None]:
        """Do what is in the block; if it is cancelled, keep a report of what was done.

        Args:
            runner: does it.
            rest: adds to the runner's checks what was not done.
        """
        try:
            yield
        except asyncio.CancelledError:
            rest()
            if self._keep is not None:
                self._keep(self.report(runner, cut=True))
            raise


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make {path}: {error.strerror}", hint="name another directory with --out"
        ) from None


def _remove_reports(path: Path) -> None:
    """Remove an earlier run's reports: beside the results of a run that is cut short they lie."""
    for name in (JUNIT, HTML, VMS):
        try:
            (path / name).unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot replace {path / name}: {error.strerror}",
                hint="name another directory with --out",
            ) from None
