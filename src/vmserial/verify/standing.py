"""Prove an input as it stands: the command that its owner starts, with all that is wrong with it.

Bytes alone do not tell it all: a private copy has other backends, and a test guest may have
more ports than the user's own.  So what the judge finds counts as well: the check that shows
a finding gets its id, and a finding that no check shows is a red check of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmserial.errors import QemuError
from vmserial.machines import architecture
from vmserial.model import Capabilities, Finding, Machine, Severity
from vmserial.paths import RunDirectory
from vmserial.progress import Reporter
from vmserial.qemu import liveprobe
from vmserial.qemu.isolation import isolate
from vmserial.qemu.liveprobe import Probed
from vmserial.rules.index import PHASES
from vmserial.sources.command import CommandLine, CommandView
from vmserial.verify.cases.command import NAME
from vmserial.verify.command import UNUSED, Proof, prove_on, refused_words
from vmserial.verify.recording import Keep, Recording
from vmserial.verify.request import TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import NOT_RUN, Check, Fault, FaultKind, Verdict
from vmserial.verify.results_file import ResultsFile
from vmserial.verify.runner import Runner, find_environments, too_old_for_a_guest

JUDGED = "judged"
"""The mode of a check that a finding alone made red: nothing that was tried shows it."""

PAUSED = "paused"
"""The mode of a check on a paused VM: asked of QEMU, no guest was there."""

_TELLING = 12
"""Characters of QEMU's words that no two of its messages share by chance."""

_BAD = frozenset({Verdict.FAIL, Verdict.LOST})


@dataclass(frozen=True)
class Standing:
    """An input, as its owner starts it.

    Attributes:
        command: what its owner starts; of a PVE configuration or a domain the lowered command.
        findings: what the judge has against it.
        arch: where the command does not tell it.
        root: where the files of -readconfig are; None: as named.
        labels: the names of ports by the ids of their chardevs, where the source has its own.
        refusals: why its owner refuses to start it at all.
    """

    command: CommandLine
    findings: tuple[Finding, ...] = ()
    arch: str = ""
    root: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()


@dataclass
class Named:
    """Puts the ids of findings onto the checks that show them, and keeps the others.

    Attributes:
        findings: what is wrong; notes are left out.
        shown: the ids and ports of those that a check showed.
    """

    findings: Sequence[Finding]
    shown: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Leave out what is only to be known."""
        self.findings = [one for one in self.findings if one.severity is not Severity.NOTE]

    def named(self, check: Check) -> Check:
        """Return a check with the ids of the findings that it shows."""
        if check.verdict not in _BAD or check.mode == JUDGED:
            return check
        if check.port:
            ids = [one.id for one in self.findings if check.port in one.ports]
        else:
            of_vm = [one for one in self.findings if one.severity is Severity.FAILS]
            check = _by_its_findings_name(check, of_vm)
            # QEMU's own words tell which one it is; where nobody knows them it may be any.
            known = [one.id for one in of_vm if f"[{one.id}]" in check.detail]
            ids = known or ([] if "[" in check.detail else [one.id for one in of_vm])
        self.shown |= {(id, check.port) for id in ids}
        new = [f"[{id}]" for id in dict.fromkeys(ids) if f"[{id}]" not in check.detail]
        return replace(check, detail=" ".join([check.detail, *new])) if new else check

    def rest(self) -> list[tuple[str, Finding]]:
        """Return what no check showed: a port's name (or nothing) and a finding of it."""
        found: list[tuple[str, Finding]] = []
        for one in self.findings:
            ports = one.ports or ("",)
            found += [(port, one) for port in ports if (one.id, port) not in self.shown]
        return found


def _by_its_findings_name(check: Check, findings: Sequence[Finding]) -> Check:
    """Return a check that calls what QEMU said as the finding about it does.

    QEMU's words alone have a general id: they do not tell who wrote an option, nor what its
    writer meant.  A finding that expects those very words knows.
    """
    match = re.search(r" \[([a-z0-9-]+)\]\Z", check.detail)
    if match is None or any(one.id == match[1] for one in findings):
        return check
    words = check.detail[: match.start()]
    parts = words.split(": ")
    ends = [": ".join(parts[at:]) for at in range(len(parts))]
    expected = [
        one.id for one in findings
        if any(len(end) >= _TELLING and end in one.happens for end in ends)
    ]  # fmt: skip
    owners = {id for rules in PHASES for rule in rules if rule.id == match[1]
              for id in (rule.aliases or {}).values()}  # fmt: skip
    expected += [one.id for one in findings if one.id in owners]
    # What libvirt refuses QEMU is never asked.
    expected += [
        one.id for one in findings
        if one.id.startswith("libvirt-") or "libvirt refuses the domain" in one.happens
    ]  # fmt: skip
    return replace(check, detail=f"{words} [{expected[0]}]") if expected else check


class _NamingRunner(Runner):
    """A runner whose checks name the findings that they show."""

    def __init__(
        self, request: VerifyRequest, reporter: Reporter, seed: int, writer: ResultsFile | None,
        named: Named,
    ) -> None:  # fmt: skip
        super().__init__(request, reporter, seed, writer)
        self.named = named

    def sink(self, check: Check) -> None:
        super().sink(self.named.named(check))


def environments(
    capabilities: Capabilities, view: CommandView, request: VerifyRequest, reporter: Reporter
) -> tuple[TestEnvironment, ...]:
    """Return on what a command can be booted; empty: it can only be asked while paused.

    Args:
        capabilities: of the binary that runs it.
        view: of the command.
        request: which binaries and guests.
        reporter: told what is being done.

    Raises:
        BinaryError, ImageError, UsageError: as :func:`find_environments`.
    """
    known = architecture(capabilities.target)
    machine_type = view.machine_type.partition("+pve")[0]
    if known.platform(machine_type) is None:
        reporter.note(
            f"{capabilities.target}'s {machine_type} is asked while paused: "
            "ports are booted on "
            f"{', '.join(one.name for one in known.platforms)}"
        )
        return ()
    if not known.suites and not request.kernel:
        reporter.note(
            f"{known.name} is asked while paused: there is no test guest for it; "
            "--kernel and --initrd give one"
        )
        return ()
    if capabilities.version < known.guest_needs and not request.binaries:
        reporter.note(
            f"{known.name} is asked while paused: {too_old_for_a_guest(known, capabilities)}"
        )
        return ()
    board = Machine(known.name, (), machine_type=known.platforms[0].name)
    binaries = request.binaries or (capabilities.binary,)
    return find_environments(replace(request, machine=board, binaries=binaries), reporter)


async def run(
    standing: Standing,
    request: VerifyRequest,
    reporter: Reporter,
    *,
    view: CommandView,
    environments: Sequence[TestEnvironment] = (),
    asked: Sequence[Capabilities] = (),
    keep: Keep | None = None,
) -> VerifyReport:
    """Prove an input as it stands.

    Args:
        standing: what.
        request: how, and where the results go.
        reporter: told what is being done.
        view: of its command, with the files of -readconfig read.
        environments: what it is booted on.
        asked: the binaries that are only asked, with the VM paused.
        keep: told what was done until then if the run is cancelled, as by Ctrl-C.

    Raises:
        UsageError: a device cannot be made private, or a mutant is for a port that is not there.
    """
    binaries = [*(one.capabilities for one in environments), *asked]
    recording = Recording(request, binaries, keep=keep)
    proof = Proof(
        request.alone, request.together, request.limits, unattended=True,
        mutants=request.mutants, seed=recording.seed, out=request.out,
    )  # fmt: skip
    named = Named(standing.findings)
    with recording.file() as writer:
        runner = _NamingRunner(request, reporter, recording.seed, writer, named)
        left: list[TestEnvironment | Capabilities] = [*environments, *asked]

        def judged() -> None:
            template = runner.checks[-1] if runner.checks else None
            for port, finding in named.rest():
                runner.sink(_judged(template, binaries[0], port, finding))
            for words in standing.refusals:
                about = replace(_about(template, binaries[0]), mode=JUDGED)
                runner.sink(_red(about, f"its owner does not start it: {words}", FaultKind.REFUSED))

        def rest() -> None:
            for one in left:
                runner.sink(_not_run(view, one))
            # What is found without a VM is known all the same.
            judged()

        with recording.until_cut(runner, rest):
            for environment in environments:
                await prove_on(view, environment, runner, proof, standing.labels)
                left.remove(environment)
            for capabilities in asked:
                await _ask(view, capabilities, runner, standing.labels)
                left.remove(capabilities)
        judged()
        return recording.report(runner)


def _not_run(view: CommandView, one: TestEnvironment | Capabilities) -> Check:
    """Return the check of a VM that was not begun, or not done with, when the run was cut short."""
    if isinstance(one, TestEnvironment):
        capabilities, guest, mode = one.capabilities, one.guest.name, "end"
    else:
        capabilities, guest, mode = one, "none", PAUSED
    machine_type = architecture(capabilities.target).machine_type(view.machine_type)
    return Check(
        case=NAME, arch=capabilities.target, machine=machine_type, qemu=capabilities.version_text,
        guest=guest, kind="", verdict=Verdict.SKIPPED, detail=NOT_RUN, mode=mode,
    )  # fmt: skip


def _judged(
    template: Check | None, capabilities: Capabilities, port: str, finding: Finding
) -> Check:
    where = f" ({finding.where})" if finding.where else ""
    check = replace(_about(template, capabilities), port=port, mode=JUDGED)
    fails = finding.severity is Severity.FAILS
    kind = FaultKind.REFUSED if fails else FaultKind.NO_NODE
    return _red(check, f"{finding.happens}{where} [{finding.id}]", kind)


def _about(template: Check | None, capabilities: Capabilities) -> Check:
    return Check(
        case=NAME, arch=capabilities.target, machine=template.machine if template else "",
        qemu=capabilities.version_text, guest=template.guest if template else "", kind="",
    )  # fmt: skip


# ------------------------------------------------------------------ without a guest


async def _ask(
    view: CommandView, capabilities: Capabilities, runner: Runner, labels: Mapping[str, str]
) -> None:
    """Ask a paused QEMU about each port, and sink what it says."""
    runner.reporter.step(f"asking QEMU {capabilities.version_text}, paused")
    with RunDirectory() as rundir:
        private = isolate(view, capabilities, rundir.socket, labels)
        for note in private.notes:
            runner.reporter.note(note)
        about = Check(
            case=NAME, arch=private.arch,
            machine=architecture(private.arch).machine_type(private.machine_type),
            qemu=capabilities.version_text, guest="none", kind="", mode=PAUSED,
        )  # fmt: skip
        try:
            probed = await liveprobe.probe(private, capabilities, rundir=rundir)
        except QemuError as error:
            runner.sink(replace(about, verdict=Verdict.LOST, detail=error.message))
            return
    for check in paused_checks(about, probed):
        runner.sink(check)


def paused_checks(about: Check, probed: Probed) -> list[Check]:
    """Return what a paused QEMU proves of each port; pure.

    Args:
        about: a check of that VM as a whole, which the others are like.
        probed: what QEMU said.
    """
    if not probed.starts:
        return [_red(about, refused_words(probed), FaultKind.REFUSED)]
    wrong = {name: found for found in liveprobe.findings(probed) for name in found.ports}
    made = [replace(about, detail="QEMU starts with it, as far as the board and its devices go")]
    for port in probed.ports:
        check = replace(about, port=port.name)
        if found := wrong.get(port.name):
            made.append(_red(check, f"{found.happens} [{found.id}]", FaultKind.NO_NODE))
        elif port.open or port.driver == "virtserialport":
            made.append(replace(check, detail="a device serves it: asked while paused"))
        elif port.silent:
            made.append(replace(check, verdict=Verdict.SKIPPED, detail=UNUSED))
        else:
            detail = "no device has opened its chardev (query-chardev: frontend-open is false)"
            made.append(_red(check, detail, FaultKind.NO_NODE))
    for name, chardev_id in probed.without_device:
        detail = f"no device uses the chardev {chardev_id}: the guest has no {name}"
        made.append(_red(replace(about, port=name), detail, FaultKind.NO_NODE))
    return made


def _red(check: Check, detail: str, kind: FaultKind) -> Check:
    return replace(check, verdict=Verdict.FAIL, detail=detail, faults=(Fault(kind, detail),))
