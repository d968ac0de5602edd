"""From the user's words to what the planner takes: a Machine, Capabilities, a GuestProfile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmserial.cli.output import complain
from vmserial.cli.subject import input_of

if TYPE_CHECKING:
    from vmserial.cli.subject import Input
    from vmserial.cli.vm_options import VmOptions
    from vmserial.model import Capabilities, GuestProfile, Machine, Note, Plan
    from vmserial.qemu.accel import Proof
    from vmserial.sources.overrides import Overrides


@dataclass(frozen=True, slots=True)
class Situation:
    """What is asked for, on what, for whom.

    Attributes:
        machine: from the input and the options.
        capabilities: the binary's; KVM is among them only if it is proven.
        guest: said or assumed.
        proof: which accelerator, and why.
    """

    machine: Machine
    capabilities: Capabilities
    guest: GuestProfile
    proof: Proof


def overrides(asked: VmOptions) -> Overrides:
    """Return the options that change the input's machine."""
    from vmserial.sources.overrides import Overrides

    shared = Overrides.__dataclass_fields__.keys() & asked.__dataclass_fields__.keys()
    return Overrides(**{name: getattr(asked, name) for name in shared})


def read_machine(asked: VmOptions) -> Machine:
    """Return the machine of the input, whatever it is, with the options put over it.

    Raises:
        UsageError: the input or an option is wrong, or nothing describes a VM.
    """
    given = input_of(asked)
    if not given.given:
        from vmserial.sources.overrides import from_options

        return from_options(overrides(asked))
    from vmserial.sources.overrides import apply

    return apply(_machine_of(asked, given), overrides(asked))


def _machine_of(asked: VmOptions, given: Input) -> Machine:
    from vmserial import sources

    vmid, arch = asked.vmid, asked.arch
    if given.words:
        from vmserial.sources.command import CommandLine
        from vmserial.sources.command.machine import machine

        return machine(
            CommandLine.from_words(given.words), arch=_arch_name(arch),
            read_file=sources.read_file,
        )  # fmt: skip
    if given.kind == "command":
        arch = _arch_name(arch)
    if given.kind == "pve":
        from vmserial.cli.pve_vm import place_of
        from vmserial.pve import tree

        # Within a tree its host's architecture is known, and PVE takes that.
        place = place_of(asked)
        vmid = given.place.vmid if given.place is not None else vmid
        document = tree.conf_of(place, given.raw).document
        arch = tree.vm_arch(document, tree.host_arch(place.root), arch)
    return sources.of_bytes(
        given.raw, given.name, kind="toml" if given.kind == "machine" else given.kind,
        vmid=vmid, snapshot=asked.snapshot, pending=asked.pending, arch=arch,
    )  # fmt: skip


def _arch_name(said: str) -> str:
    from vmserial.machines import architecture

    return architecture(said).name if said else ""


def capabilities_of(machine: Machine, binary: str = "") -> tuple[Capabilities, Proof]:
    """Ask (or remember) what the binary for a machine has and which accelerator works.

    Raises:
        BinaryError: it is missing or cannot be asked.
    """
    from vmserial.machines import architecture
    from vmserial.qemu import accel
    from vmserial.qemu.binary import find, probe

    arch = architecture(machine.arch)
    owners = _owners(machine, arch.name)
    path = find(arch.name, binary or owners or None)
    if machine.emulator and not binary and not owners:
        complain(f"vmserial: replaced: the emulator {machine.emulator}: {path} is taken")
    capabilities = probe(
        path,
        machine_types=[arch.machine_type(machine.machine_type)],
        machine_options=machine.machine_options,
        arch=arch.name,
    )
    if machine.accel == "auto":
        proof = accel.proven(path, arch.name)
    else:
        proof = accel.Proof(machine.accel, "asked for")
    return accel.with_proof(capabilities, proof), proof


def _owners(machine: Machine, target: str) -> str:
    """Return the emulator that the VM's owner names, if this machine has it for this target."""
    from vmserial.qemu.binary import which

    name = machine.emulator.rpartition("/")[2]
    other = name.startswith("qemu-system-") and name != f"qemu-system-{target}"
    return machine.emulator if machine.emulator and not other and which(machine.emulator) else ""


def guest_of(asked: VmOptions, machine: Machine) -> GuestProfile:
    """Return the guest that was named, or the assumed one of the architecture.

    Raises:
        UsageError: there is no such profile or file, or it is no kernel configuration.
    """
    if not asked.guest and machine.guest_os:
        from vmserial.guests import profile

        return profile.without_limits(machine.guest_os, f"ostype: {machine.guest_os}")
    boot = machine.boot
    return guest_profile(
        asked, machine.arch, boot.append if boot else "", boot.kernel if boot else ""
    )


def guest_profile(asked: VmOptions, arch: str, append: str, kernel: str = "") -> GuestProfile:
    """As :func:`guest_of`, for an architecture, the kernel's command line and its path."""
    from vmserial.guests import profile

    if asked.append and asked.append != append:
        # Whoever loads the kernel: what its command line has decides what it can.
        append = f"{append} {asked.append}".strip()

    if asked.guest:
        return profile.resolve(asked.guest, append=append)
    return profile.assumed(arch, append, kernel)


def gather(asked: VmOptions) -> Situation:
    """Read the input, ask the binary, name the guest; say on stderr what the input lacks.

    Raises:
        UsageError: as :func:`read_machine` and :func:`guest_of`.
        BinaryError: as :func:`capabilities_of`.
    """
    machine = read_machine(asked)
    tell(machine.notes)
    if asked.append and machine.boot is None:
        complain(
            "vmserial: note: --append without a kernel is taken for what the guest's own command "
            "line has; the guest must be booted with it"
        )
    capabilities, proof = capabilities_of(machine, asked.qemu[0] if asked.qemu else "")
    return Situation(machine, capabilities, guest_of(asked, machine), proof)


def planned(situation: Situation) -> Plan:
    """Plan it, and say on stderr what the planner replaced."""
    from vmserial.planning.planner import plan

    made = plan(situation.machine, situation.capabilities, situation.guest)
    tell(made.machine.notes[len(situation.machine.notes) :])
    return made


def tell(notes: Iterable[Note]) -> None:
    """Say on stderr what the user must hear about the input; never left out."""
    for note in notes:
        complain(f"vmserial: {note.kind}: {note}")
