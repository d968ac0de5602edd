"""A PVE VM from the user's words: its file, what it says, its binary, its guest."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial.cli.gather import guest_of, overrides
from vmserial.cli.output import complain
from vmserial.cli.subject import input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import BinaryError, UsageError

if TYPE_CHECKING:
    from vmserial.model import Capabilities, GuestProfile, Machine
    from vmserial.pve.judged import Look
    from vmserial.pve.tree import Conf, Place
    from vmserial.sources.pve import Document

ASSUMED = (7, 2, 0)
"""The QEMU that is assumed where this machine has none of the VM's architecture: what is
planned for it starts on all later ones, too."""


@dataclass(frozen=True)
class Vm:
    """One VM of a PVE tree.

    Attributes:
        conf: its configuration as it was read.
        machine: what that and the user's options say.
        capabilities: of the binary.
        guest: said or assumed.
        shim: the emulator shim is installed.
    """

    conf: Conf
    machine: Machine
    capabilities: Capabilities
    guest: GuestProfile
    shim: bool

    @property
    def look(self) -> Look | None:
        """Looks at this host, if it is the one that starts the VM, or may be."""
        from vmserial.cli.host_facts import of_lowered

        here = self.conf.place.root in {None, Path("/")}
        return of_lowered if here and self.capabilities.binary else None


def shim_installed(root: Path | None, arch: str) -> bool:
    """Tell whether the emulator shim stands before the binary that PVE starts.

    Args:
        root: of the host's files; None where nobody knows the host.
        arch: of the VM.
    """
    if root is None:
        return False
    from vmserial.shim import places
    from vmserial.shim.status import states
    from vmserial.shim.tree import Tree

    tree = Tree("" if root == Path("/") else str(root))
    try:
        return any(
            state.record is not None
            and state.facts is not None
            # A wrapper beside the binary is not what PVE starts.
            and state.record.way == "divert"
            and state.facts.capabilities.target == arch
            and places.wrapper_home(tree, state.record.target) == state.record.home
            for state in states(tree, places.BASE, 0)
        )
    except UsageError:
        return False


def place_of(asked: VmOptions) -> Place:
    """Return where the VM's configuration is; its number is 0 where nobody says it."""
    from vmserial.pve import tree

    given = input_of(asked)
    if given.place is not None:
        return given.place
    number = given.vmid if asked.vmid is None else asked.vmid
    return tree.Place(number, Path(given.path or given.name), None)


def read(asked: VmOptions) -> Vm:
    """Take a VM's configuration as it was read, ask its binary, name its guest.

    Raises:
        UsageError: an option is wrong.
        ConfigError: its configuration cannot be read as one.
        BinaryError: the binary that was named does not work.
    """
    from vmserial.pve import tree
    from vmserial.sources.pve.view import alone

    place = place_of(asked)
    conf = tree.conf_of(place, input_of(asked).raw)
    conf = replace(conf, document=alone(conf.document, asked.snapshot, asked.pending))
    return of_conf(asked, conf, tree.host_arch(place.root))


def of_conf(asked: VmOptions, conf: Conf, host: str, *, quiet: bool = False) -> Vm:
    """As :func:`read`, of a configuration that was read.

    Args:
        asked: the user's options.
        conf: the configuration.
        host: the architecture of the tree's host; empty if nobody knows it.
        quiet: do not say that a QEMU was assumed.
    """
    machine = machine_of(asked, conf, conf.document, host)
    capabilities = capabilities_of(machine, asked.qemu[0] if asked.qemu else "", quiet=quiet)
    shim = shim_installed(conf.place.root, machine.arch)
    return Vm(conf, machine, capabilities, guest_of(asked, machine), shim)


def machine_of(asked: VmOptions, conf: Conf, document: Document, host: str) -> Machine:
    """Return what a document says, with the user's options put over it.

    Raises:
        ConfigError: it cannot be read as a configuration.
        UsageError: an option is wrong.
    """
    from vmserial.pve.tree import vm_arch
    from vmserial.sources.overrides import apply
    from vmserial.sources.pve import machine

    arch = vm_arch(document, host, asked.arch)
    return apply(machine(document, conf.place.vmid or None, arch=arch), overrides(asked))


def capabilities_of(machine: Machine, binary: str, *, quiet: bool = False) -> Capabilities:
    """Ask (or remember) what the VM's binary has; assume an old one where there is none.

    Raises:
        BinaryError: the binary that was named does not work.
    """
    from vmserial.machines import architecture
    from vmserial.model import Capabilities

    arch = architecture(machine.arch)
    kind = arch.machine_type(machine.machine_type)
    try:
        path = _found(arch.name, binary, os.environ.get("PATH", ""))
        return _probed(path, kind, machine.machine_options, arch.name)
    except BinaryError as error:
        if binary:
            raise
        if not quiet:
            version = ".".join(map(str, ASSUMED))
            complain(f"vmserial: note: {error.message}; QEMU {version} is assumed")
        return Capabilities(ASSUMED, arch.name, measured=False)


@cache
def _found(arch: str, binary: str, path: str) -> str:
    """Return the binary of an architecture; of the VMs of a tree, looked for once."""
    from vmserial.qemu.binary import find

    del path  # $PATH: where it is looked for
    return find(arch, binary or None)


@cache
def _probed(
    path: str, machine_type: str, options: tuple[tuple[str, str], ...], arch: str
) -> Capabilities:
    """Ask a binary; of the VMs of a tree, once for all of one kind."""
    from vmserial.qemu.binary import probe

    return probe(path, machine_types=[machine_type], machine_options=options, arch=arch)


def current_only(asked: VmOptions) -> None:
    """Refuse to mend another view than the current settings.

    Raises:
        UsageError: --snapshot or --pending is given.
    """
    if asked.snapshot is not None or asked.pending:
        raise UsageError(
            "fix mends the current settings; snapshots and pending changes stay as they are",
            hint="leave out --snapshot and --pending",
        )
