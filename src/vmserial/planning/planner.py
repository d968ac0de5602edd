"""The planner: a Machine, a binary and a guest in; a Plan out.  Pure: no I/O, no clock.

Order of work: what the board and the user's own ``args`` take; then everything
that is not a serial port (:mod:`vmserial.planning.layout`); then each port in the order
of its index (:mod:`vmserial.placing`).  Nothing is guessed silently: what was
assumed is in :attr:`Plan.assumptions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vmserial.allocator import Allocator
from vmserial.devices.virtio_serial import no_controller
from vmserial.errors import PlanRefused
from vmserial.free_places import on_pve
from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.machines import Architecture, Platform, architecture
from vmserial.model import (
    Assignment,
    Capabilities,
    Finding,
    GuestProfile,
    Machine,
    Plan,
    SerialPort,
    Stdio,
    UnixSocket,
    refusal,
)
from vmserial.model.origin import LoweredCommand
from vmserial.options import Option
from vmserial.placing import Placer, onboard_uarts
from vmserial.planning.conflicts import clashes
from vmserial.planning.control import CONTROLLER, control_port
from vmserial.planning.layout import Layout
from vmserial.planning.layout.owner import OwnerLayout, as_started
from vmserial.planning.memory import memory_kib, no_room
from vmserial.planning.numbering import numbered
from vmserial.planning.owners import OwnersPorts

if TYPE_CHECKING:
    from vmserial.planning.kept import KeptPorts


def plan(
    machine: Machine, capabilities: Capabilities, guest: GuestProfile, *, control: bool = False
) -> Plan:
    """Give every port of ``machine`` a device, a bus and an address, and say why.

    Args:
        machine: what is asked for.
        capabilities: the binary's; an empty device list means "unknown, has all".
        guest: what the guest's kernel carries.
        control: add the harness's own virtserialport on a controller of its own,
            placed after all ports so that it moves none of them.

    Returns:
        The plan.  What cannot be carried is in ``refusals``; the other ports are
        planned all the same, so that one call shows everything that is wrong.

    Raises:
        UsageError: the architecture is not known, or a value that no QEMU takes.
    """
    arch = architecture(machine.arch)
    lowered = machine.started(capabilities.version) if machine.started is not None else None
    if lowered is not None:
        machine = as_started(machine, lowered)
    if lowered is None:
        platform = arch.planned_on(machine)
    else:
        platform = arch.platform(machine.machine_type, dict(machine.machine_options))
    if platform is None:
        names = ", ".join(entry.name for entry in arch.platforms)
        return Plan(
            machine, capabilities, guest, (), (),
            refusals=(
                refusal(
                    "machine-unknown",
                    f"machine type {machine.machine_type!r} is not one that {arch.name} serial "
                    "ports can be planned on",
                    f"known for {arch.name}: {names}",
                    where=machine.place_of("machine_type"),
                ),
            ),
        )  # fmt: skip
    if lowered is not None and lowered.owner == "pve":
        machine = on_pve(machine, platform.name)
    return _Planner(machine, capabilities, guest, arch, platform, lowered).run(control)


_MANY = 10
"""Ports with one reason from which on the first and the last of them stand for all."""


def require(made: Plan) -> None:
    """Raise PlanRefused if the plan holds refusals; all of them are named, each reason once."""
    if made.refusals:
        first = made.refusals[0]
        reasons: dict[str, list[str]] = {}
        for refused in made.refusals[1:]:
            reasons.setdefault(refused.happens, []).append(", ".join(refused.ports) or "vm")
        more = [
            f"{', '.join(names) if len(names) < _MANY else f'{names[0]} to {names[-1]}'}: {happens}"
            for happens, names in reasons.items()
        ]
        seen = list(dict.fromkeys(r.fix for r in made.refusals if r.fix))
        raise PlanRefused(
            "\n".join([first.happens, *more]),
            hint="; or ".join(seen[:3]),
            where=str(first.where) if first.where else ", ".join(first.ports),
        )


class _Planner:
    """One planning; holds what is collected on the way."""

    def __init__(
        self,
        machine: Machine,
        capabilities: Capabilities,
        guest: GuestProfile,
        arch: Architecture,
        platform: Platform,
        lowered: LoweredCommand | None,
    ) -> None:
        self.machine = machine
        self.capabilities = capabilities
        self.guest = guest
        self.arch = arch
        self.platform = platform
        self.warnings: list[str] = []
        self.assumptions: list[str] = []
        self.refusals: list[Finding] = []
        self.allocator = Allocator(machine, arch, platform, capabilities, guest)
        # What its owner starts is mended as the judge does it, and that brings whole cards.
        self.allocator.whole_cards = lowered is not None
        self.kept: OwnersPorts | KeptPorts | None = None
        if lowered is not None and lowered.owner == "libvirt":
            from vmserial.planning.kept import KeptPorts  # only domains need it

            self.kept = KeptPorts(self.allocator, lowered)
        elif lowered is not None:
            self.kept = OwnersPorts(self.allocator, lowered)

    def run(self, control: bool) -> Plan:
        allocator, machine = self.allocator, self.machine
        self.check_binary()
        self.check_guest()
        allocator.uarts_left = self.onboard_uarts()
        if self.platform.uart is not None and self.platform.uart.is_8250:
            # They are on the board whether a -serial is connected to them or not.
            allocator.uarts_8250 = allocator.uarts_left
        allocator.isa_free = list(range(ISA_SERIAL_PORTS)) if self.platform.isa else []
        for slot, _ in machine.taken:
            allocator.take(slot)
        ports = self.checked_ports()
        placer = Placer(allocator, self.refusals)
        kept = self.kept.place(ports, placer) if self.kept is not None else []
        allocator.read_args()
        layout = self.layout()
        layout.build()
        placed_ports = {a.port.name for a in kept}
        rest = [port for port in ports if port.name not in placed_ports]
        assignments = [*kept, *(a for port in rest if (a := placer.assign(port)) is not None)]
        if allocator.virtio or control:
            assignments = self.pinned(assignments)
        assignments = [placer.settled(a) for a in assignments]
        assignments.sort(key=lambda a: a.port.index)
        assignments = numbered(allocator, assignments)
        placed = self.control() if control else None
        self.refusals += clashes(allocator, layout.options, assignments)
        self.refusals[:0] = layout.refusals
        memory = memory_kib([*assignments, placed], self.capabilities)
        self.refusals += no_room(machine, memory)
        self.warnings += [str(note) for note in layout.notes]
        self.note_facts(assignments)
        return Plan(
            machine=replace(machine, notes=(*machine.notes, *layout.notes)),
            qemu=self.capabilities,
            guest=self.guest,
            options=tuple(self.options(layout, assignments, placed, placer.chardevs)),
            assignments=tuple(assignments),
            control=placed,
            warnings=tuple(dict.fromkeys(self.warnings)),
            assumptions=tuple(self.assumptions),
            refusals=tuple(self.refusals),
            memory_kib=memory,
        )

    # -------------------------------------------------------------- as their owner has them

    def layout(self) -> Layout:
        """Return the layout of everything but the ports."""
        if self.kept is None:
            return Layout(self.allocator)
        if isinstance(self.kept, OwnersPorts):
            layout = OwnerLayout(self.allocator)
            layout.lowered, layout.numbers = self.kept.lowered, self.kept.numbers
            return layout
        from vmserial.planning.layout.domain import DomainLayout  # only domains need it

        made = DomainLayout(self.allocator)
        made.lowered = self.kept.lowered
        return made

    def pinned(self, assignments: list[Assignment]) -> list[Assignment]:
        """Return virtio ports of libvirt's on their bus: QEMU would give them the newest one."""
        if self.kept is None or isinstance(self.kept, OwnersPorts):
            return assignments
        from vmserial.planning.kept import with_their_bus

        return [with_their_bus(a, self.kept.lowered) for a in assignments]

    # -------------------------------------------------------------- before placing

    def check_binary(self) -> None:
        capabilities = self.capabilities
        self.refusals += _lacking(self.machine, self.arch, self.platform, capabilities)
        if not capabilities.measured:
            self.assumptions.append(
                f"no QEMU binary was asked: the devices and on-board UARTs of "
                f"{capabilities.version_text} are assumed from a table"
            )

    def check_guest(self) -> None:
        if not self.guest.limits_known:
            self.assumptions.append(
                f"the guest is {self.guest.name} ({self.guest.source}): how many serial ports it "
                "takes, and whether it has the drivers, is not known here"
            )
        elif self.guest.assumed:
            self.assumptions.append(
                f"nobody said which system the guest runs: assumed {self.guest.source} "
                f"({self.guest.uarts_8250} 8250 ports, usb-serial and virtio drivers); "
                "name it with --guest"
            )

    def onboard_uarts(self) -> int:
        """Return how many UARTs ``-serial`` reaches; say so where it is from the table."""
        uart = self.platform.uart
        if uart is None:
            return 0
        count, measured = onboard_uarts(
            self.platform,
            self.machine.machine_type,
            dict(self.machine.machine_options),
            self.capabilities,
        )
        if not measured:
            self.assumptions.append(
                f"on-board UARTs of {self.platform.name} were not measured: "
                f"{uart.assumed(self.capabilities.version)} assumed "
                f"for QEMU {self.capabilities.version_text} ({uart.source})"
            )
        return count

    def checked_ports(self) -> list[SerialPort]:
        """Return the ports by index, without those that clash with another."""
        kept: list[SerialPort] = []
        seen: set[int] = set()
        claimed: Counter[str] = Counter()
        for port in sorted(self.machine.ports, key=lambda p: p.index):
            backend = port.chardev.backend
            problem = ""
            if port.index in seen:
                problem = "the port is asked for twice"
            elif isinstance(backend, UnixSocket) and backend.server:
                claimed[backend.path] += 1
                if claimed[backend.path] > 1:
                    problem = f"another port already listens on {backend.path}"
            elif isinstance(backend, Stdio):
                claimed["stdio"] += 1
                if claimed["stdio"] > 1:
                    problem = "another port already uses stdio"
            seen.add(port.index)
            if problem:
                self.refusals.append(
                    refusal(
                        "port-clash",
                        f"{port.name}: {problem}",
                        "give each port an index and a backend of its own",
                        ports=(port.name,),
                        where=port.where,
                    )
                )
            else:
                kept.append(port)
        return kept

    def control(self) -> Assignment | None:
        """Place the harness's own port."""
        placed = control_port(self.allocator)
        if placed is None:
            self.refusals.append(no_controller(self.allocator))
        return placed

    # -------------------------------------------------------------- after placing

    def note_facts(self, assignments: list[Assignment]) -> None:
        self.warnings += _cautions(assignments)
        if any(a.kind == "usb" for a in assignments):
            self.assumptions.append(
                "ttyUSB numbers follow the order of discovery, not the ports: known by serial="
            )

    def options(
        self,
        layout: Layout,
        assignments: list[Assignment],
        control: Assignment | None,
        backends: Mapping[str, Option],
    ) -> list[Option]:
        """Return the whole command line: the VM, its controllers, its ports, the user's args."""
        result = list(layout.options)
        shared = {a.device.id for a in assignments if a.device is not None}
        result += [
            device.option("controller")
            for device in self.allocator.devices
            if device.id not in shared and (control is None or device.id != CONTROLLER)
        ]
        emitted: set[str] = set()
        for assignment in assignments:
            port = assignment.port
            if port.state != "absent":
                result.append(backends[port.name])
            if assignment.device is None:
                raw = f"chardev:{assignment.chardev_id}"
                result.append(Option("-serial", raw=raw, role="serial"))
            elif port.state == "plugged" and assignment.device.id not in emitted:
                emitted.add(assignment.device.id)
                result.append(assignment.device.option())
        if control is not None and control.device is not None:
            for device in self.allocator.devices:
                if device.id == CONTROLLER:
                    result.append(device.option("control"))
            result.append(control.device.option("control"))
        result += _args(self.machine)
        return result


def _cautions(assignments: Sequence[Assignment]) -> Iterator[str]:
    """Yield what must be known of the ports' device models, and what they do not carry."""
    used = Counter((a.kind, a.model) for a in assignments)
    for (kind, model), count in used.items():
        mine = [a for a in assignments if (a.kind, a.model) == (kind, model)]
        # An on-board UART's are those of its model: a pl011 hangs a guest, a 16550 does not.
        name = model if mine[0].device is None else kind
        for caution in dict.fromkeys(text for a in mine for text in a.cautions):
            yield f"{name} ({count}): {caution}"
        for a in mine:
            for way, path in (
                ("guest->host", a.carries.to_host),
                ("host->guest", a.carries.to_guest),
            ):
                if not path.is_clean:
                    yield f"{a.port.name} ({a.node}), {way}: {path.why}"


def _args(machine: Machine) -> list[Option]:
    """Return the user's own words, each flag with its value."""
    result: list[Option] = []
    words = list(machine.args)
    while words:
        flag = words.pop(0)
        value = words.pop(0) if words and not words[0].startswith("-") else None
        result.append(Option(flag, raw=value, role="args"))
    return result


def _lacking(
    machine: Machine, arch: Architecture, platform: Platform, capabilities: Capabilities
) -> list[Finding]:
    """Return what the binary does not have of what a machine is: target, board, processor."""
    found = []
    if capabilities.target and capabilities.target != arch.name:
        found.append(
            refusal(
                "binary-wrong-target",
                f"{capabilities.binary or 'the binary'} is a QEMU for {capabilities.target}, "
                f"the VM is {arch.name}",
                f"use qemu-system-{arch.name}",
            )
        )
    wanted = machine.machine_type
    if wanted and capabilities.machines and wanted not in capabilities.machines:
        found.append(
            refusal(
                "machine-not-in-binary",
                f"QEMU {capabilities.version_text} has no machine type {wanted!r}",
                f"use {platform.name}, or a QEMU that has it",
                where=machine.place_of("machine_type"),
            )
        )
    if capabilities.lacks_cpu(model := machine.cpu.model):
        found.append(
            refusal(
                "cpu-not-in-binary",
                f"unable to find CPU model {model!r}: QEMU {capabilities.version_text} has no "
                f"such one for {arch.name}",
                f"qemu-system-{arch.name} -cpu help lists them",
                where=machine.place_of("cpu"),
            )
        )
    return found
