"""What a plan and the user's own ``args`` would fight over, or miss from each other.

QEMU would not start, or would start with a dead port; so the plan is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from vmserial.allocator import Allocator
from vmserial.model import Assignment, Finding, Severity, TcpSocket, refusal
from vmserial.options import Option


def clashes(
    allocator: Allocator, options: Sequence[Option], assignments: Sequence[Assignment]
) -> Iterator[Finding]:
    """Yield what is wrong between a plan and the user's args.

    Args:
        allocator: with what the args take.
        options: of everything but the ports.
        assignments: of the ports.
    """
    yield from _ids(allocator, options, assignments)
    yield from _isa(allocator, options, assignments)
    yield from _buses(allocator, options)
    yield from _credentials(allocator, options, assignments)


def _ids(
    allocator: Allocator, options: Iterable[Option], assignments: Iterable[Assignment]
) -> Iterator[Finding]:
    """Ids that both would give."""
    ours = [f"-device {device.id}" for device in allocator.devices]
    for assignment in assignments:
        ours.append(f"-chardev {assignment.chardev_id}")
        if assignment.device is not None:
            ours.append(f"-device {assignment.device.id}")
    ours += [f"{o.flag} {value}" for o in options for key, value in o.params if key == "id"]
    for clash in sorted(allocator.ids.intersection(ours)):
        flag, identifier = clash.split(" ", 1)
        yield refusal(
            "id-taken",
            f"args already have {flag} with id={identifier}, which the plan needs",
            f"give it another id in args, or remove {identifier} from the configuration",
            where=allocator.machine.args_where,
        )


def _isa(
    allocator: Allocator, options: Sequence[Option], assignments: Iterable[Assignment]
) -> Iterator[Finding]:
    """Two ISA ports at one place: QEMU starts, and one of them is dead."""
    if allocator.isa_of_args and not allocator.platform.isa:
        yield refusal(
            "kind-not-on-arch",
            "args: 'isa-serial' is not a valid device model name: "
            f"{allocator.architecture.name} {allocator.platform.name} has no ISA bus",
            "take it out of args and ask for a port: PVE: '#vmserial serial1: socket'",
            where=allocator.machine.args_where,
        )
        return
    made = [*options, *(a.device.option() for a in assignments if a.kind == "isa" and a.device)]
    ours = {int(dict(o.params)["index"]) for o in made if o.head == "isa-serial"}
    place = _isa_clash(allocator, ours)
    if place is not None:
        yield refusal(
            "isa-clash",
            f"the isa-serial in args would have index {place}, which is taken: QEMU "
            "starts, and one of the two ports is dead",
            "write an index (index=0 to index=3) of its own into args; the plan goes around it",
            where=allocator.machine.args_where,
            severity=Severity.DEAD,
        )


def _buses(allocator: Allocator, options: Iterable[Option]) -> Iterator[Finding]:
    """Devices of the args on bridges that PVE makes and this plan does not."""
    there = {str(value) for o in options for key, value in o.params if key == "id"}
    root = allocator.platform.root_bus
    there |= {clash.partition(" ")[2] for clash in allocator.ids} | {root}
    for bus in dict.fromkeys(allocator.buses_of_args):
        if re.fullmatch(r"pcie?\.[0-9]+", bus) and bus not in there:
            yield refusal(
                "bus-missing",
                f"args put a device on {bus}, which only PVE's own command line has",
                f"put it on {root}, or add the bridge to args before it: "
                f"-device pci-bridge,id={bus},chassis_nr=9,bus={root},addr=1a",
                where=allocator.machine.args_where,
            )


def _credentials(
    allocator: Allocator, options: Iterable[Option], assignments: Iterable[Assignment]
) -> Iterator[Finding]:
    """TLS without the objects that it names: the owner's, or the user's in args."""
    there = {str(dict(o.params).get("id")) for o in options if o.flag == "-object"}
    for port in (assignment.port for assignment in assignments):
        backend = port.chardev.backend
        if not isinstance(backend, TcpSocket):
            continue
        for identifier in filter(None, (backend.tls_creds, backend.tls_authz)):
            if f"-object {identifier}" not in allocator.ids and identifier not in there:
                yield refusal(
                    "object-missing",
                    f"{port.name} names the object {identifier}, and no -object has this id: "
                    "QEMU does not start",
                    "add it to args, such as '-object tls-creds-x509,"
                    f"id={identifier},endpoint=server,dir=/etc/pki/qemu'",
                    ports=(port.name,),
                    where=port.where,
                )


def _isa_clash(allocator: Allocator, ours: set[int]) -> int | None:
    """Return the index that the user's isa-serial would share with another; None if none.

    Args:
        allocator: of the plan.
        ours: the indexes of the plan's own isa-serial devices.
    """
    taken = ours | allocator.isa_of_serial
    made = len(taken)
    for index in allocator.isa_of_args:
        # Where none is said, QEMU takes the number of those made before (serial-isa.c).
        place = made if index is None else index
        if place in taken:
            return place
        taken = taken | {place}
        made += 1
    return None
