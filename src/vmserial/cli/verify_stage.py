"""What ``verify --stage firmware`` is asked for, and what does not go with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmserial.cli.gather import read_machine, tell
from vmserial.cli.subject import input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError

if TYPE_CHECKING:
    from vmserial.cli.delivery import Begin
    from vmserial.model import Machine
    from vmserial.progress import Reporter

_OF_A_GUEST = {
    "cases": "--case", "suites": "--suite", "kernel": "--kernel", "initrd": "--initrd",
    "config": "--kernel-config", "append": "--append", "image": "--image", "login": "--login",
    "take_ports": "--take-ports", "sizes": "--sizes", "cycles": "--cycles",
    "ceilings": "--ceiling", "mutants": "--mutant", "fixed": "--fixed", "paused": "--paused",
    "jobs": "--jobs", "seed": "--seed", "cloud_init": "--cloud-init",
}  # fmt: skip
"""What is of a guest that sends and receives data, or of several VMs."""


def begin(
    asked: VmOptions, stage: str | None, firmware: str, words: dict[str, Any], progress: Reporter
) -> Begin:
    """Return what boots a firmware on the ports that are asked for.

    Raises:
        UsageError: an option is of something else, or no firmware is known.
        ImageError: the firmware cannot be fetched.
        BinaryError: there is no such QEMU.
    """
    _check(asked, stage, words)
    from vmserial.cli.delivery import call
    from vmserial.guests.firmware import find
    from vmserial.planning.stages import firmware_name
    from vmserial.qemu import binary
    from vmserial.verify import stage as stages
    from vmserial.verify.request import Limits, VerifyRequest

    machine = _machine(asked)
    path = binary.find(machine.arch, asked.qemu[0] if asked.qemu else None)
    capabilities = binary.probe(
        path, machine_types=[machine.machine_type] if machine.machine_type else [],
        machine_options=machine.machine_options, arch=machine.arch,
    )  # fmt: skip
    found = find(
        machine.arch, firmware, usual=firmware_name(replace(machine, boot=None)),
        mirror=words["mirror"], reporter=progress,
    )  # fmt: skip
    progress.note(f"firmware: {found.title} ({found.origin})")
    limits = Limits().for_boot(words["timeout"]) if words["timeout"] else Limits()
    request = VerifyRequest(
        machine, given=True, binaries=asked.qemu, seed=words["seed"], out=words["out"],
        limits=limits, call=call(),
    )  # fmt: skip
    return lambda keep: stages.run(request, progress, found, capabilities, keep=keep)


def _machine(asked: VmOptions) -> Machine:
    """Return the machine of the input; without one, serial0 and a port of each kind twice."""
    if input_of(asked).given or asked.ports is not None or asked.port_kinds:
        machine = read_machine(asked)
        tell(machine.notes)
        return machine
    from vmserial.machines import architecture
    from vmserial.model import Chardev, Null, SerialPort

    machine = read_machine(asked)
    known = architecture(machine.arch)
    board = known.planned_on(machine)
    kinds = [asked.kinds[0]] * 3 if asked.kinds else ["pci", "usb", "virtio", "virtconsole"] * 2
    if not asked.kinds and board is not None and board.isa:
        kinds = ["isa", *kinds]
    ports = [SerialPort(0, Chardev(Null()))]
    ports += [SerialPort(n, Chardev(Null()), kind=kind) for n, kind in enumerate(kinds, 1)]
    return replace(machine, ports=tuple(ports))


def _check(asked: VmOptions, stage: str | None, words: dict[str, Any]) -> None:
    if not stage:
        raise UsageError(
            "--firmware is of a firmware that is booted without a system",
            hint="add --stage firmware", where="--firmware",
        )  # fmt: skip
    for name, option in _OF_A_GUEST.items():
        given = words.get(name)
        # No cycles are as many as were asked for; seed 0 is any.
        if given or (given == 0 and given is not False and name != "seed"):
            raise UsageError(
                f"{option} has no part in --stage firmware, which boots no system",
                hint="leave one of them out", where=option,
            )  # fmt: skip
    if words.get("endpoint") not in (None, "unix"):
        raise UsageError(
            "--stage firmware has its ports on unix sockets", hint="leave --endpoint out",
            where="--endpoint",
        )  # fmt: skip
    if len(asked.archs) > 1 or len(asked.qemu) > 1:
        raise UsageError(
            "--stage firmware boots one VM", hint="give one --arch and one --qemu",
            where="--stage",
        )  # fmt: skip
