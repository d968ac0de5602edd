"""Each finding on its rule's command: found, mended as it stands there, and nothing left."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

import findings
from vmserial import catalogue
from vmserial.guests import profile
from vmserial.judging import Judgement, RepairPolicy, judge
from vmserial.model import Severity
from vmserial.sources.command import CommandLine, CommandView

UPDATE = os.environ.get("VMSERIAL_UPDATE_GOLDEN")
MENDED = sorted(set(findings.ids()) - findings.UNMENDED)


@pytest.mark.parametrize("id", sorted(findings.UNMENDED))
def test_what_only_its_owner_can_mend_stays_as_it_is(id: str) -> None:
    verdict = findings.judged(id)
    (found,) = [finding for finding in verdict.findings if finding.id == id]
    assert found.fix
    if UPDATE and verdict.changes:
        findings.mended(id).write_text(verdict.command.text())
        return
    assert verdict.changes == ()
    assert verdict.command.text() == findings.command(id).text()


@pytest.mark.parametrize("id", MENDED)
def test_the_finding_is_found_and_mended(id: str) -> None:
    verdict = findings.judged(id)
    assert id in {flaw.id for flaw in verdict.found}
    assert id in {change.id for change in verdict.changes}
    assert verdict.left == ()
    text = verdict.command.text()
    if UPDATE:
        findings.mended(id).write_text(text)
    assert text == findings.mended(id).read_text()


@pytest.mark.parametrize("id", MENDED)
def test_what_was_mended_has_nothing_to_mend(id: str) -> None:
    once = findings.judged(id).command
    again = findings.judged(id, once)
    assert [change.text for change in again.changes] == []
    assert again.command.text() == once.text()
    assert [f.id for f in again.found if f.severity is not Severity.NOTE] == []


@pytest.mark.parametrize("id", findings.ids())
def test_a_finding_says_what_happens_why_and_what_to_do(id: str) -> None:
    for finding in findings.judged(id).findings:
        assert finding.happens
        assert finding.why
        assert finding.fix
        assert catalogue.by_id(finding.id) is not None


def test_the_severity_is_the_catalogues_effect() -> None:
    for id in findings.ids():
        doc = catalogue.by_id(id)
        assert doc is not None
        severities = {flaw.severity for flaw in findings.judged(id).found if flaw.id == id}
        dead = {Severity.DEAD} if doc.effect is catalogue.Effect.DEAD else set()
        # The one or the other, by the case.
        if id not in {"chardev-required", "pci-function", "pci-out-of-reach"}:
            assert severities >= dead, id


def judge_text(text: str, policy: RepairPolicy | None = None, assumed: bool = True) -> Judgement:
    command = CommandLine.parse(text)
    arch = CommandView.of(command).arch
    guest = replace(profile.unknown(arch), assumed=assumed)
    return judge(command, findings.capabilities(arch), guest, policy)


FIVE_PCI = "qemu-system-aarch64 -M virt -nodefaults " + " ".join(
    f"-chardev pty,id=serial{n} -device pci-serial,chardev=serial{n}" for n in range(5)
)


def test_the_cautious_do_not_trust_an_assumed_guest() -> None:
    assert judge_text(FIVE_PCI).changes
    cautious = judge_text(FIVE_PCI, RepairPolicy(cautious=True))
    assert cautious.changes == ()
    assert [flaw.id for flaw in cautious.left] == ["guest-8250-limit"]
    assert judge_text(FIVE_PCI, RepairPolicy(cautious=True), assumed=False).changes


@pytest.mark.parametrize("id", ["chardev-waits", "port-clash", "stdio-twice", "chardev-required"])
def test_the_cautious_leave_the_host_side_alone(id: str) -> None:
    command = findings.command(id)
    verdict = judge_text(command.text(), RepairPolicy(cautious=True))
    assert verdict.changes == ()
    assert verdict.command.text() == command.text()


@pytest.mark.parametrize(
    "text",
    [
        # Buses that a file makes which nobody read.
        "qemu-system-x86_64 -M q35 -nodefaults -readconfig pve-q35.cfg -chardev pty,id=serial0 "
        "-device usb-serial,bus=ehci.0,chardev=serial0,always-plugged=on",
        "qemu-system-x86_64 -M q35 -nodefaults -readconfig pve-q35.cfg -chardev pty,id=serial0 "
        "-device pci-serial,bus=pci.2,addr=0x19,chardev=serial0",
        # Controllers without an id: QEMU numbers their buses.
        "qemu-system-aarch64 -M virt -nodefaults -device qemu-xhci,id=first -device qemu-xhci "
        "-chardev pty,id=serial0 "
        "-device usb-serial,bus=usb-bus.0,chardev=serial0,always-plugged=on",
        # Functions as libvirt and PVE write them.
        "qemu-system-x86_64 -M q35 -nodefaults -chardev pty,id=serial0 -chardev pty,id=serial1 "
        "-device pci-serial,bus=pcie.0,multifunction=on,addr=0x5.0x0,chardev=serial0 "
        "-device pci-serial,bus=pcie.0,addr=0x5.0x1,chardev=serial1",
        # Function 0 of slot 1 is the board's own, as on every PVE host with an i440fx.
        "qemu-system-x86_64 -M pc -nodefaults "
        "-device piix3-usb-uhci,id=uhci,bus=pci.0,addr=0x1.0x2 "
        "-chardev null,id=serial0 -device isa-serial,chardev=serial0",
        "qemu-system-x86_64 -M q35 -nodefaults -readconfig pve-q35.cfg -chardev null,id=serial0 "
        "-device isa-serial,chardev=serial0 -device usb-ehci,bus=pcie.0,addr=1d.7",
        # Chardevs that others use.
        "qemu-system-x86_64 -M q35 -nodefaults "
        "-chardev socket,id=serial0,path=/x,server=on,wait=off "
        "-mon chardev=serial0,mode=control",
        "qemu-system-x86_64 -M q35 -chardev socket,id=serial1,path=/x "
        "-device ipmi-bmc-extern,id=bmc0,chardev=serial1",
    ],
)
def test_what_is_right_is_left_alone(text: str) -> None:
    verdict = judge_text(text)
    assert [change.text for change in verdict.changes] == []
    assert verdict.left == ()
    assert verdict.command.text() == text


def test_a_file_that_nobody_read_keeps_its_places() -> None:
    text = (
        "qemu-system-x86_64 -id 100 -machine q35 -nodefaults "
        "-readconfig /usr/share/qemu-server/pve-q35-4.0.cfg "
        + " ".join(
            f"-chardev null,id=serial{n} -device isa-serial,chardev=serial{n}" for n in range(5)
        )
    )  # fmt: skip
    assert "qemu-xhci,id=vmserial-xhci0,bus=pci.2,addr=19.0" in judge_text(text).command.text()
    other = text.replace("-id 100 ", "").replace("pve-q35-4.0", "mine")
    assert "qemu-xhci,id=vmserial-xhci0,bus=pcie.0,addr=19.0" in judge_text(other).command.text()
