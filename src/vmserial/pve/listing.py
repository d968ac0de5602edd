"""All VMs of a tree at a glance: their ports, and what is wrong with them; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vmserial import chardevs
from vmserial.context.origins import Origins
from vmserial.context.ports import ports_of
from vmserial.model import Capabilities, Finding, GuestProfile, Machine, Severity
from vmserial.model.origin import LoweredCommand
from vmserial.pve.examine import examine, wrong
from vmserial.pve.judged import DRIVERS, Look, kinds_of
from vmserial.pve.mend import Way, look, mend
from vmserial.pve.tree import Conf
from vmserial.sources.command import CommandView


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


def own_ports(lowered: LoweredCommand, machine: Machine) -> tuple[ListedPort, ...]:
    """Return the ports that ``args:`` has under ids of the user's own, in its order.

    Args:
        lowered: what PVE starts.
        machine: what the configuration asks for: its ports are not among them.
    """
    view = CommandView.of(Origins.of_command(lowered).line, arch=lowered.arch)
    known = {port.name for port in machine.ports}
    found = []
    for port in ports_of(view, lowered.labels):
        if port.channel or port.name in known:
            continue
        entry = port.onboard.host if port.onboard is not None else None
        if entry is None or entry.form == "chardev":
            back_end = view.chardev(port.chardev_id)
            chardev = back_end.chardev if back_end is not None else None
        else:
            chardev = entry.chardev
        text = chardevs.text(chardev) if chardev is not None else port.option.value or ""
        kind = "uart" if port.onboard is not None else DRIVERS.get(port.driver, "")
        found.append(ListedPort(port.name, text, kind, "args"))
    return tuple(found)


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
    if machine.args:
        others = own_ports(answer.lowered, machine)
        ports += others if starts else tuple(replace(port, kind="") for port in others)
    return Listed(conf.place.vmid, conf.place.node, machine.name, machine.arch, ports, said)
