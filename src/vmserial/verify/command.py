"""Prove a user's own command line on a test guest.

A private copy of the command (:mod:`vmserial.qemu.isolation`) is first started
paused and asked where its devices are, then booted with the test guest's kernel
and a control port that comes after all else, so that it moves nothing.  What
does not start fails with QEMU's own words; a port without a node fails by name.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmserial import chardevs
from vmserial.errors import QemuError, UsageError
from vmserial.limits import ISA_SERIAL_PLACES, VIRTIO_SERIAL_SAFE_PORTS
from vmserial.machines import Platform, architecture
from vmserial.model import (
    Assignment,
    Capabilities,
    Chardev,
    Device,
    Machine,
    NodeIdentity,
    Plan,
    SerialPort,
    UnixSocket,
)
from vmserial.options import Option, render
from vmserial.paths import RunDirectory
from vmserial.planning.planner import CONTROL_CHARDEV, CONTROL_NAME
from vmserial.progress import Reporter, Silent
from vmserial.qemu.isolation import isolate
from vmserial.qemu.liveprobe import Probed, argv_of, probe, understand
from vmserial.qemu.loop import run_interruptible
from vmserial.qemu.private import PrivateCommand, PrivatePort
from vmserial.sources.command import CommandLine, CommandView
from vmserial.sources.command.machine import KIND_OF
from vmserial.sources.command.places import number
from vmserial.verify import mutants
from vmserial.verify.cases.command import NAME, CommandCase
from vmserial.verify.request import Limits, TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import Check, Fault, FaultKind, HostFacts, Verdict
from vmserial.verify.runner import Runner, find_environments
from vmserial.verify.setup import CONTROL_SOCKET, Setup
from vmserial.verify.wire.form import SHORT, SMOKE

_NODES = {"isa": "/dev/ttyS*", "usb": "/dev/ttyUSB*", "virtconsole": "/dev/hvc*"}
_CONTROLLER = "vmserial-ctl"


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
    suite: str = "bookworm",
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
        suite: the Debian release whose kernel is the guest.
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
        binaries=(capabilities.binary,), suites=(suite,), mirror=mirror,
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
    begin = time.monotonic()
    told, proof = reporter or Silent(), proof or Proof()
    seed = proof.seed or secrets.randbits(31) + 1
    request = VerifyRequest(
        Machine(environment.guest.arch, ()), alone=proof.alone, together=proof.together, seed=seed,
        limits=proof.limits, mutants=proof.mutants, out=proof.out,
    )  # fmt: skip
    with RunDirectory() as rundir:
        private = isolate(view, environment.capabilities, rundir.socket)
        platform_of(private)
        _check_mutants(private, proof.mutants)
        runner = Runner(request, told, seed, None)
        told.step("asking QEMU, paused")
        try:
            probed = await probe(private, environment.capabilities, rundir=rundir)
        except QemuError as error:
            runner.sink(vm_check(private, environment, Verdict.LOST, error.message))
        else:
            await _boot(runner, private, probed, environment, proof, rundir)
    kvm = "kvm" in environment.capabilities.accelerators
    return VerifyReport(
        checks=tuple(runner.checks),
        booted=tuple(runner.booted),
        host=HostFacts.gather("kvm" if kvm else "tcg"),
        seed=seed,
        seconds=round(time.monotonic() - begin, 3),
    )


async def _boot(
    runner: Runner, private: PrivateCommand, probed: Probed, environment: TestEnvironment,
    proof: Proof, rundir: RunDirectory,
) -> None:  # fmt: skip
    for note in private.notes:
        runner.reporter.note(note)
    if not probed.starts:
        runner.sink(vm_check(private, environment, Verdict.FAIL, probed.words, FaultKind.REFUSED))
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
    kept = []
    for port in private.ports:
        controller = controllers.get(port.name, "")
        if not port.provable:
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


# ------------------------------------------------------------------ from the command to the VM


def platform_of(private: PrivateCommand) -> Platform:
    """Return where the machine type's ports and buses are.

    Raises:
        UsageError: nobody knows.
    """
    arch = architecture(private.arch)
    found = arch.platform(private.machine_type)
    if found is None:
        raise UsageError(
            f"machine type {private.machine_type!r} is not one that {arch.name} ports can be "
            "proven on",
            hint=f"known for {arch.name}: {', '.join(one.name for one in arch.platforms)}",
        )
    return found


def setup(
    private: PrivateCommand, probed: Probed, environment: TestEnvironment, control: str
) -> Setup:
    """Return how the private copy of a command is booted with the test guest; pure.

    Args:
        private: the copy.
        probed: what QEMU said of it, paused: PCI addresses.
        environment: the binary and the guest.
        control: the path of the control port's socket.

    Raises:
        UsageError: the machine type is not known.
    """
    platform = platform_of(private)
    capabilities, guest = environment.capabilities, environment.guest
    assignments = tuple(
        assignment(port, platform, probed.pci.get(port.device_id, "")) for port in private.ports
    )
    boot = [
        Option("-kernel", raw=str(guest.kernel), role="boot"),
        Option("-initrd", raw=str(guest.initrd), role="boot"),
        Option("-append", raw=guest.append, role="boot"),
    ]
    own = control_options(platform, capabilities, control, in_json=private.json_devices)
    # A guest that reboots has failed; QEMU ends and says so.
    argv = (*argv_of(private, capabilities), *render([*boot, *own]), "-no-reboot")
    machine = Machine(
        private.arch,
        tuple(one.port for one in assignments),
        machine_type=private.machine_type,
    )
    made = Plan(
        machine, capabilities, guest.profile, (*private.options, *boot, *own), assignments,
        control=_CONTROL,
    )  # fmt: skip
    return Setup(made, argv, private.notes)


def assignment(port: PrivatePort, platform: Platform, pci: str) -> Assignment:
    """Return where a port is and by what its node will be known.

    Args:
        port: of the private copy.
        platform: where the board's own ports are.
        pci: the path of its device's slots and functions, if it is on PCI.
    """
    kind = KIND_OF.get(port.driver) or ("uart" if platform.uart is not None else "isa")
    node = _NODES.get(kind, "/dev/ttyS*")
    if kind == "uart":
        assert platform.uart is not None
        known = platform.uart.identities
        identity = (
            known[port.number] if port.number < len(known)
            # No board has it; it is here to be missed.
            else NodeIdentity("mmio", f"UART-{port.number + 1}")
        )  # fmt: skip
        node = f"{platform.uart.node}*"
    elif kind == "isa":
        identity = _isa_identity(port)
    elif kind == "usb":
        identity = NodeIdentity("usb", port.params["serial"])
    elif kind in {"virtio", "virtconsole"}:
        identity = NodeIdentity("virtio", port.params["name"])
        node = _NODES.get(kind, f"/dev/virtio-ports/{identity.value}")
    else:
        identity = NodeIdentity("pci", f"{pci}#{port.number}")
    device = None
    if port.driver:
        properties = {k: v for k, v in port.params.items() if k not in {"driver", "id"}}
        device = Device(port.driver, port.device_id, tuple(properties.items()))
    return Assignment(
        port=SerialPort(port.index, Chardev(UnixSocket(port.socket)), kind=kind),
        kind=kind,
        chardev_id=port.chardev_id,
        device=device,
        bus=port.bus or ("board" if device is None else ""),
        address=identity.value,
        identity=identity,
        node=node,
        hot_pluggable=False,
        reason="as the command has it",
    )


def _isa_identity(port: PrivatePort) -> NodeIdentity:
    given = number(port.params.get("iobase", ""))
    if given is not None:
        return NodeIdentity("io", f"{given:#x}")
    if port.number < len(ISA_SERIAL_PLACES):
        return NodeIdentity("io", f"{ISA_SERIAL_PLACES[port.number][0]:#x}")
    return NodeIdentity("io", f"COM{port.number + 1}")


def control_options(
    platform: Platform, capabilities: Capabilities, path: str, *, in_json: bool
) -> list[Option]:
    """Return the harness's own port on a controller of its own.

    QEMU gives the controller the first free place when all others have theirs: it
    makes devices in their order, those in JSON after the others.

    Args:
        platform: whose root bus it is to be on.
        capabilities: of the binary.
        path: of its socket.
        in_json: another device is in JSON.
    """
    controller: dict[str, str | int] = {
        "driver": "virtio-serial-pci", "id": _CONTROLLER, "bus": platform.root_bus,
        "max_ports": VIRTIO_SERIAL_SAFE_PORTS + 1,
    }  # fmt: skip
    port: dict[str, str | int] = {
        "driver": "virtserialport", "id": f"{_CONTROLLER}-port", "bus": f"{_CONTROLLER}.0",
        "nr": 1, "chardev": CONTROL_CHARDEV, "name": CONTROL_NAME,
    }  # fmt: skip
    made = [chardevs.option(CONTROL_CHARDEV, Chardev(UnixSocket(path)), capabilities.version)]
    for device in (controller, port):
        if in_json:
            made.append(Option("-device", raw=json.dumps(device), role="control"))
        else:
            rest = tuple((key, value) for key, value in device.items() if key != "driver")
            made.append(Option("-device", str(device["driver"]), rest, role="control"))
    return made


_CONTROL = Assignment(
    port=SerialPort(-1, Chardev(UnixSocket("")), kind="virtio"),
    kind="virtio",
    chardev_id=CONTROL_CHARDEV,
    device=None,
    bus=f"{_CONTROLLER}.0",
    address="nr 1",
    identity=NodeIdentity("virtio", CONTROL_NAME),
    node=f"/dev/virtio-ports/{CONTROL_NAME}",
    hot_pluggable=False,
    reason="the harness's own channel",
)
