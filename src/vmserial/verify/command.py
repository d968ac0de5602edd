"""Prove a user's own command line on a test guest.

A private copy of the command (:mod:`vmserial.qemu.isolation`) is first started
paused and asked where its devices are, then booted with the test guest's kernel
and a control port that comes after all else, so that it moves nothing.  What
does not start fails with QEMU's own words; a port without a node fails by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmserial.errors import QemuError, UsageError
from vmserial.machines import architecture
from vmserial.model import Machine, NodeIdentity, Plan
from vmserial.paths import RunDirectory
from vmserial.progress import Reporter, Silent
from vmserial.qemu.isolation import isolate
from vmserial.qemu.liveprobe import Probed, findings, probe, understand
from vmserial.qemu.loop import run_interruptible
from vmserial.qemu.private import PrivateCommand
from vmserial.sources.command import CommandLine, CommandView
from vmserial.verify import mutants
from vmserial.verify.cases.command import NAME, CommandCase
from vmserial.verify.command_setup import platform_of, setup
from vmserial.verify.recording import Recording
from vmserial.verify.request import Limits, TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import Check, Fault, FaultKind, Verdict
from vmserial.verify.runner import Runner, find_environments
from vmserial.verify.setup import CONTROL_SOCKET, Setup
from vmserial.verify.wire.form import SHORT, SMOKE

UNUSED = "QEMU has no UART for it, and nobody misses it: its host side is null"
"""Why a port is skipped that is dead and was never to be used."""


@dataclass(frozen=True)
class Proof:
    """How a command line is proven.

    Attributes:
        alone, together: payload sizes, a frame each.
        limits: how long anything may take.
        timeout: seconds for all transfers together; 0: as long as the ports may need.
        unattended: a usb-serial that is plugged in only while a client is there must be in
            the guest before one is; it fails, and is then proven as all others are.  Not
            with mutants, which are in the path of a client that is there from the start.
        mutants: faults to put in, as :func:`vmserial.verify.mutants.parse` reads them.
        seed: of the data; 0: a new one each time.
        out: where a console's log goes; None: nowhere.
    """

    alone: tuple[int, ...] = SMOKE
    together: tuple[int, ...] = SHORT
    limits: Limits = field(default_factory=Limits)
    timeout: float = 0.0
    unattended: bool = False
    mutants: tuple[str, ...] = ()
    seed: int = 0
    out: Path | None = None


def prove_command(
    command: CommandLine,
    *,
    binary: str = "",
    arch: str = "",
    root: Path | None = None,
    suite: str = "",
    mirror: str = "",
    reporter: Reporter | None = None,
    proof: Proof | None = None,
) -> VerifyReport:
    """Prove a command line on a test guest.  Not for an event loop: packages may be fetched.

    Args:
        command: the user's; nothing that it names is touched.
        binary: the QEMU to run; empty: the command's own if it is here, else ``$PATH``'s.
        arch: where neither the command's emulator nor its machine type tells it.
        root: where the files of -readconfig are; None: as named.
        suite: the Debian release whose kernel is the guest; empty: the architecture's own.
        mirror: where Debian packages come from; empty: as this machine's apt.
        reporter: told what is being done.
        proof: what is sent, and how long it may take.

    Returns:
        The report: also of a command that does not start, or whose VM was lost.

    Raises:
        ConfigError: a value of the command, or a file of -readconfig, is broken.
        BinaryError: there is no such QEMU, or it cannot be asked.
        ImageError: the guest cannot be had.
        UsageError: the architecture or the machine type is not known.
    """
    told = reporter or Silent()
    view, capabilities = understand(command, binary=binary, arch=arch, root=root)
    known = architecture(capabilities.target)
    request = VerifyRequest(
        Machine(known.name, (), machine_type=known.platforms[0].name),
        binaries=(capabilities.binary,), suites=(suite,) if suite else (), mirror=mirror,
    )  # fmt: skip
    (environment,) = find_environments(request, told)
    return run_interruptible(prove(view, environment, reporter=told, proof=proof))


async def prove(
    view: CommandView,
    environment: TestEnvironment,
    *,
    reporter: Reporter | None = None,
    proof: Proof | None = None,
) -> VerifyReport:
    """Prove a command line in an environment.

    Args:
        view: of the command, with the files of -readconfig read.
        environment: the binary that runs it, and the guest.
        reporter: told what is being done.
        proof: what is sent, and how long it may take.

    Raises:
        UsageError: the machine type is not known, or a mutant is for a port that is not there.
    """
    told, proof = reporter or Silent(), proof or Proof()
    request = VerifyRequest(
        Machine(environment.guest.arch, ()), alone=proof.alone, together=proof.together,
        seed=proof.seed, limits=proof.limits, mutants=proof.mutants, out=proof.out,
    )  # fmt: skip
    recording = Recording(request, [environment.capabilities])
    # Its files are its caller's: only a console's log goes to its directory.
    runner = Runner(request, told, recording.seed, None)
    await prove_on(view, environment, runner, proof)
    return recording.report(runner)


async def prove_on(
    view: CommandView, environment: TestEnvironment, runner: Runner, proof: Proof,
    labels: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """As :func:`prove`; what comes of it goes to a runner, which may have others' as well."""
    with RunDirectory() as rundir:
        private = isolate(view, environment.capabilities, rundir.socket, labels)
        platform_of(private)
        _check_mutants(private, proof.mutants)
        runner.reporter.step("asking QEMU, paused")
        try:
            probed = await probe(private, environment.capabilities, rundir=rundir)
        except QemuError as error:
            runner.sink(vm_check(private, environment, Verdict.LOST, error.message))
        else:
            await _boot(runner, private, probed, environment, proof, rundir)


async def _boot(
    runner: Runner, private: PrivateCommand, probed: Probed, environment: TestEnvironment,
    proof: Proof, rundir: RunDirectory,
) -> None:  # fmt: skip
    for note in private.notes:
        runner.reporter.note(note)
    if not probed.starts:
        words = refused_words(probed)
        runner.sink(vm_check(private, environment, Verdict.FAIL, words, FaultKind.REFUSED))
        return
    private, unproven = _provable(private, probed, environment)
    for check in unproven:
        runner.sink(check)
    made = setup(private, probed, environment, rundir.socket(CONTROL_SOCKET))
    for check in _ambiguous(made.plan, private, environment):
        runner.sink(check)
    made = _without_ambiguous(made)
    if proof.unattended and not proof.mutants:
        absent = {port.name for port in probed.ports if port.attached is False}
        there = {one.port.name for one in made.plan.assignments}
        made = replace(made, late=frozenset(absent & there))
    if not made.plan.assignments:
        if not runner.checks:
            runner.sink(
                vm_check(private, environment, Verdict.FAIL, "the command has no serial port")
            )
        return
    case = CommandCase(
        proof.alone, proof.together, timeout=proof.timeout,
        doubted=[port.name for port in probed.ports if port.dead],
    )  # fmt: skip
    await runner.try_cases(environment, made, "the command", "", (case,), rundir=rundir)


def refused_words(probed: Probed) -> str:
    """Return QEMU's own words why a command does not start, and the findings that they are."""
    known = dict.fromkeys(found.id for found in findings(probed) if found.id != "start-failed")
    return " ".join([probed.words, *(f"[{id}]" for id in known)])


def _check_mutants(private: PrivateCommand, texts: Sequence[str]) -> None:
    """Refuse a mutant for a port that is not there: it could never be found."""
    names = {port.name for port in private.ports if port.provable}
    for mutant in map(mutants.parse, texts):
        if not {mutant.port, mutant.other or mutant.port} <= names:
            raise UsageError(
                f"the mutant {mutant} is for a port that the command does not have",
                hint=f"its ports are {', '.join(sorted(names))}",
            )


def _provable(
    private: PrivateCommand, probed: Probed, environment: TestEnvironment
) -> tuple[PrivateCommand, list[Check]]:
    """Return the command with only the ports to be booted for, and the checks of the others."""
    checks: list[Check] = []
    for name, chardev_id in private.without_device:
        detail = f"no device uses the chardev {chardev_id}: the guest has no {name}"
        check = vm_check(private, environment, Verdict.FAIL, detail, FaultKind.NO_NODE)
        checks.append(replace(check, port=name))
    controllers = {port.name: port.controller for port in probed.ports}
    unused = {port.name for port in probed.ports if port.silent and port.open is False}
    kept = []
    for port in private.ports:
        controller = controllers.get(port.name, "")
        if port.name in unused:
            detail = UNUSED
        elif not port.provable:
            detail = f"a test guest cannot tell which node a {port.driver} is"
        elif controller and "xhci" not in controller:
            detail = f"it sits on {controller}: the test guest has a driver for xhci alone"
        else:
            kept.append(port)
            continue
        check = vm_check(private, environment, Verdict.SKIPPED, detail)
        checks.append(replace(check, port=port.name))
    return replace(private, ports=tuple(kept)), checks


def _shared(made: Plan) -> dict[NodeIdentity, list[str]]:
    """Return the identities that several ports have, and which ports."""
    names: dict[NodeIdentity, list[str]] = {}
    for one in made.assignments:
        names.setdefault(one.identity, []).append(one.port.name)
    return {identity: ports for identity, ports in names.items() if len(ports) > 1}


def _ambiguous(made: Plan, private: PrivateCommand, environment: TestEnvironment) -> list[Check]:
    """Return the checks of ports that sit at one place: the guest has one node for them."""
    found = []
    for identity, names in _shared(made).items():
        for name in names:
            others = ", ".join(other for other in names if other != name)
            detail = f"{others} is at {identity} as well: the guest has one node for them"
            check = vm_check(private, environment, Verdict.FAIL, detail, FaultKind.WRONG_NODE)
            found.append(replace(check, port=name))
    return found


def _without_ambiguous(made: Setup) -> Setup:
    shared = _shared(made.plan)
    kept = tuple(one for one in made.plan.assignments if one.identity not in shared)
    return replace(made, plan=replace(made.plan, assignments=kept))


def vm_check(
    private: PrivateCommand, environment: TestEnvironment, verdict: Verdict, detail: str,
    fault: FaultKind | None = None,
) -> Check:  # fmt: skip
    """Return a check about the VM as a whole."""
    return Check(
        case=NAME, arch=private.arch,
        machine=architecture(private.arch).machine_type(private.machine_type),
        qemu=environment.capabilities.version_text, guest=environment.guest.name, kind="",
        verdict=verdict, detail=detail, mode="start",
        faults=(Fault(fault, detail),) if fault is not None else (),
    )  # fmt: skip
