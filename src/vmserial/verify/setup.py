"""From a machine to the command line of the VM that proves its ports; pure.

The ports, their controllers and the board are the plan's own.  Each port's
backend is replaced by a private one, the guest by the test guest, and what has
no part in the proof is left out: a user's disks and networks are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vmserial import chardevs
from vmserial.machines import architecture
from vmserial.model import (
    Chardev,
    Cpu,
    DirectBoot,
    Firmware,
    Machine,
    Plan,
    Pty,
    SerialPort,
    TcpSocket,
    Topology,
    UnixSocket,
)
from vmserial.options import Option, render
from vmserial.planning.control import CONTROL_CHARDEV
from vmserial.planning.planner import plan
from vmserial.verify.hostfacts import emulated_words
from vmserial.verify.request import EndpointKind, TestEnvironment

KEPT = frozenset({"machine", "boot", "controller", "chardev", "serial", "control"})
"""Roles of the options that are the proof; all others are left out."""

_WORDS = {
    "disk": "its disks",
    "net": "its network cards",
    "agent": "the guest agent's port",
    "display": "its display",
    "input": "its tablet and keyboard",
    "args": "its own args",
    "firmware": "its firmware",
    "other": "its other devices",
}

MEMORY_MIB = 512
"""RAM of the VM under test: room for the payloads of 300 ports that need nothing else."""

AMPLE_MIB = 1 << 20
"""RAM of which no number of ports is too much; what a VM gets is worked out from its plan."""

_BASE_MIB = 256
"""RAM of a test guest without ports and their data."""

_AGENT_KIB = 1024
"""RAM of the guest for the far end of a port: five processes, and its data twice (measured:
440 KiB for those that wait, besides what the port's driver takes)."""

SYSTEM_MIB = 1024
"""RAM of a full system: its initrd, as it is packed and as it is unpacked, has to fit too."""

CONTROL_SOCKET = "ctl"
"""Name of the control port's socket in the run directory."""

SEED_FILE = "seed.iso"
"""Name of what a cloud image is told, in the same place."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How one VM is started.

    Attributes:
        plan: of the ports with their private backends.
        argv: the binary and its options, without the monitor.
        notes: what was left out or replaced.
        late: ports that no client opens at the start; a case does it in its time.
        planned: the planner gave each device its place, and QEMU and the guest must show it.
    """

    plan: Plan
    argv: tuple[str, ...]
    notes: tuple[str, ...]
    late: frozenset[str] = frozenset()
    planned: bool = False


def platform(machine: Machine, ports: Sequence[SerialPort]) -> Machine:
    """Return a machine of the same platform with other ports and nothing else on it."""
    return Machine(
        arch=machine.arch,
        ports=tuple(ports),
        name="vmserial-verify",
        machine_type=machine.machine_type,
        machine_options=machine.machine_options,
        cpu=machine.cpu,
        accel=machine.accel,
        memory_mib=AMPLE_MIB,
    )


def private(port: SerialPort, endpoint: EndpointKind, socket: Callable[[str], str]) -> SerialPort:
    """Return ``port`` with a backend that only the harness reaches.

    Args:
        port: as it was asked for.
        endpoint: what kind of backend.
        socket: gives the path of a unix socket of that name.
    """
    backend: UnixSocket | TcpSocket | Pty
    if endpoint == "pty":
        backend = Pty()
    elif endpoint == "tcp":
        # Port 0: the kernel chooses one, and query-chardev tells which.
        backend = TcpSocket("127.0.0.1", 0, nodelay=True)
    else:
        backend = UnixSocket(socket(port.name))
    return replace(port, chardev=Chardev(backend))


def under_test(
    machine: Machine,
    environment: TestEnvironment,
    endpoint: EndpointKind,
    socket: Callable[[str], str],
) -> Machine:
    """Return ``machine`` with private backends, the test guest, and a size that any host has."""
    guest = environment.guest
    board = architecture(machine.arch).planned_on(machine)
    kvm = machine.accel != "tcg" and "kvm" in environment.capabilities.accelerators
    words = (guest.append, emulated_words(board, kvm=kvm))
    return replace(
        machine,
        ports=tuple(private(port, endpoint, socket) for port in machine.ports),
        boot=None
        if guest.uefi is not None
        else DirectBoot(
            str(guest.kernel),
            str(guest.initrd),
            " ".join(filter(None, words)),
            str(guest.dtbs.get(board.name, "")) if board is not None else "",
            str(guest.firmware or ""),
        ),
        firmware=machine.firmware if guest.uefi is None else Firmware("ovmf", str(guest.uefi)),
        memory_mib=max(
            MEMORY_MIB if guest.image is None else SYSTEM_MIB,
            board.least_memory_mib if board is not None else 0,
        ),
        topology=Topology(),
        cpu=Cpu() if machine.cpu.model == "host" else machine.cpu,
    )


def setup(
    machine: Machine,
    environment: TestEnvironment,
    endpoint: EndpointKind,
    socket: Callable[[str], str],
) -> Setup:
    """Plan ``machine`` with its private backends in ``environment`` and return how to start it.

    The plan may hold refusals; then it must not be started.

    Raises:
        UsageError: as :func:`vmserial.planning.planner.plan`.
    """
    tested = under_test(machine, environment, endpoint, socket)
    made = _planned(tested, environment)
    needed = _BASE_MIB + made.memory_mib + len(machine.ports) * _AGENT_KIB // 1024
    if needed > tested.memory_mib:
        made = _planned(replace(tested, memory_mib=needed), environment)
    kept = KEPT if environment.guest.uefi is None else KEPT | {"firmware"}
    left_out = dict.fromkeys(
        _WORDS.get(option.role, option.flag)
        for option in made.options
        if option.role not in kept and option != Option("-display", raw="none", role="display")
    )
    notes = [f"not in the VM under test: {', '.join(left_out)}"] if left_out else []
    control = chardevs.option(
        CONTROL_CHARDEV,
        Chardev(UnixSocket(socket(CONTROL_SOCKET))),
        environment.capabilities.version,
    )
    options = [option for option in made.options if option.role in kept]
    argv = (
        environment.capabilities.binary,
        *render([*options, control]),
        *_disk(environment, socket),
        "-display",
        "none",
        # A guest that reboots has failed; QEMU ends and says so.
        "-no-reboot",
    )
    return Setup(made, argv, tuple(notes), planned=True)


def _planned(machine: Machine, environment: TestEnvironment) -> Plan:
    return plan(machine, environment.capabilities, environment.guest.profile, control=True)


def _disk(environment: TestEnvironment, socket: Callable[[str], str]) -> tuple[str, ...]:
    """Return a full system's disk and its seed; they come after all else, so that it moves nothing.

    What the guest writes goes to a file of QEMU's own, which ends with it (snapshot=on).
    """
    image = environment.guest.image
    if image is None:
        return ()
    with image.open("rb") as file:
        kind = "qcow2" if file.read(4) == b"QFI\xfb" else "raw"
    name = str(image).replace(",", ",,")
    disk = (
        "-drive", f"if=none,id=vmserial-image,file={name},format={kind},snapshot=on",
        "-device", "virtio-blk-pci,drive=vmserial-image,bootindex=1",
    )  # fmt: skip
    if environment.guest.seed is None:
        return disk
    seed = socket(SEED_FILE).replace(",", ",,")
    return (
        *disk, "-drive", f"if=none,id=vmserial-seed,file={seed},format=raw,readonly=on",
        "-device", "virtio-blk-pci,drive=vmserial-seed",
    )  # fmt: skip
