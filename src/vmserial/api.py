"""What programs use of vmserial: the names that ``import vmserial`` gives (docs/api.md).

The command line's verbs do the same with more around it: options over the input, what this host
has at a command's paths, notes for people.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vmserial import catalogue, sources
from vmserial.context import RepairPolicy
from vmserial.errors import UsageError, VmserialError
from vmserial.guests import profile
from vmserial.machines import ARCHITECTURES
from vmserial.model import (
    Capabilities,
    Finding,
    GuestProfile,
    Machine,
    Plan,
    SerialPort,
    Severity,
)
from vmserial.planning import planner
from vmserial.qemu import binary as binaries
from vmserial.sources.detect import Kind, detect

if TYPE_CHECKING:
    from vmserial.catalogue import RuleDoc
    from vmserial.judging import Change
    from vmserial.sources.command import CommandLine

__all__ = [
    "Capabilities",
    "Finding",
    "GuestProfile",
    "Machine",
    "Plan",
    "RepairPolicy",
    "SerialPort",
    "Severity",
    "Source",
    "Verdict",
    "VmserialError",
    "explain",
    "judge",
    "load",
    "plan",
    "probe",
]


@dataclass(frozen=True)
class Source:
    """What describes a VM, read by :func:`load`; :func:`judge` and :func:`plan` take it.

    Attributes:
        kind: ``pve``, ``domain``, ``command`` or ``toml``.
        name: what messages call it.
        raw: its bytes; empty where a command was given word by word.
        vmid: a PVE VM's number, which is in the names of its sockets.
        arch: the architecture where it does not say one itself.
        words: a command that was given word by word.
    """

    kind: Kind
    name: str
    raw: bytes
    vmid: int | None = None
    arch: str = ""
    words: tuple[str, ...] = ()

    @cached_property
    def machine(self) -> Machine:
        """What it says, in the form that :func:`plan` takes.

        Raises:
            ConfigError: it is a broken one of its kind.
        """
        if self.words:
            from vmserial.sources.command.machine import machine

            return machine(self.command, arch=self.arch, read_file=sources.read_file)
        return sources.of_bytes(self.raw, self.name, kind=self.kind, vmid=self.vmid, arch=self.arch)

    @cached_property
    def command(self) -> CommandLine:
        """The command that it is; of the kind ``command`` alone.

        Raises:
            ConfigError: it is a broken one.
        """
        from vmserial.sources.command import CommandLine

        if self.words:
            return CommandLine.from_words(self.words)
        return CommandLine.from_bytes(self.raw, self.name)

    @property
    def text(self) -> str:
        """Its text; bytes that are not UTF-8 as surrogates."""
        return self.command.text() if self.words else self.raw.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a VM's serial ports, and what becomes of it.

    Attributes:
        findings: all that is wrong, the worst first; with :attr:`Severity.NOTE` what is only
            to be known.
        changes: what was repaired: each with the finding's ``id``, its ``ports`` and a ``text``.
        text: the repaired source, in its own language: all that was right has every byte that
            it had.  As it was where nothing was to be done.
        left: what is wrong still: only its owner can mend it.
    """

    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    text: str
    left: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong: what there is are notes."""
        return all(each.severity is Severity.NOTE for each in self.findings)


# ------------------------------------------------------------------ reading and asking


def load(
    source: str | bytes | os.PathLike[str] | Sequence[str],
    *,
    vmid: int | None = None,
    arch: str = "",
) -> Source:
    """Read what describes a VM; its content tells what it is.

    Args:
        source: a file's path; or the text itself (bytes, or a string with more than one word);
            or a command as a list of words.  A PVE configuration, a libvirt domain's XML, a QEMU
            command in a script or a log, or TOML of vmserial's own.
        vmid: a PVE VM's number, where the file is not named ``<vmid>.conf``.
        arch: the architecture where the source does not say one: ``aarch64``, ``x86_64``.

    Raises:
        UsageError: the file is not there or cannot be read.
        ConfigError: it is nothing that describes a VM; the message says what it looks like.
    """
    if not isinstance(source, str | bytes | os.PathLike):
        return Source("command", "the command", b"", vmid, arch, tuple(source))
    if isinstance(source, bytes):
        raw, name = source, "the text"
    elif isinstance(source, str) and (source.startswith("<") or len(source.split()) > 1):
        raw, name = source.encode("utf-8", "surrogateescape"), "the text"
    else:
        name = os.fspath(source)
        raw = sources.read_bytes(name)
    return Source(detect(raw, name), name, raw, vmid, arch)


def probe(binary: str | os.PathLike[str], *, machine_type: str = "") -> Capabilities:
    """Return what a QEMU binary has; it is asked once, the answer is kept in the cache.

    Args:
        binary: a path, or a name in ``$PATH`` such as ``qemu-system-aarch64``.
        machine_type: whose on-board UARTs are counted, on a paused VM; without it those of the
            architecture's usual boards.

    Raises:
        BinaryError: it is not there, does not start, or is no QEMU.
    """
    path = binaries.find("", os.fspath(binary))
    known = ARCHITECTURES.get(binaries.probe(path).target)
    boards = [platform.name for platform in known.platforms] if known else []
    return binaries.probe(path, machine_types=[machine_type] if machine_type else boards)


# ------------------------------------------------------------------ judging and planning


def judge(
    vm: Source | Machine,
    capabilities: Capabilities,
    guest: GuestProfile | str | None = None,
    policy: RepairPolicy | None = None,
) -> Verdict:
    """Say what is wrong with a VM's serial ports as its owner starts it, and repair it.

    Nothing is written, started or looked at on this host.

    Args:
        vm: from :func:`load`; or a machine that is to be planned.
        capabilities: of the binary that it runs on, from :func:`probe`.
        guest: what the guest's kernel carries: a profile, the name of one (``vmserial guest
            list``) or the kernel's configuration file; None: Debian 12's kernel is assumed.
        policy: what its owner prefers where there is a choice.

    Raises:
        UsageError: the binary is of another architecture, or the policy asks for what the
            source cannot have.
        ConfigError: the source is broken.
    """
    source = None if isinstance(vm, Machine) else vm
    if source is not None and source.kind == "command":
        return _command(source, capabilities, guest, policy)
    machine = vm if isinstance(vm, Machine) else vm.machine
    _refuse_other(machine.arch, capabilities, machine.name)
    carried = _guest(guest, machine.arch, machine.boot.append if machine.boot else "")
    if source is not None and source.kind == "domain":
        return _domain(source, capabilities, carried, policy)
    if source is not None and source.kind == "pve":
        return _pve(source, capabilities, carried, policy)
    from vmserial.doctor import diagnose

    found = tuple(each.explained() for each in diagnose(machine, capabilities, carried))
    return Verdict(found, (), source.text if source else "", _wrong(found))


def plan(
    vm: Source | Machine, capabilities: Capabilities, guest: GuestProfile | str | None = None
) -> Plan:
    """Give each port a device, a bus and an address that work, and say why; pure.

    What cannot be carried is in :attr:`Plan.refusals`, with the way out; the other ports are
    planned all the same.

    Args:
        vm: from :func:`load`; or a machine.
        capabilities: of the binary, from :func:`probe`.
        guest: as :func:`judge` takes it.

    Raises:
        UsageError: the binary is of another architecture, or a value is one that no QEMU takes.
        ConfigError: the source is broken.
    """
    machine = vm if isinstance(vm, Machine) else vm.machine
    _refuse_other(machine.arch, capabilities, machine.name)
    carried = _guest(guest, machine.arch, machine.boot.append if machine.boot else "")
    return planner.plan(machine, capabilities, carried)


def explain(text: str) -> tuple[RuleDoc, ...]:
    """Return what is known of a finding's id, an error text, a log or a dmesg.

    Args:
        text: any of these, of any length; a part of an error text is enough.

    Returns:
        Documents with ``id``, ``title``, ``cause`` and ``resolution``, in the order of the text's
        lines; empty if nothing is known of it.
    """
    known = catalogue.by_id(text.strip())
    if known is not None:
        return (known,)
    found = tuple(match.doc for match in catalogue.matches(text))
    return found or tuple(catalogue.fragment(text))


def _guest(guest: GuestProfile | str | None, arch: str, append: str) -> GuestProfile:
    if isinstance(guest, GuestProfile):
        return guest
    return profile.resolve(guest, append=append) if guest else profile.assumed(arch, append)


def _refuse_other(arch: str, capabilities: Capabilities, name: str) -> None:
    known = ARCHITECTURES.get(arch)
    if known is not None and known.name != capabilities.target:
        raise UsageError(
            f"the VM is for {known.name}, and the binary is a QEMU for {capabilities.target}",
            hint=f"probe qemu-system-{known.name}; a source that names no architecture is taken "
            "for x86_64: load(…, arch=…) says another",
            where=name,
        )


def _wrong(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(each for each in findings if each.severity is not Severity.NOTE)


# ------------------------------------------------------------------ one source each


def _command(
    source: Source, capabilities: Capabilities, guest: GuestProfile | str | None,
    policy: RepairPolicy | None,
) -> Verdict:  # fmt: skip
    from vmserial.judging import judge as judged
    from vmserial.sources.command import CommandView

    arch = capabilities.target
    view = CommandView.of(source.command, arch=source.arch or arch, read_file=sources.read_file)
    _refuse_other(view.arch, capabilities, source.name)
    known = arch in ARCHITECTURES
    append = next((o.value or "" for o in reversed(source.command.named("append"))), "")
    carried = (
        _guest(guest, arch, append) if known or guest else GuestProfile("unknown", assumed=True)
    )
    verdict = judged(source.command, capabilities, carried, policy, read_file=sources.read_file)
    return Verdict(verdict.findings, verdict.changes, verdict.command.text(), verdict.left)


def _domain(
    source: Source, capabilities: Capabilities, guest: GuestProfile, policy: RepairPolicy | None
) -> Verdict:
    from vmserial.judging.domain import judge as judged
    from vmserial.sources.libvirt import Document

    verdict = judged(Document.parse(source.raw, source.name), capabilities, guest, policy)
    return Verdict(verdict.findings, verdict.changes, verdict.text, verdict.left)


def _pve(
    source: Source, capabilities: Capabilities, guest: GuestProfile, policy: RepairPolicy | None
) -> Verdict:
    from vmserial.pve.examine import examine, wrong
    from vmserial.pve.mend import mend
    from vmserial.sources.overrides import Overrides, apply
    from vmserial.sources.pve import Document
    from vmserial.sources.pve import machine as read
    from vmserial.sources.pve.wanted import logged

    asked = policy or RepairPolicy()
    over = Overrides(
        kind="" if asked.kind == "auto" else asked.kind, hotplug=asked.hotplug or None,
        port_kinds=tuple((_number(name), kind) for name, kind in asked.kinds.items()),
    )  # fmt: skip
    document = Document.parse(source.text, source.name)
    machine = apply(source.machine, over)
    made = mend(document, logged(machine, asked.logs), capabilities, guest)
    after = apply(read(made.document, machine.vmid, arch=machine.arch), over)
    return Verdict(
        examine(document, machine, capabilities, guest, mended=made),
        made.changes,
        made.document.text(),
        wrong(examine(made.document, after, capabilities, guest)),
    )


def _number(port: str) -> int:
    number = port.removeprefix("serial")
    if not number.isdecimal():
        raise UsageError(
            f"a VM of PVE has no port {port!r}", hint="name its ports serial0, serial1 …"
        )
    return int(number)
