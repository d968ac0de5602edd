"""The whole verification: every environment, every VM, every case; then the report."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vmserial.errors import LostVMError, QemuStartError, UsageError
from vmserial.machines import architecture
from vmserial.paths import RunDirectory, write_atomic
from vmserial.progress import Reporter
from vmserial.verify import mutants
from vmserial.verify.cases import Case
from vmserial.verify.registry import CheckRegistry
from vmserial.verify.request import Booted, TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import (
    HTML,
    JUNIT,
    RESULTS,
    Check,
    Fault,
    FaultKind,
    HostFacts,
    ResultsFile,
    Verdict,
)
from vmserial.verify.session import Session
from vmserial.verify.setup import Setup, setup
from vmserial.verify.topologies import Builder, Skipped, Topology

_RUN_BITS = 32

_WORDS = 400
"""Characters of the console's that a lost VM's checks repeat."""


async def run(
    request: VerifyRequest, reporter: Reporter, environments: Sequence[TestEnvironment],
    *, before: VerifyReport | None = None,
) -> VerifyReport:  # fmt: skip
    """Prove what is asked for.

    Args:
        request: what.
        reporter: told what is being done.
        environments: on what; :func:`find_environments` gives those that the request names.
        before: what an earlier run found that is part of this one: of another architecture.

    Returns:
        The report, with what was found before; also where a VM was lost.

    Raises:
        UsageError: the request cannot be carried out as it is.
        PlanRefused: the input's ports cannot be carried.
    """
    begin = time.monotonic()
    seed = request.seed or secrets.randbits(31) + 1
    accels = {one.capabilities.accelerators for one in environments}
    accel = "kvm" if any("kvm" in names for names in accels) else "tcg"
    host = HostFacts.gather(accel)
    work = [(one, *Builder(request, one).build()) for one in environments]
    _check_mutants(request, [one for _, made, _ in work for one in made])
    with results_file(request.out, host) as writer:
        runner = Runner(request, reporter, seed, writer)
        for check in before.checks if before else ():
            runner.sink(check)
        for environment, made, skipped in work:
            for skip in skipped:
                runner.skip(environment, skip)
            for topology in made:
                await runner.boot(environment, topology)
    earlier = before.booted if before else ()
    seconds = time.monotonic() - begin + (before.seconds if before else 0.0)
    return VerifyReport(
        checks=tuple(runner.checks),
        booted=(*earlier, *runner.booted),
        host=host,
        seed=seed,
        seconds=round(seconds, 3),
    )


@contextmanager
def results_file(out: Path | None, host: HostFacts) -> Iterator[ResultsFile | None]:
    """Give the results file of a run that begins; its directory has no report meanwhile.

    Args:
        out: the directory; None: there is to be no file.
        host: this one.

    Raises:
        UsageError: the directory or the file cannot be made.
    """
    if out is None:
        yield None
        return
    _make_directory(out)
    _remove_reports(out)
    with ResultsFile(out / RESULTS, host) as writer:
        yield writer


def find_environments(request: VerifyRequest, reporter: Reporter) -> tuple[TestEnvironment, ...]:
    """Return every pair of a binary and a guest that the request names.

    Not for an event loop, nor for a thread beside one: packages may have to be fetched,
    and only the main thread gives that up on Ctrl-C.

    Raises:
        UsageError: the architecture, a suite or a file is not known.
        BinaryError: a binary is missing or cannot be asked.
        ImageError: a guest cannot be had.
    """
    from vmserial.guests import images
    from vmserial.qemu import accel, binary

    machine = request.machine
    arch = architecture(machine.arch)
    found = []
    for name in request.binaries or ("",):
        path = binary.find(arch.name, name or None)
        capabilities = binary.probe(
            path,
            machine_types=[arch.machine_type(machine.machine_type)],
            machine_options=machine.machine_options,
            arch=arch.name,
        )
        if machine.accel == "auto":
            capabilities = accel.with_proof(capabilities, accel.proven(path, arch.name))
        found.append(capabilities)
    if bool(request.kernel) != bool(request.initrd):
        raise UsageError(
            "a guest of your own is a kernel and an initrd", hint="give --kernel and --initrd"
        )
    if request.kernel:
        config = request.config or None
        guests = [
            images.own(arch.name, request.kernel, request.initrd, config, append=request.append)
        ]
    else:
        guests = [
            images.ensure(arch.name, suite, reporter=reporter, mirror=request.mirror)
            for suite in request.suites
        ]
    return tuple(TestEnvironment(capabilities, guest) for capabilities in found for guest in guests)


def _check_mutants(request: VerifyRequest, topologies: Sequence[Topology]) -> None:
    """Refuse a mutant that no VM would have: it could never be found."""
    names = [{port.name for port in one.machine.ports} for one in topologies]
    for text in request.mutants:
        mutant = mutants.parse(text)
        wanted = {mutant.port, mutant.other or mutant.port}
        if not any(wanted <= there for there in names):
            raise UsageError(
                f"the mutant {mutant} is for {' and '.join(sorted(wanted))}, "
                "which no VM of this run has",
                hint="name a port that is tested",
            )


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make {path}: {error.strerror}", hint="name another directory with --out"
        ) from None


def _remove_reports(path: Path) -> None:
    """Remove an earlier run's reports: beside the results of a run that is cut short they lie."""
    for name in (JUNIT, HTML):
        try:
            (path / name).unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot replace {path / name}: {error.strerror}",
                hint="name another directory with --out",
            ) from None


def _last_words(messages: str) -> str:
    """Return the end of what a console said; of a panic its beginning, which has the reason."""
    panic = messages.find("Kernel panic")
    return messages[panic:][:_WORDS] if panic >= 0 else messages[-_WORDS:]


class Runner:
    """Boots VMs, and collects what comes of it on the way.

    Args:
        request: what is to be proven, and how long anything may take.
        reporter: told what is being done.
        seed: of the data.
        writer: gets each check as soon as it is decided.

    Attributes:
        checks: all that were decided, in order.
        booted: the VMs.
    """

    def __init__(
        self, request: VerifyRequest, reporter: Reporter, seed: int, writer: ResultsFile | None
    ) -> None:
        self.request = request
        self.reporter = reporter
        self.seed = seed
        self.checks: list[Check] = []
        self.booted: list[Booted] = []
        self._writer = writer
        self._runs = self.numbers()

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the transfers."""
        # The seed alone decides the bytes, and no two transfers share a number.
        for number in itertools.count(1):
            yield (self.seed << _RUN_BITS | number) & ((1 << 64) - 1)

    def sink(self, check: Check) -> None:
        """Keep a decided check."""
        self.checks.append(check)
        if self._writer is not None:
            self._writer.add(check)

    def skip(self, environment: TestEnvironment, skip: Skipped) -> None:
        """Report a case that this environment cannot have."""
        machine = self.request.machine
        machine_type = architecture(machine.arch).machine_type(machine.machine_type)
        self.sink(
            Check(
                case=skip.case, arch=machine.arch, machine=machine_type,
                qemu=environment.capabilities.version_text, guest=environment.guest.name,
                kind=skip.kind, verdict=Verdict.SKIPPED, detail=skip.reason, mode="",
            )
        )  # fmt: skip

    async def boot(self, environment: TestEnvironment, topology: Topology) -> None:
        """Boot one VM and run its cases; a lost one loses its own checks, the next VM is tried."""
        for note in topology.notes:
            self.reporter.note(note)
        with RunDirectory() as rundir:
            made = setup(topology.machine, environment, self.request.endpoint, rundir.socket)
            made = replace(made, notes=(*topology.notes, *made.notes))
            await self.try_cases(
                environment, made, topology.title, topology.kind, topology.cases, rundir=rundir
            )

    async def try_cases(
        self, environment: TestEnvironment, made: Setup, title: str, kind: str,
        cases: Sequence[Case], *, rundir: RunDirectory,
    ) -> None:  # fmt: skip
        """Boot what was made, and run cases on it.

        Args:
            environment: the binary and the guest.
            made: how the VM is started; its sockets are in ``rundir``.
            title: of the VM.
            kind: the device kind it is about; empty for an input.
            cases: in order.
            rundir: of this VM alone.
        """
        registry = CheckRegistry(self.sink)
        session = Session(
            title, environment, made, kind, request=self.request, seed=self.seed, runs=self._runs,
            registry=registry, reporter=self.reporter, rundir=rundir,
        )  # fmt: skip
        for case in cases:
            case.expect(session)
        try:
            async with session:
                for case in cases:
                    await session.guarded(
                        case.run(session), case.bound(session), f"the case {case.name}"
                    )
        except LostVMError as error:
            self._lose(session, registry, error)
        except QemuStartError as error:
            self._not_started(session, registry, error)
        self._keep(session, cases)

    def _lose(self, session: Session, registry: CheckRegistry, error: LostVMError) -> None:
        words = _last_words(session.messages.strip())
        detail = error.message + (f"; the console's last words: {words}" if words else "")
        if not registry.close(Verdict.LOST, detail):
            # It went after its last check: that, too, must be seen.
            registry.decide(session.check("", None, "end"), verdict=Verdict.LOST, detail=detail)
        self.reporter.note(f"lost: {detail}")

    def _not_started(
        self, session: Session, registry: CheckRegistry, error: QemuStartError
    ) -> None:
        registry.decide(
            session.check("", None, "start"),
            verdict=Verdict.FAIL,
            detail=error.message,
            faults=(Fault(FaultKind.REFUSED, error.message),),
        )
        registry.close(Verdict.SKIPPED, "QEMU did not start")

    def _keep(self, session: Session, cases: Sequence[Case]) -> None:
        """Keep what there is to say about a VM, and its console's log."""
        booted = session.booted(tuple(case.name for case in cases))
        self.booted.append(booted)
        if self.request.out is not None and booted.console:
            name = re.sub(r"[^A-Za-z0-9.+-]+", "-", booted.title).strip("-")
            write_atomic(self.request.out / f"console-{name}.log", booted.console, mode=0o644)
