"""Ports that need a driver which the guest's kernel has not: named in each source, and mended."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import findings
from vmserial.cli.main import run
from vmserial.guests import profile
from vmserial.judging import Judgement, RepairPolicy, judge
from vmserial.model import ABSENT, GuestProfile, Severity
from vmserial.sources.command import CommandLine, CommandView

ID = "guest-driver-missing"
BAD = findings.RULES / ID
CLOUD = (BAD / "guest.txt").read_text().strip()

PC = "qemu-system-x86_64 -M q35 -nodefaults"
ARM = "qemu-system-aarch64 -M virt -nodefaults"
VIRTIO = "-device virtio-serial-pci,id=vio"
FULL = GuestProfile("full")


def without(*drivers: str) -> GuestProfile:
    return replace(FULL, drivers=tuple((driver, ABSENT) for driver in drivers))


def judged(words: str, guest: GuestProfile, policy: RepairPolicy | None = None) -> Judgement:
    command = CommandLine.parse(words)
    has = findings.capabilities(CommandView.of(command).arch)
    return judge(command, has, guest, policy or RepairPolicy())


def named(verdict: Judgement) -> dict[str, str]:
    """Return what is said of each port that has no driver."""
    return {port: f.happens for f in verdict.found if f.id == ID for port in f.ports}


def port(device: str, number: int = 1) -> str:
    return f"-chardev pty,id=serial{number} -device {device},chardev=serial{number}"


NEEDS = [
    (f"{PC} -device qemu-xhci {port('usb-serial,always-plugged=on')}",
     replace(FULL, usb_serial=False), "ftdi_sio or xhci"),
    (f"{PC} {port('pci-serial')}", replace(FULL, pci_serial=False), "8250_pci"),
    (f"{PC} -chardev pty,id=serial1 -device pci-serial-2x,chardev1=serial1",
     replace(FULL, pci_serial=False), "8250_pci"),
    (f"{PC} {VIRTIO} {port('virtserialport,name=serial1')}",
     replace(FULL, virtio_console=False), "virtio_console"),
    (f"{PC} {VIRTIO} {port('virtconsole')}", replace(FULL, virtio_console=False),
     "virtio_console"),
    (f"{PC} {port('isa-serial')}", without("8250"), "8250"),
    (f"{PC} -chardev pty,id=serial1 -serial chardev:serial1", without("8250"), "8250"),
    (f"{ARM} -chardev pty,id=serial1 -serial chardev:serial1", without("amba-pl011"),
     "amba-pl011"),
    ("qemu-system-riscv64 -M virt -nodefaults -chardev pty,id=serial1 -serial chardev:serial1",
     without("8250_of"), "8250_of"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "guest", "driver"), NEEDS)
def test_each_kind_of_port_needs_its_driver(words: str, guest: GuestProfile, driver: str) -> None:
    said = named(judged(words, guest))
    assert said.keys() == {"serial1"}
    assert f"the guest full has no {driver} driver" in said["serial1"]
    # And no other: the same guest with that driver, and one that lacks all others.
    assert named(judged(words, FULL)) == {}
    others = replace(
        FULL, usb_serial="ftdi" in driver, pci_serial="pci" in driver,
        virtio_console="virtio" in driver,
        drivers=tuple((one, ABSENT) for one in profile.DRIVERS if one != driver),
    )  # fmt: skip
    assert named(judged(words, others)) == {}


def test_a_port_is_moved_to_a_kind_that_the_guest_has() -> None:
    words = f"{PC} -device qemu-xhci {port('usb-serial,always-plugged=on')} {port('isa-serial', 0)}"
    guest = replace(FULL, usb_serial=False, nr_uarts=1, runtime_uarts=1)
    verdict = judged(words, guest)
    assert [flaw.id for flaw in verdict.left] == []
    # Not to another 8250 either, of which the guest has no more.
    assert "virtserialport,id=virtserialport1" in verdict.command.text().replace(".", "")


def test_a_programs_channel_is_named_and_left_as_it_is() -> None:
    agent = "-chardev pty,id=qga0 -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"
    verdict = judged(f"{PC} {VIRTIO} {agent}", replace(FULL, virtio_console=False))
    assert [flaw.id for flaw in verdict.left if flaw.id == ID] == [ID]
    assert verdict.changes == ()


def test_of_an_assumed_guest_it_is_only_said_where_the_owner_trusts_no_assumption() -> None:
    words = f"{PC} -device qemu-xhci {port('usb-serial,always-plugged=on')}"
    guest = replace(FULL, usb_serial=False, assumed=True)
    policy = RepairPolicy(assumed_guest=False)
    (found,) = [flaw for flaw in judged(words, guest, policy).found if flaw.id == ID]
    assert found.severity is Severity.NOTE
    assert found.assumed
    assert "is assumed and has no" in found.happens
    assert judged(words, guest, policy).changes == ()
    assert judged(words, guest).changes


@pytest.mark.parametrize("name", ["bad.args", "bad.conf", "bad.xml"])
@pytest.mark.parametrize("guest", [CLOUD, "6.1.0-50-cloud-amd64"])
def test_doctor_and_fix_name_it_of_a_guest_that_is_named(
    name: str, guest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = shutil.copy(BAD / name, tmp_path / name.replace("bad.conf", "142.conf"))
    for words, times in ((["--guest", guest], 1), (["--guest", "debian-12-amd64"], 0), ([], 0)):
        assert run(["doctor", "--json", *words, str(given)]) in {0, 1}
        found = json.loads(capsys.readouterr().out)
        assert [each["ports"] for each in found if each["id"] == ID] == [["serial1"]] * times
        assert run(["fix", "--json", "--no-check", *words, str(given)]) in {0, 1}
        assert json.loads(capsys.readouterr().out)["found"].count(ID) == times


def test_a_kernel_that_qemu_loads_says_itself_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flavour, named_ in (("cloud-amd64", True), ("amd64", False)):
        kernel = tmp_path / f"vmlinuz-6.1.0-50-{flavour}"
        kernel.touch()
        script = tmp_path / "vm.args"
        script.write_text(f"{(BAD / 'bad.args').read_text().rstrip()} -kernel {kernel}\n")
        run(["doctor", "--json", str(script)])
        found = {each["id"] for each in json.loads(capsys.readouterr().out)}
        assert (ID in found) is named_
