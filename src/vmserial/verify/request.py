"""What a verification is asked for, and on what it runs: plain data.

A :class:`TestEnvironment` is one pair of a QEMU binary and a guest; a verification runs
all its cases in each environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from vmserial.errors import UsageError
from vmserial.limits import HVC_NODES, ISA_SERIAL_PORTS, UARTS_MEASURED, VIRTIO_SERIAL_PORTS
from vmserial.model import Capabilities, Machine, Plan
from vmserial.verify.cases import planned
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import Check, exit_code
from vmserial.verify.wire.form import SHORT

if TYPE_CHECKING:
    from vmserial.guests.images import TestGuest
    from vmserial.guests.login import Login

DEFAULT_PORTS = 3
"""Ports besides serial0 in case ``default``: PVE's four."""

LARGE_PORTS = 9
"""Ports besides serial0 in case ``large``, as in the article."""

ALONE = SHORT
"""Payload sizes for each port by itself: all byte values and the edges of the small buffers."""

TOGETHER = (*SHORT, 65536)
"""Payload sizes for all ports at once: long enough that no port is done before the last began."""

CEILINGS: Mapping[str, int] = {
    "uart": UARTS_MEASURED, "isa": ISA_SERIAL_PORTS, "usb": 16,
    "virtio": VIRTIO_SERIAL_PORTS - 1, "virtconsole": HVC_NODES,
    "pci": 64, "pci-2x": 64, "pci-4x": 64,
}  # fmt: skip
"""How many ports of a kind case ``maximum`` boots at most, unless told otherwise."""

EndpointKind = Literal["unix", "pty", "tcp"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long anything may take, in seconds; a guest that needs more is lost.

    Attributes:
        boot: from QEMU's start to an answering shell.
        node: from a device's presence to its node; and its going away.
        per_node: on top of it for each port that appears with others.
        command: one command of QEMU or of the guest's shell.
        transfer: one transfer, whatever its size, as long as it moves at all; one that
            does not is given up after ``idle`` or ``stall``.
        per_byte: on top of it for each byte of the transfer, all ports together: the
            slowest path, a pl011's receiver under TCG, takes 15 µs on a host that does
            nothing else, and many times that on a busy one.
        idle: a transfer that stands still for so long, while the guest answers, is over,
            complete or not.
        stall: what is still to be sent is given up when no byte moved at any port for so
            long, while the guest answers.
        settle: how long a port must stay silent after its last byte.
        hang: QEMU's own answer to a question that costs it nothing.
        late: what did not come in time is waited for at the end of its VM, to tell whether it
            was lost: so long after it was missed.
    """

    boot: float = 60.0
    node: float = 20.0
    per_node: float = 1.0
    command: float = 20.0
    transfer: float = 20.0
    per_byte: float = 1e-3
    idle: float = 2.0
    stall: float = 10.0
    settle: float = 0.05
    hang: float = 15.0
    late: float = 30.0

    def for_boot(self, seconds: float) -> Limits:
        """Return these limits for a guest that boots in so long; all grow alike."""
        by = seconds / self.boot
        return Limits(**{name: getattr(self, name) * by for name in self.__dataclass_fields__})

    def bytes(self, count: int) -> float:
        """Return the bound of a transfer of ``count`` bytes, in seconds."""
        return self.transfer + count * self.per_byte

    def nodes(self, count: int) -> float:
        """Return the bound for ``count`` nodes to appear, in seconds."""
        return self.node + count * self.per_node


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What is to be proven.

    Attributes:
        machine: the VM; its arch, machine type, cpu and options are the platform of
            every case, its ports are those of case ``input``.
        given: the machine was an input of the user's; then ``input`` is a case.
        cases: of :func:`vmserial.verify.cases.planned`; empty: ``input`` if one was given, else
            ``default``, ``large`` and ``hot-plug``.
        kinds: device kinds of all cases but ``input``; empty: all of the architecture.
        binaries: QEMU binaries; empty: the one in ``$PATH``.
        suites: Debian suites whose kernels are the guests; empty: the architecture's own.
        kernel, initrd, config, append: a guest of the user's own instead.
        image: the disk image of a full system, started with that kernel; never written.
        login: who logs in there; None: it gives a shell by itself.
        take_ports: stop what of the guest's own has a port under test open.
        seed: of the data; 0: a new one each time, named in the report.
        cycles: hot-plug cycles.
        alone, together: payload sizes, a frame each.
        ceilings: ports that case ``maximum`` boots at most, by kind.
        endpoint: the host side of each port under test.
        mutants: faults to put in, as :func:`vmserial.verify.mutants.parse` reads them.
        out: where results and logs go; None: nowhere.
        limits: how long anything may take.
        mirror: where Debian packages come from; empty: as this machine's apt.
        call: the words of the command line that asks for it, for the report.
        jobs: VMs at a time.
    """

    machine: Machine
    given: bool = False
    cases: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    binaries: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    kernel: str = ""
    initrd: str = ""
    config: str = ""
    append: str = ""
    image: str = ""
    login: Login | None = None
    take_ports: bool = False
    seed: int = 0
    cycles: int = 3
    alone: tuple[int, ...] = ALONE
    together: tuple[int, ...] = TOGETHER
    ceilings: Mapping[str, int] = field(default_factory=lambda: dict(CEILINGS))
    endpoint: EndpointKind = "unix"
    mutants: tuple[str, ...] = ()
    out: Path | None = None
    limits: Limits = Limits()
    mirror: str = ""
    call: tuple[str, ...] = ()
    jobs: int = 1

    def __post_init__(self) -> None:
        """Refuse what no run could do.

        Raises:
            UsageError: an unknown case, ``input`` without one, or a number out of range.
        """
        for case in self.cases:
            if case not in planned():
                raise UsageError(
                    f"there is no case {case!r}", hint=f"the cases are {', '.join(planned())}"
                )
        if "input" in self.cases and not self.given:
            raise UsageError(
                "the case input needs a configuration",
                hint="name a file: vmserial verify 142.conf, or choose another case",
            )
        if self.cycles < 0:
            raise UsageError("cycles cannot be negative", hint="give 0 or more")
        for name, sizes in (("alone", self.alone), ("together", self.together)):
            if not sizes or any(size < 1 for size in sizes):
                raise UsageError(
                    f"payload sizes ({name}) must be positive, and there must be some",
                    hint="choose one of the ladders: full, short, smoke",
                )

    @property
    def chosen_cases(self) -> tuple[str, ...]:
        """The cases to run, in order."""
        if self.cases:
            return tuple(case for case in planned() if case in self.cases)
        return tuple(
            name
            for name, case in planned().items()
            if (case.of_input if self.given else case.usual)
        )


@dataclass(frozen=True, slots=True)
class TestEnvironment:
    """A QEMU binary and a guest.

    Attributes:
        capabilities: of the binary; ``binary`` in it is its path.
        guest: the kernel, its initramfs, and what they carry.
    """

    # pytest would take the class for a set of tests, by its name.
    __test__: ClassVar[bool] = False

    capabilities: Capabilities
    guest: TestGuest

    @property
    def name(self) -> str:
        """For people: ``QEMU 7.2.22, debian-12-arm64``."""
        return f"QEMU {self.capabilities.version_text}, {self.guest.name}"


@dataclass(frozen=True, slots=True)
class Booted:
    """One VM that was started for the checks.

    Attributes:
        title: as in the checks' ``vm``.
        environment: on what.
        kind: the device kind it is about; empty for an input.
        cases: what was run in it.
        plan: as it was started.
        argv: its command line, without the monitor.
        notes: what was left out of it or changed, and why.
        nodes: the guest's node that each port had, by the port's name.
        seconds: by milestone, from QEMU's start: ``shell`` (it answered), ``nodes``
            (the last port's node was there), ``end``.
        timings: how long each of many steps took, in seconds, by step.
        console: what came out of serial0 that belonged to no check.
    """

    title: str
    environment: TestEnvironment
    kind: str
    cases: tuple[str, ...]
    plan: Plan
    argv: tuple[str, ...]
    notes: tuple[str, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    console: str = ""

    @property
    def log_file(self) -> str:
        """The name of the file for what its console said; empty if it said nothing."""
        if not self.console:
            return ""
        # Of several binaries each has a VM of the same title.
        whole = f"{self.title} {self.environment.name}"
        return f"console-{re.sub(r'[^A-Za-z0-9.+-]+', '-', whole).strip('-')[:200]}.log"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What came of it.

    Attributes:
        checks: in the order in which they were made.
        booted: the VMs.
        host: this host.
        seed: of the data, so that a run can be repeated byte by byte.
        seconds: the whole run.
        started: when it began, ISO 8601.
        call: the words of the command line that asked for it.
        interrupted: it was ended early; what was not done is among the checks, skipped.
    """

    checks: tuple[Check, ...]
    booted: tuple[Booted, ...]
    host: HostFacts
    seed: int
    seconds: float
    started: str = ""
    call: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans that were booted."""
        return tuple(one.plan for one in self.booted)

    @property
    def exit_code(self) -> int:
        """0 all pass, 1 something failed, 3 the VM was lost."""
        return exit_code(self.checks)
