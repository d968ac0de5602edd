"""Each finding on a booted guest: the port is dead before, and mended it passes both ways."""

from __future__ import annotations

import functools
import subprocess
import time
from pathlib import Path

import pytest
from test_findings_live import here

import findings
from vmserial.model import Machine, Severity
from vmserial.progress import Silent
from vmserial.qemu.loop import run_interruptible
from vmserial.sources.command import CommandLine, CommandView
from vmserial.verify.command import Proof, prove
from vmserial.verify.request import TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import Verdict
from vmserial.verify.runner import find_environments

ELSEWHERE = {
    "chardev-in-use", "chardev-incomplete", "chardev-missing", "chardev-required",
    "chardev-waits", "console-not-there", "id-taken", "not-hot-pluggable",
    "output-lost-while-detached", "pci-serial-dead", "port-clash", "usb-not-plugged",
}  # fmt: skip
"""Dead in another way than by its device, or on loongarch64, which needs a QEMU of its own:
test_findings_live.py, test_archs_live.py and below show it."""

DEAD = [
    id for id in findings.ids()
    if id not in ELSEWHERE
    and any(f.id == id and f.severity is Severity.DEAD for f in findings.judged(id).found)
]  # fmt: skip

LONGER_QUEUE = (10, 0, 0)
"""Debian's 10.0.13 has a control queue that does not overflow at 17 ports."""

LOGGED_SECONDS = 120.0
"""Within this a kernel has said its first words; under TCG it takes one second."""


@functools.cache
def environment(arch: str, *suites: str) -> TestEnvironment:
    """Return this machine's QEMU with the test guest, or that of a suite."""
    (found,) = find_environments(VerifyRequest(Machine(arch, ()), suites=suites), Silent())
    return found


def proven(command: CommandLine, *suites: str) -> VerifyReport:
    """Boot a command's ports and prove each both ways."""
    view = CommandView.of(command)
    return run_interruptible(prove(view, environment(view.arch, *suites), proof=Proof()))


@pytest.mark.parametrize("id", DEAD)
def test_before_the_port_is_dead_in_the_guest(id: str) -> None:
    verdict = findings.judged(id, on=here)
    if id == "virtio-queue-overflow" and here("aarch64").version >= LONGER_QUEUE:
        assert proven(findings.command(id)).checks
        return
    named = {name for flaw in verdict.found if flaw.id == id for name in flaw.ports}
    report = proven(findings.command(id))
    failed = {check.port for check in report.checks if check.verdict is not Verdict.PASS}
    passed = {check.port for check in report.checks} - failed
    if id == "pci-function":
        # Its command does not start for another reason as well.
        assert report.exit_code == 1
        return
    assert failed
    if id in {"virtio-queue-overflow", "hvc-limit"}:
        # Which of them the queue loses, or has its hvc taken by another, is chance.
        assert "serial0" not in failed
        return
    assert failed <= named | {""}, (failed, named)
    assert "serial0" in passed | named


MENDED = [
    id for id in findings.ids()
    if findings.arch(id) in findings.GUESTS and id not in findings.FAILING_STILL
]  # fmt: skip
"""What boots when mended; the others are in test_findings_live, and these two their owner's."""


@pytest.mark.parametrize("id", MENDED)
def test_mended_each_port_passes(id: str) -> None:
    verdict = findings.judged(id, on=here)
    report = proven(verdict.command)
    bad = [f"{c.port}: {c.detail}" for c in report.checks if c.verdict is not Verdict.PASS]
    assert not bad
    wanted = {name for flaw in verdict.found for name in flaw.ports if name.startswith("serial")}
    # A port that got a chardev of its own may be called after it.
    assert len(wanted) <= len({check.port for check in report.checks})
    assert report.exit_code == 0


@pytest.mark.full
def test_a_port_without_a_driver_is_dead_and_mended_it_passes() -> None:
    id = "guest-driver-missing"
    for command, dead in (
        (findings.command(id), {"serial1"}),
        (findings.judged(id).command, set()),
    ):
        report = proven(command, "bookworm-cloud")
        assert {c.port for c in report.checks if c.verdict is not Verdict.PASS} == dead
        assert {c.port for c in report.checks if c.port} == {"serial0", "serial1"}


@pytest.mark.parametrize("mended", [False, True])
def test_what_is_said_while_nobody_is_attached(mended: bool, tmp_path: Path) -> None:
    id = "output-lost-while-detached"
    command = findings.judged(id, on=here).command if mended else findings.command(id)
    guest = environment("aarch64").guest
    argv = [word.replace("/run/vm", str(tmp_path)) for word in command.argv()]
    log = tmp_path / "serial0.log"
    with subprocess.Popen(
        [*argv, "-cpu", "cortex-a57", "-m", "256", "-kernel", str(guest.kernel),
         "-append", "console=ttyAMA0 earlycon panic=-1", "-no-reboot"]
    ) as qemu:  # fmt: skip
        try:
            end = time.monotonic() + (LOGGED_SECONDS if mended else 5)
            while time.monotonic() < end and b"Linux version" not in _read(log):
                time.sleep(0.1)
        finally:
            qemu.kill()
    assert (b"Linux version" in _read(log)) is mended


@pytest.mark.parametrize("mended", [False, True])
def test_what_the_kernel_says_to_a_console(mended: bool, tmp_path: Path) -> None:
    id, log = "console-not-there", tmp_path / "said"
    command = findings.judged(id, on=here).command if mended else findings.command(id)
    swapped = {
        "/dev/null": str(environment("aarch64").guest.kernel),
        "null,id=serial0": f"file,id=serial0,path={log}",
    }
    argv = [swapped.get(word, word) for word in command.argv()]
    append = argv.index("-append") + 1
    argv[append] += " panic=-1"
    # It ends: there is no such disk.
    subprocess.run(
        [*argv, "-cpu", "cortex-a57", "-m", "256", "-no-reboot"], timeout=LOGGED_SECONDS, check=True
    )
    assert (b"Linux version" in _read(log)) is mended


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
