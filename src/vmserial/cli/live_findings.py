"""What a real QEMU shows of a command line: paused (--live-probe) or on a test guest (--boot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vmserial.cli.subject import FixWords
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.model import Finding
    from vmserial.sources.command import CommandLine


def probed(command: CommandLine, arch: str, binary: str, known: Sequence[Finding]) -> list[Finding]:
    """Return what a paused QEMU shows beyond what is known; nothing of the user's is touched.

    Raises:
        BinaryError: there is no such QEMU.
        QemuError: it does not answer.
    """
    from vmserial.qemu import liveprobe

    said = {(finding.id, finding.ports) for finding in known}
    found = liveprobe.findings(liveprobe.probe_command(command, binary=binary, arch=arch))
    return [finding for finding in found if (finding.id, finding.ports) not in said]


def of_source(asked: VmOptions, words: FixWords, known: Sequence[Finding]) -> list[Finding]:
    """Return what the command shows that PVE or libvirt start.

    Args:
        asked: a PVE configuration or a domain, read.
        words: whether a paused QEMU is asked, whether a guest is booted.
        known: what is known already.

    Raises:
        BinaryError, QemuError, ImageError: as :func:`probed` and :func:`booted`.
    """
    from vmserial.cli.standing import standing

    made, binary = standing(asked)
    found: list[Finding] = []
    if words.live_probe:
        found += probed(made.command, made.arch, binary, known)
    if words.boot:
        found += booted(made.command, replace(asked, arch=made.arch), binary)
    return found


def booted(command: CommandLine, asked: VmOptions, binary: str) -> list[Finding]:
    """Prove each port on a booted test guest and return those that are not proven.

    Raises:
        BinaryError: there is no such QEMU.
        ImageError: the guest cannot be had.
    """
    from vmserial.model import Finding, Severity
    from vmserial.progress import reporter
    from vmserial.verify.command import Proof, prove_command
    from vmserial.verify.results import Verdict

    told = reporter()
    try:
        report = prove_command(
            command,
            binary=binary,
            arch=asked.arch,
            reporter=told,
            proof=Proof(unattended=True),
        )
    finally:
        told.close()
    found: dict[str, Finding] = {}
    for check in report.checks:
        if check.verdict in {Verdict.PASS, Verdict.CANNOT, Verdict.SKIPPED}:
            continue
        name = check.port or "the VM"
        lost = check.verdict is Verdict.LOST
        found.setdefault(name, Finding(
            "not-proven", Severity.DEAD if check.port and not lost else Severity.FAILS,
            f"{name}: {check.detail or 'bytes did not arrive'}",
            "the VM was lost: nothing is proven either way" if lost
            else "seen on a booted test guest",
            "see what else is named here; `vmserial fix` mends what it can",
            (check.port,) if check.port else (),
        ))  # fmt: skip
    return list(found.values())
