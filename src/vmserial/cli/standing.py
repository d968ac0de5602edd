"""An input as its owner starts it, for what runs it: `verify`, `doctor --boot`, `fix`'s check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vmserial.cli.output import complain
from vmserial.cli.subject import FixWords, input_of
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.cli.pve_vm import Vm
    from vmserial.model import Capabilities, Finding
    from vmserial.model.origin import Gap, LoweredCommand
    from vmserial.sources.command import CommandLine
    from vmserial.sources.libvirt import Document as DomainDocument
    from vmserial.sources.pve import Document
    from vmserial.verify.standing import Standing


_HELD = frozenset({"address-in-use", "address-half-taken"})
"""What another process may listen on: of a VM that is proven while it runs, the VM itself."""


def standing(asked: VmOptions, *, fixed: bool = False) -> tuple[Standing, str]:
    """Return an input as it stands, or as `fix` would make it, and the binary that runs it.

    Args:
        asked: with its input read; a command, a PVE configuration or a domain.
        fixed: what `fix` would make.

    Raises:
        UsageError, ConfigError, BinaryError: as `doctor` and `fix` raise them.
    """
    kind = input_of(asked).kind
    words = FixWords()
    if kind == "command":
        return _command(asked, words, fixed)
    return _pve(asked, words, fixed) if kind == "pve" else _domain(asked, words, fixed)


def _command(asked: VmOptions, words: FixWords, fixed: bool) -> tuple[Standing, str]:
    from vmserial.cli import subject_command
    from vmserial.verify.standing import Standing

    command = subject_command.read(asked)
    verdict, capabilities = subject_command.judged(asked, words, command)
    arch = capabilities.target
    if fixed:
        return Standing(verdict.command, _unheld(verdict.left), arch), capabilities.binary
    return Standing(command, _unheld(verdict.findings), arch), capabilities.binary


def _unheld(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings but those that the VM itself causes where it runs; these are told."""
    kept = []
    for finding in findings:
        # Two servers of one command are in each other's way whoever runs.
        if finding.id in _HELD and "process" in finding.happens:
            complain(
                f"vmserial: note: {finding.happens} [{finding.id}]; it is not counted: a VM that "
                "runs has it itself"
            )
        else:
            kept.append(finding)
    return tuple(kept)


def _pve(asked: VmOptions, words: FixWords, fixed: bool) -> tuple[Standing, str]:
    from vmserial.cli import pve_vm, subject_pve

    vm = pve_vm.read(asked)
    document = vm.conf.document
    findings: tuple[Finding, ...]
    if fixed:
        mended, findings = subject_pve.mended(asked, words, vm, on_this_host=False)
        document = mended.document
    else:
        findings = subject_pve.examined(vm, on_this_host=False)
    command, lowered = of_conf(vm, document)
    if vm.shim:
        command = _behind_the_shim(command, vm)
    return _standing(command, lowered, findings), vm.capabilities.binary


def _behind_the_shim(command: CommandLine, vm: Vm) -> CommandLine:
    """Return what the emulator shim, which PVE starts instead, makes of a command."""
    from vmserial.judging import RepairPolicy, judge

    return judge(command, vm.capabilities, vm.guest, RepairPolicy(cautious=True)).command


def _domain(asked: VmOptions, words: FixWords, fixed: bool) -> tuple[Standing, str]:
    from vmserial.cli import subject_domain
    from vmserial.errors import BinaryError

    document = subject_domain.read(asked)
    verdict, domain = subject_domain.judged(asked, words, document)
    capabilities = subject_domain.capabilities_of(asked, domain)
    if not capabilities.binary:
        raise BinaryError(
            f"this machine has no qemu-system-{domain.arch}",
            hint="install it, or name one with --qemu", where=asked.input,
        )  # fmt: skip
    if fixed:
        command, lowered = of_domain(verdict.document, capabilities)
        return _standing(command, lowered, verdict.left), capabilities.binary
    command, lowered = of_domain(document, capabilities)
    return _standing(command, lowered, tuple(verdict.findings)), capabilities.binary


def _standing(
    command: CommandLine, lowered: LoweredCommand, findings: tuple[Finding, ...]
) -> Standing:
    from vmserial.verify.standing import Standing

    # What a finding says already is not said twice.
    ids, texts = {found.id for found in findings}, [found.happens for found in findings]
    refused = [
        gap for gap in refusals(lowered)
        if gap.rule not in ids and not any(gap.text in text for text in texts)
    ]  # fmt: skip
    return Standing(
        command, _unheld(findings), lowered.arch, labels=lowered.labels,
        refusals=tuple(f"{gap.text} ({gap.where})" if gap.where else gap.text for gap in refused),
    )  # fmt: skip


def refusals(lowered: LoweredCommand) -> list[Gap]:
    """Return why the owner itself does not start a VM."""
    return [gap for gap in lowered.gaps if gap.id == "refused"]


def of_conf(vm: Vm, document: Document) -> tuple[CommandLine, LoweredCommand]:
    """Return what PVE starts of a VM's configuration, as this machine's QEMU takes it.

    A port that a pending change deletes is gone at the next start, which applies them all.

    Args:
        vm: the VM.
        document: its configuration (the snapshot or the pending one that was asked for), or
            what `fix` makes of it.

    Raises:
        ConfigError, UsageError: as PVE's own lowering raises them.
    """
    from vmserial.pve.judged import going
    from vmserial.pve.tree import host_arch
    from vmserial.sources.pve.lower import PveHost, lower

    place = vm.conf.place
    # Where no QEMU is here the newest is assumed, as PVE has it.
    version = vm.capabilities.version[:2] if vm.capabilities.binary else PveHost().version
    lowered = lower(
        document, place.vmid, PveHost(host_arch(place.root), version),
        pending=bool(going(document)), arch=vm.machine.arch,
    )  # fmt: skip
    return _adapted(lowered, vm.capabilities), lowered


def of_domain(
    document: DomainDocument, capabilities: Capabilities
) -> tuple[CommandLine, LoweredCommand]:
    """Return what libvirt starts of a domain, as this machine's QEMU takes it."""
    from vmserial.sources.libvirt import Domain
    from vmserial.sources.libvirt.lower import lower

    lowered = lower(Domain.of(document), capabilities.version)
    return _adapted(lowered, capabilities), lowered


def _adapted(lowered: LoweredCommand, capabilities: Capabilities) -> CommandLine:
    from vmserial.qemu.stock import adapted

    command, notes = adapted(lowered, capabilities)
    for note in notes:
        complain(f"vmserial: note: {note}")
    return command
