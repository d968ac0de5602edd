"""The whole verification: every environment, every VM, every case; then the report."""

from __future__ import annotations

import asyncio
import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial.errors import BinaryError, LostVMError, QemuStartError, UsageError
from vmserial.machines import Architecture, architecture
from vmserial.model import Capabilities
from vmserial.paths import RunDirectory, write_atomic
from vmserial.progress import Reporter
from vmserial.verify import aboard, late, mutants
from vmserial.verify.abreast import SideBySide
from vmserial.verify.cases import Case
from vmserial.verify.hostends import without_client
from vmserial.verify.recording import Keep, Recording
from vmserial.verify.registry import CheckRegistry
from vmserial.verify.request import Booted, TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import (
    NOT_RUN,
    Check,
    Fault,
    FaultKind,
    Verdict,
)
from vmserial.verify.results_file import ResultsFile
from vmserial.verify.session import Session
from vmserial.verify.setup import SEED_FILE, Setup, setup
from vmserial.verify.topologies import Builder, Told, Topology

if TYPE_CHECKING:
    from vmserial.guests.images import TestGuest

Work = tuple[VerifyRequest, Sequence[TestEnvironment]]
"""What is asked for, and on what."""

_RUN_BITS = 32

_WORDS = 400
"""Characters of the console's that a lost VM's checks repeat."""


async def run(
    request: VerifyRequest, reporter: Reporter, environments: Sequence[TestEnvironment],
    *, before: VerifyReport | None = None, later: Sequence[Work] = (), keep: Keep | None = None,
) -> VerifyReport:  # fmt: skip
    """Prove what is asked for.

    Args:
        request: what.
        reporter: told what is being done.
        environments: on what; :func:`find_environments` gives those that the request names.
        before: what an earlier run found that is part of this one: of another architecture.
        later: what is to be proven after this as a part of it, should this be cut short.
        keep: told what was done until then if the run is cancelled, as by Ctrl-C; what was
            not is in it as skipped.

    Returns:
        The report, with what was found before; also where a VM was lost.

    Raises:
        UsageError: the request cannot be carried out as it is.
        PlanRefused: the input's ports cannot be carried.
    """
    recording = Recording(
        request, [one.capabilities for one in environments], before=before, keep=keep
    )
    work = [(one, *Builder(request, one).build()) for one in environments]
    _check_mutants(request, [one for _, made, _ in work for one in made])
    with recording.file() as writer:
        runner = Runner(request, reporter, recording.seed, writer)
        for check in before.checks if before else ():
            runner.sink(check)
        for environment, _, unbooted in work:
            for told in unbooted:
                runner.tell(environment, told)
        left = [(environment, one) for environment, made, _ in work for one in made]

        def rest() -> None:
            for environment, topology in left:
                runner.not_run(environment, topology)
            for asked, others in later:
                runner.request = asked
                for environment in others:
                    for topology in Builder(asked, environment).build()[0]:
                        runner.not_run(environment, topology)

        with recording.until_cut(runner, rest):
            if request.jobs > 1 and len(left) > 1:
                await SideBySide(runner, request.jobs).boot(left)
            while left:
                await runner.boot(*left.pop(0))
        return recording.report(runner)


def too_old_for_a_guest(arch: Architecture, capabilities: Capabilities) -> str:
    """Return why a QEMU does not boot an architecture's test guests; empty if it does."""
    if not capabilities.version or capabilities.version >= arch.guest_needs:
        return ""
    least = ".".join(map(str, arch.guest_needs[:2]))
    return (
        f"QEMU {capabilities.version_text} does not boot a guest of {arch.name}, {least} and later "
        "do"
    )


def find_environments(request: VerifyRequest, reporter: Reporter) -> tuple[TestEnvironment, ...]:
    """Return every pair of a binary and a guest that the request names.

    Not for an event loop, nor for a thread beside one: packages may have to be fetched,
    and only the main thread gives that up on Ctrl-C.

    Raises:
        UsageError: the architecture, a suite or a file is not known.
        BinaryError: a binary is missing or cannot be asked.
        ImageError: a guest cannot be had.
    """
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
        if why := too_old_for_a_guest(arch, capabilities):
            raise BinaryError(
                f"{path}: {why}",
                hint=f"name one: --qemu; scripts/fetch-qemu trixie {arch.name} DIR fetches one",
            )
        if machine.accel == "auto":
            capabilities = accel.with_proof(capabilities, accel.proven(path, arch.name))
        found.append(capabilities)
    guests = _guests(request, arch, reporter)
    return tuple(TestEnvironment(capabilities, guest) for capabilities in found for guest in guests)


def _guests(request: VerifyRequest, arch: Architecture, reporter: Reporter) -> list[TestGuest]:
    """Return the guests that a request names: the user's own, or test guests."""
    from vmserial.guests import images

    if bool(request.kernel) != bool(request.initrd):
        raise UsageError(
            "a guest of your own is a kernel and an initrd", hint="give --kernel and --initrd"
        )
    if request.image and not request.login:
        raise UsageError(
            "a full system of your own is an image and a login",
            hint="give --login USER:FILE, or --cloud-init for a cloud image without a password; "
            "and --kernel and --initrd if UEFI does not start it",
            where="--image",
        )
    config = request.config or None
    if request.kernel:
        own = images.own(arch.name, request.kernel, request.initrd, config, append=request.append)
        if request.image:
            own = images.with_image(own, request.image)
    elif request.image:
        own = images.by_firmware(arch.name, request.image, config)
    else:
        return [
            images.ensure(arch.name, suite, reporter=reporter, mirror=request.mirror)
            for suite in request.suites or ("",)
        ]
    if request.login is not None and request.login.seeded:
        from vmserial.guests.cloudinit import Seed

        own = replace(own, seed=Seed(request.login))
    return [own]


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


_BROKEN = re.compile(r"Kernel panic|Oops: |BUG: |Unable to handle kernel")
"""How a kernel begins to say that it can go on no longer, or only in part."""


def _last_words(messages: str) -> str:
    """Return the end of what a console said; of a panic or an oops its beginning, the reason."""
    found = _BROKEN.search(messages)
    return messages[found.start() :][:_WORDS] if found else messages[-_WORDS:]


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
        self._heard: Callable[[Check], None] = lambda _: None

    def numbers(self, title: str) -> Iterator[int]:
        """Yield the numbers of the transfers of one VM.

        The seed and the VM alone decide the bytes, whatever was booted before it, so that
        one VM of a run can be tried again; no two of its transfers share a number.
        """
        first = zlib.crc32(title.encode(errors="replace"))
        for number in itertools.count(first):
            yield (self.seed << _RUN_BITS | number % (1 << _RUN_BITS)) & ((1 << 64) - 1)

    def sink(self, check: Check) -> None:
        """Keep a decided check."""
        self.checks.append(check)
        if self._writer is not None:
            self._writer.add(check)
        self._heard(check)

    def beside(self, reporter: Reporter, heard: Callable[[Check], None]) -> Runner:
        """Return one for a single VM beside others; it keeps what it finds, and ``heard`` of it."""
        made = Runner(self.request, reporter, self.seed, None)
        made._heard = heard
        return made

    def tell(self, environment: TestEnvironment, told: Told) -> None:
        """Report what comes of a case without a boot."""
        machine = self.request.machine
        machine_type = architecture(machine.arch).board(machine)
        self.sink(
            Check(
                case=told.case, arch=machine.arch, machine=machine_type,
                qemu=environment.capabilities.version_text, guest=environment.guest.name,
                kind=told.kind, verdict=told.verdict, detail=told.reason, mode="",
                faults=told.faults,
            )
        )  # fmt: skip

    async def boot(self, environment: TestEnvironment, topology: Topology) -> None:
        """Boot one VM and run its cases; a lost one loses its own checks, the next VM is tried."""
        for note in topology.notes:
            self.reporter.note(note)
        with RunDirectory() as rundir:
            made = self._made(environment, topology, rundir.socket)
            if environment.guest.seed is not None:
                seed = environment.guest.seed.image()
                write_atomic(Path(rundir.socket(SEED_FILE)), seed)
            await self.try_cases(
                environment, made, topology.title, topology.kind, topology.cases, rundir=rundir
            )

    def not_run(self, environment: TestEnvironment, topology: Topology) -> None:
        """Report the checks of a VM that was not booted any more."""
        made = self._made(environment, topology, "/{}".format)
        registry = CheckRegistry(self.sink)
        with RunDirectory() as rundir:
            session = self._session(
                environment, made, topology.title, topology.kind, registry, rundir
            )
            for case in topology.cases:
                case.expect(session)
        registry.close(Verdict.SKIPPED, NOT_RUN)

    def _made(
        self, environment: TestEnvironment, topology: Topology, socket: Callable[[str], str]
    ) -> Setup:
        """Return how a VM is started, and at which of its ports no client is at first."""
        made = setup(topology.machine, environment, self.request.endpoint, socket)
        notes, unattended = [*topology.notes, *made.notes], frozenset[str]()
        if any(case.unattended for case in topology.cases) and not self.request.mutants:
            # A mutant is in the path of a client that is there from the start.
            unattended = without_client(made.plan)
        return replace(made, notes=tuple(notes), late=unattended)

    def _session(
        self, environment: TestEnvironment, made: Setup, title: str, kind: str,
        registry: CheckRegistry, rundir: RunDirectory,
    ) -> Session:  # fmt: skip
        return Session(
            title=title, environment=environment, made=made, kind=kind, request=self.request,
            seed=self.seed, runs=self.numbers(title), registry=registry,
            reporter=self.reporter, rundir=rundir,
        )  # fmt: skip

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
        session = self._session(environment, made, title, kind, registry, rundir)
        names = tuple(case.name for case in cases)
        for case in cases:
            case.expect(session)
        aboard.load(session, [one for case in cases for one in case.known(session)])
        try:
            async with session:
                for case in cases:
                    await session.life.guarded(
                        case.run(session), case.bound(session), f"the case {case.name}"
                    )
                await session.life.guarded(
                    late.look(session), late.bound(session), "what came late"
                )
        except asyncio.CancelledError:
            registry.close(Verdict.SKIPPED, NOT_RUN)
            self.keep(session.booted(names))
            raise
        except LostVMError as error:
            self._lose(session, registry, error)
        except QemuStartError as error:
            self._not_started(session, registry, error)
        self.keep(session.booted(names))

    def _lose(self, session: Session, registry: CheckRegistry, error: LostVMError) -> None:
        words = _last_words(session.ends.messages.strip())
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

    def keep(self, booted: Booted) -> None:
        """Keep what there is to say about a VM, and its console's log."""
        self.booted.append(booted)
        if self.request.out is not None and booted.log_file:
            write_atomic(self.request.out / booted.log_file, booted.console, mode=0o644)
