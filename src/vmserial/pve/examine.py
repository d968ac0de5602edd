"""What is wrong with a PVE configuration on its host, and what is left after a repair; pure."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial import doctor
from vmserial.errors import ConfigError
from vmserial.model import Capabilities, Finding, GuestProfile, Machine, Severity
from vmserial.pve.mend import DIRECTIVE_ONLY, NO_DEVICE, STALE, TWICE, Mended, Way, mend
from vmserial.sources.pve import Document
from vmserial.sources.pve import machine as read_machine

_SHIM_ANSWERS = frozenset({"pve-isa-on-aarch64", "pve-isa-limit", "isa-clash", NO_DEVICE})
"""What the shim mends at every start."""

_NOT_PVES = frozenset({"bus-missing", "agent-isa-not-on-arch", "machine-not-in-binary"})
"""Refusals of our own command lines: PVE's has bridges of its own, PVE chooses the machine's
version, and of the agent PVE's own finding speaks."""


def examine(
    document: Document,
    machine: Machine,
    capabilities: Capabilities,
    guest: GuestProfile,
    *,
    way: Way = "args",
    shim: bool = False,
    mended: Mended | None = None,
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

    Raises:
        UsageError: as :func:`vmserial.planning.planner.plan`.
    """
    answer = mended or mend(document, machine, capabilities, guest, way)
    found = [
        finding
        for finding in doctor.diagnose(machine, capabilities, guest)
        if finding.id not in _NOT_PVES and not _of_our_command(finding, answer)
    ]
    found += _of_changes(answer, machine, {p for f in found for p in f.ports})
    found += _stuck(answer, machine)
    if way == "shim":
        wants = [f for f in found if f.id in _SHIM_ANSWERS]
        found = [f for f in found if f.id not in _SHIM_ANSWERS]
        if not shim and (wants or answer.moved):
            found.append(_no_shim(answer, wants))
    found += _pending(document, machine, capabilities, guest)
    return tuple(sorted(found, key=lambda f: list(Severity).index(f.severity)))


def wrong(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return those that are more than notes."""
    return tuple(f for f in findings if f.severity is not Severity.NOTE)


def _of_our_command(finding: Finding, answer: Mended) -> bool:
    """Tell whether a note is only about what our own command line does differently from PVE's."""
    return finding.severity is Severity.NOTE and finding.happens in map(
        str, answer.plan.machine.notes
    )


def _of_changes(answer: Mended, machine: Machine, said: set[str]) -> Iterator[Finding]:
    """Yield what no rule about PVE's own lines has named yet."""
    where = {port.name: port.where for port in machine.ports}
    for change in answer.changes:
        for name in change.ports:
            place = where.get(name)
            if change.id == TWICE:
                yield Finding(
                    "id-taken",
                    Severity.FAILS,
                    f"kvm: Duplicate ID '{name}' for chardev",
                    f"args has the port already, and the line '{name}:' asks for it once more",
                    f"remove the line: qm set <VMID> --delete {name}",
                    (name,),
                    place,
                )
            elif change.id == DIRECTIVE_ONLY and name not in said:
                yield Finding(
                    "pve-directive-only",
                    Severity.DEAD,
                    f"{name}: PVE starts the VM without this port, or with another device",
                    "only vmserial reads '#vmserial' lines; for PVE they are a description",
                    "'vmserial fix' puts its device into args:",
                    (name,),
                    place,
                )
            elif change.id == STALE:
                yield Finding(
                    "pve-args-stale",
                    Severity.DEAD,
                    f"{name}: what args has for it is not what the configuration asks for",
                    "the lines about the port, or what it is planned for, changed after args "
                    "was written",
                    "'vmserial fix' writes it anew",
                    (name,),
                    machine.args_where,
                )
            elif change.id == NO_DEVICE:
                yield Finding(
                    "port-without-device",
                    Severity.DEAD,
                    f"{name}: args has its chardev and no device: the guest has no such port",
                    "the emulator shim gives such a chardev its device, and it is not installed",
                    "'vmserial shim install', or 'vmserial fix --way args'",
                    (name,),
                    machine.args_where,
                )


def _stuck(answer: Mended, machine: Machine) -> Iterator[Finding]:
    for name in answer.stuck:
        yield Finding(
            "pve-vga-port",
            Severity.FAILS,
            f"{name} cannot leave its line: 'vga: {name}' makes it the VM's screen",
            "PVE shows only a port of its own lines as the screen, and PVE's own device for "
            "this one does not start or is not the one that is asked for",
            f"install the shim ('vmserial fix --way shim'), or set 'vga: serial0' and "
            f"'serial0: socket', and call fix again for {name}",
            (name,),
            machine.place_of("display"),
        )


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


def _pending(
    document: Document, machine: Machine, capabilities: Capabilities, guest: GuestProfile
) -> Iterator[Finding]:
    """Yield what the pending changes would break at the next cold start."""
    waiting = document.pending
    if waiting is None or not (waiting.values or waiting.deleted):
        return
    touched = [
        key
        for key in (*waiting.values, *waiting.deleted)
        if key == "args" or key.startswith("serial") or key in {"agent", "vga", "machine", "arch"}
    ]
    if not touched:
        return
    vmid = _vmid(machine)
    try:
        after = read_machine(document, vmid, pending=True, arch=machine.arch)
    except ConfigError as error:
        yield _undone(document, touched, error.message, ())
        return
    lost = set(machine.pve_args_ports) - set(after.pve_args_ports)
    known = {(f.id, f.ports) for f in doctor.diagnose(machine, capabilities, guest)}
    new = [
        f
        for f in doctor.diagnose(after, capabilities, guest)
        if f.id.startswith("pve-") and (f.id, f.ports) not in known
    ]
    if lost:
        names = tuple(f"serial{index}" for index in sorted(lost))
        yield _undone(document, touched, "args is replaced, and its ports are gone", names)
    elif new:
        yield _undone(document, touched, new[0].happens, new[0].ports)


def _undone(
    document: Document, touched: list[str], happens: str, ports: tuple[str, ...]
) -> Finding:
    waiting = document.pending
    return Finding(
        "pve-pending",
        Severity.FAILS,
        f"after the next cold start: {happens}",
        f"changes are pending ({', '.join(dict.fromkeys(touched))}); PVE applies them then",
        "revert them (qm set <VMID> --revert <key>), or apply them by a cold start and call fix "
        "after it",
        ports,
        document.where(waiting.line) if waiting is not None else None,
    )


def _vmid(machine: Machine) -> int | None:
    import re

    name = machine.where.file if machine.where is not None else ""
    match = re.search(r"(?:\A|/)([0-9]{1,9})\.conf\Z", name)
    return int(match[1]) if match else None
