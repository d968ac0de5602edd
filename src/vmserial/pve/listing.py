"""All VMs of a tree at a glance: their ports, and what is wrong with them; pure."""

from __future__ import annotations

from dataclasses import dataclass

from vmserial import chardevs
from vmserial.model import Capabilities, Finding, GuestProfile, Machine, Severity
from vmserial.pve.examine import examine, wrong
from vmserial.pve.judged import Look, kinds_of
from vmserial.pve.mend import Way, look, mend
from vmserial.pve.tree import Conf


@dataclass(frozen=True)
class ListedPort:
    """One port: what it is on the host, what it gets in the guest, and by whom.

    Attributes:
        name: ``serialN``.
        backend: its host side as people write it.
        kind: of its device; empty where it has no place, or where the VM does not start.
        way: ``pve`` (its own line), ``args``, or ``wanted`` (it is not there yet).
    """

    name: str
    backend: str
    kind: str
    way: str


@dataclass(frozen=True)
class Listed:
    """One VM.

    Attributes:
        vmid, name, arch, node: which it is.
        ports: by index.
        findings: what is wrong, the worst first.
        problem: why it cannot be read or planned; then there are no ports.
    """

    vmid: int
    node: str = ""
    name: str = ""
    arch: str = ""
    ports: tuple[ListedPort, ...] = ()
    findings: tuple[Finding, ...] = ()
    problem: str = ""


def listed(
    conf: Conf,
    machine: Machine,
    capabilities: Capabilities,
    guest: GuestProfile,
    *,
    shim: bool,
    look_at: Look | None = None,
) -> Listed:
    """Return one VM's row.

    Raises:
        UsageError: as :func:`vmserial.planning.planner.plan`.
    """
    way: Way = "shim" if shim else "args"
    look_only = way == "args"
    answer = (
        look(conf.document, machine, capabilities, guest, look_at=look_at) if look_only
        else mend(conf.document, machine, capabilities, guest, way, look_at=look_at)
    )  # fmt: skip
    found = examine(conf.document, machine, capabilities, guest, way=way, shim=shim, mended=answer)
    starts = not any(finding.severity is Severity.FAILS for finding in found)
    # A VM that does not start has no devices: what is planned for it is `fix`'s to say.
    kinds = kinds_of(answer.lowered) if starts else {}
    lines = {line.index for line in machine.pve_serials}
    ports = tuple(
        ListedPort(
            port.name,
            chardevs.text(port.chardev),
            kinds.get(port.name, ""),
            "args"
            if port.index in machine.pve_args_ports
            else "pve"
            if port.index in lines
            else "wanted",
        )
        for port in sorted(machine.ports, key=lambda port: port.index)
    )
    # What mends a finding, and the option that it is about, are nobody's here.
    said = tuple(finding.but(options=(), repairs=()) for finding in wrong(found))
    return Listed(conf.place.vmid, conf.place.node, machine.name, machine.arch, ports, said)
