"""What is wrong with a PVE VM's serial ports as PVE starts it, and what is left; pure.

The command is judged as every other one is (:mod:`vmserial.judging`).  Here is what
no rule can see: what the command after the next cold start has of its own, and what the
shim would answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from vmserial.errors import ConfigError
from vmserial.judging import judge
from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.model import (
    Capabilities,
    Finding,
    GuestProfile,
    Machine,
    Severity,
    SourceRef,
    worst_first,
)
from vmserial.pve.judged import Look, going
from vmserial.pve.mend import Mended, Way, look, mend
from vmserial.sources.pve import Document
from vmserial.sources.pve import machine as read_machine
from vmserial.sources.pve.lower import PveHost, lower
from vmserial.sources.pve.reading import Reading
from vmserial.sources.pve.wanted import DIRECTIVE_ONLY, STALE


def examine(
    document: Document,
    machine: Machine,
    capabilities: Capabilities,
    guest: GuestProfile,
    *,
    way: Way = "args",
    shim: bool = False,
    mended: Mended | None = None,
    look_at: Look | None = None,
) -> tuple[Finding, ...]:
    """Return everything that is wrong with a VM's serial ports as PVE starts it.

    Args:
        document: the configuration.
        machine: what it says.
        capabilities: of the binary that PVE starts.
        guest: what the guest carries.
        way: by which ports that PVE cannot start are to be started.
        shim: the emulator shim is installed.
        mended: what :func:`vmserial.pve.mend.mend` makes of it, if that is known.
        look_at: looks at the host; None: nothing that depends on it is said.
    """
    if mended is not None:
        answer = mended
    elif way == "args":
        answer = look(document, machine, capabilities, guest, look_at=look_at)
    else:
        answer = mend(document, machine, capabilities, guest, way, look_at=look_at)
    # Which device a port gets by the shim is the shim's affair.
    told = {name for change in answer.changes for name in change.ports} if way == "shim" else None
    own = [*_twice(answer, machine)]
    leaving = going(document)
    judged = _judged(answer, {name for f in own for name in f.ports}, frozenset(leaving))
    if way == "shim":
        # Its device comes to the line.
        judged = [finding for finding in judged if finding.id != "pve-vga-port"]
    asked = [finding for finding in judged if finding.id in {DIRECTIVE_ONLY, STALE}]
    judged = [finding for finding in judged if finding not in asked]
    said = {name for f in wrong((*judged, *own)) for name in f.ports}
    found = [*judged, *own]
    template = Reading.of(document, None, False).flag("template")
    if template:
        text = "a template: PVE starts it for its disks alone, without a serial port; judge a clone"
        found.append(Finding("caution", Severity.NOTE, text, "how PVE starts it", "know it"))
    found += [
        finding for finding in asked
        if not template and said.isdisjoint(finding.ports)
        and (told is None or told.issuperset(finding.ports))
    ]  # fmt: skip
    if way == "shim":
        answered = _by_the_shim(answer, judged)
        found = [finding for finding in found if finding not in answered]
        chardevs_alone = [f for f in answered if f.ports]
        if not shim and (answered or answer.moved):
            found.append(_no_shim(answer, chardevs_alone))
    found += _pending(document, machine, capabilities, guest, answer)
    return tuple(each.explained() for each in worst_first(found))


def wrong(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return those that are more than notes."""
    return tuple(f for f in findings if f.severity is not Severity.NOTE)


# ------------------------------------------------------------------ what the judge sees


def _judged(answer: Mended, said: set[str], leaving: frozenset[str]) -> list[Finding]:
    """Return what is wrong with the command, but not of ports that are spoken of already."""
    found = []
    for finding in answer.before.found:
        if finding.severity is not Severity.NOTE and said.intersection(finding.ports):
            continue
        soon = set(finding.ports).intersection(leaving)
        if soon and finding.severity is not Severity.NOTE:
            gone = ", ".join(sorted(soon))
            happens = f"{finding.happens}; the pending 'delete: {gone}' ends it at the next start"
            finding = replace(finding, severity=Severity.NOTE, happens=happens, fix="")
        # Of what PVE puts there, its own document knows the way out.
        found.append(replace(finding, fix="") if finding.id.startswith("pve-") else finding)
    return found


def _by_the_shim(answer: Mended, judged: Iterable[Finding]) -> list[Finding]:
    """Return the findings that the shim answers at every start."""
    left = {(f.id, f.ports) for f in answer.after.unmended}
    return [
        finding for finding in judged
        if finding.severity is not Severity.NOTE and finding.repairs
        and (finding.id, finding.ports) not in left
    ]  # fmt: skip


# ------------------------------------------------------------------ what never reaches it


def _twice(answer: Mended, machine: Machine) -> Iterator[Finding]:
    where = {f"serial{line.index}": line.where for line in machine.pve_serials}
    for name in answer.twice:
        yield Finding(
            "id-taken",
            Severity.FAILS,
            f"kvm: Duplicate ID '{name}' for chardev",
            f"args has the port already, and the line '{name}:' asks for it once more",
            f"remove the line: qm set <VMID> --delete {name}",
            (name,),
            where.get(name),
        )


# ------------------------------------------------------------------ the way


def _no_shim(answer: Mended, wants: list[Finding]) -> Finding:
    ports = dict.fromkeys([*(p for f in wants for p in f.ports), *answer.moved])
    starts = not any(f.severity is Severity.FAILS for f in wants)
    return Finding(
        "pve-shim-missing",
        Severity.DEAD if starts else Severity.FAILS,
        "the emulator shim is not installed: "
        + ("these ports have no device" if starts else "the VM does not start"),
        "this way leaves the configuration as PVE writes it, and the shim mends PVE's command",
        "vmserial shim install",
        tuple(ports),
    )


# ------------------------------------------------------------------ what is pending


def _pending(
    document: Document, machine: Machine, capabilities: Capabilities, guest: GuestProfile,
    answer: Mended,
) -> Iterator[Finding]:  # fmt: skip
    """Yield what the pending changes would break at the next cold start."""
    waiting = document.pending
    if waiting is None or not document.changes_pending:
        return
    touched = tuple(dict.fromkeys((*waiting.values, *waiting.deleted)))
    host = PveHost("", capabilities.version)
    now = answer.lowered
    try:
        later = lower(document, machine.vmid, host, pending=True, arch=machine.arch)
        after = read_machine(document, machine.vmid, pending=True, arch=machine.arch)
    except ConfigError as error:
        yield _undone(document, touched, error.message, ())
        return
    if [each.option.argv() for each in now.options] == [e.option.argv() for e in later.options]:
        return
    known = {(f.id, f.ports) for f in answer.before.found}
    gone = set(waiting.deleted)
    lost = [
        f"serial{index}" for index in sorted({*machine.pve_args_ports} - {*after.pve_args_ports})
        if f"serial{index}" not in gone
    ]  # fmt: skip
    new = [
        finding for finding in judge(later, capabilities, guest).found
        if finding.severity is not Severity.NOTE and (finding.id, finding.ports) not in known
    ]  # fmt: skip
    unknown = [
        line for line in after.pve_serials
        if line.index >= PVE_SERIAL_PORTS and line not in machine.pve_serials
    ]  # fmt: skip
    if lost:
        yield _undone(document, touched, "args is replaced, and its ports are gone", tuple(lost))
    elif new:
        yield _undone(document, touched, new[0].happens, new[0].ports)
    elif unknown:
        name = f"serial{unknown[0].index}"
        yield _undone(document, touched, f"{name}: PVE has no such line", (name,))


def _undone(
    document: Document, touched: tuple[str, ...], happens: str, ports: tuple[str, ...]
) -> Finding:
    waiting = document.pending
    place: SourceRef | None = document.where(waiting.line) if waiting is not None else None
    return Finding(
        "pve-pending",
        Severity.FAILS,
        f"after the next cold start: {happens}",
        f"changes are pending ({', '.join(touched)}); PVE applies them then",
        "revert them (qm set <VMID> --revert <key>), or apply them by a cold start and call fix "
        "after it",
        ports,
        place,
    )
