"""Real firmware, booted without a system: the table of stages is what they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmserial.guests import firmware
from vmserial.guests.apt import PrivateApt, extract
from vmserial.guests.foreign import fetch
from vmserial.model import Chardev, Machine, Null, SerialPort
from vmserial.paths import cache_dir
from vmserial.planning.stages import Stage
from vmserial.progress import Silent
from vmserial.qemu import binary
from vmserial.qemu.loop import run_interruptible
from vmserial.verify import stage
from vmserial.verify.request import Limits, VerifyReport, VerifyRequest
from vmserial.verify.results import Verdict
from vmserial.verify.setup import Setup
from vmserial.verify.stage_setup import setup, stages_of

KINDS = ("pci", "usb", "virtio", "virtconsole", "pci")


def _booted(
    arch: str, word: str, kinds: tuple[str, ...] = KINDS, *, board: str = "",
    table: Stage | None = None, qemu: str = "", version: str = "",
) -> VerifyReport:  # fmt: skip
    ports = [SerialPort(0, Chardev(Null()))]
    ports += [SerialPort(n, Chardev(Null()), kind=kind) for n, kind in enumerate(kinds, 1)]
    machine = Machine(arch, tuple(ports), machine_type=board)
    found = firmware.find(arch, word)
    if version:
        found = replace(found, version=version)
    capabilities = binary.probe(qemu or binary.find(arch), arch=arch)
    limits = replace(Limits(), boot=180.0, command=40.0)
    request = VerifyRequest(machine, given=True, limits=limits)
    return run_interruptible(stage.run(request, Silent(), found, capabilities, table=table))


def _summary(report: VerifyReport) -> str:
    assert report.exit_code == 0, [check for check in report.checks if check.faults]
    return report.checks[-1].detail


def _both(*ports: int) -> str:
    names = ", ".join(f"serial{n}" for n in ports)
    return f"boot output: {names}; obeys: {names}"


def _qemu(suite: str, arch: str) -> str:
    return str(fetch(suite, [arch], cache_dir("foreign", f"{suite}-{arch}-only"))[arch])


def _image(suite: str, package: str, file: str, to: Path) -> tuple[str, str]:
    """Return a firmware of a suite's package, and the package's version."""
    apt = PrivateApt("amd64", suite)
    (deb,) = apt.download([package])
    extract(deb, to, lambda name: "/doc/" not in name)
    return str((to / file).resolve()), apt.resolve(package).version


@pytest.fixture
def _nr_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a virtconsole place 0 of its controller, which vmserial leaves to a console."""

    def moved(*words: Any) -> Setup:
        made = setup(*words)
        ports = tuple(
            replace(one, address="nr 0") if one.address == "nr 1" else one
            for one in made.plan.assignments
        )
        argv = tuple(one.replace("nr=1,", "nr=0,") if one.startswith("virtconsole,") else one
                     for one in made.argv)  # fmt: skip
        assert argv != made.argv
        return replace(made, plan=replace(made.plan, assignments=ports), argv=argv)

    monkeypatch.setattr(stage, "setup", moved)


def test_seabios_has_com1_alone_and_says_its_version() -> None:
    report = _booted("x86_64", "seabios", ("isa",), board="pc")
    assert _summary(report) == _both(0)
    assert report.checks[-1].guest.startswith("SeaBIOS 1.")


@pytest.mark.full
def test_a_table_turned_over_is_red() -> None:
    table = replace(stages_of(firmware.find("x86_64", "seabios"))[0], speaks={"isa": 2})
    report = _booted("x86_64", "seabios", ("isa",), board="pc", table=table)
    assert report.exit_code == 1
    assert [c.port for c in report.checks if c.verdict is Verdict.FAIL] == ["serial1", ""]


@pytest.mark.full
def test_ovmf_has_two_of_four_com_ports_and_every_pci_serial() -> None:
    kinds = ("isa",) * 3 + ("pci",) * 12 + ("pci-2x", "pci-2x", "usb", "virtio", "virtconsole")
    assert _summary(_booted("x86_64", "ovmf", kinds, board="q35")) == _both(0, 1, *range(4, 17))


@pytest.mark.full
@pytest.mark.parametrize(
    ("arch", "word"), [("aarch64", "aavmf"), ("aarch64", "u-boot"), ("riscv64", "u-boot")]
)
def test_on_arm_and_riscv_the_first_uart_alone(arch: str, word: str) -> None:
    assert _summary(_booted(arch, word)) == _both(0)


@pytest.mark.full
@pytest.mark.usefixtures("_nr_0")
@pytest.mark.parametrize(("arch", "word", "board"), [("x86_64", "ovmf", "q35"),
                                                     ("aarch64", "aavmf", "")])  # fmt: skip
def test_uefi_of_bookworm_has_no_virtconsole_at_nr_0_either(
    arch: str, word: str, board: str
) -> None:
    assert _summary(_booted(arch, word, ("virtconsole",), board=board)) == _both(0)


OVMF = ("x86_64", "ovmf", "usr/share/OVMF/OVMF_CODE_4M.fd")
AAVMF = ("aarch64", "qemu-efi-aarch64", "usr/share/AAVMF/AAVMF_CODE.fd")


@pytest.mark.full
@pytest.mark.usefixtures("_nr_0")
@pytest.mark.parametrize(("arch", "package", "file"), [OVMF, AAVMF])
def test_uefi_of_trixie_has_a_virtconsole_at_nr_0_and_no_second(
    arch: str, package: str, file: str, tmp_path: Path
) -> None:
    word, version = _image("trixie", package, file, tmp_path)
    report = _booted(arch, word, ("virtconsole", "virtconsole"), version=version)
    assert _summary(report) == _both(0, 1)
    # The escapes that the second one gets are no output.
    second = [c for c in report.checks if c.port == "serial2"]
    assert {c.verdict for c in second} == {Verdict.CANNOT}


@pytest.mark.full
@pytest.mark.usefixtures("_nr_0")
def test_of_a_version_that_nobody_knows_either_is_right(tmp_path: Path) -> None:
    word, _ = _image("trixie", *OVMF[1:], tmp_path)
    report = _booted("x86_64", word, ("virtconsole",))
    assert _summary(report) == _both(0, 1)
    assert any("nobody knows its version" in check.detail for check in report.checks)


@pytest.mark.full
@pytest.mark.usefixtures("_nr_0")
@pytest.mark.parametrize("arch", ["riscv64", "loongarch64"])
def test_uefi_of_riscv_and_loongarch_has_the_first_uart_alone(arch: str) -> None:
    report = _booted(arch, "edk2", ("virtconsole",), qemu=_qemu("trixie", arch))
    assert _summary(report) == _both(0)


GRUB_KINDS = ("isa", "isa", "isa", "pci", "pci", "pci-2x", "pci-2x", "usb", "virtconsole")


@pytest.mark.full
def test_grub_of_bios_has_no_port_by_itself() -> None:
    report = _booted("x86_64", "grub", ("isa", "pci"), board="pc")
    assert _summary(report) == "boot output: no port; obeys: no port"


@pytest.mark.full
@pytest.mark.parametrize("board", ["pc", "q35"])
def test_grub_told_serial_has_four_com_ports_and_each_card(board: str) -> None:
    report = _booted("x86_64", "grub-serial", GRUB_KINDS, board=board)
    assert _summary(report) == _both(0, 1, 2, 3, 4, 5, 6)
    assert report.checks[-1].guest.startswith("GRUB told `serial` 2.12")


@pytest.mark.full
@pytest.mark.parametrize(
    ("word", "ports"), [("grub-efi", (0, 1, 4)), ("grub-efi-serial", (0, 1, 2, 3, 4))]
)
def test_grub_of_uefi_has_what_uefi_has_and_what_it_is_told(
    word: str, ports: tuple[int, ...]
) -> None:
    kinds = ("isa", "isa", "isa", "pci", "usb", "virtconsole")
    assert _summary(_booted("x86_64", word, kinds, board="q35")) == _both(*ports)


@pytest.mark.full
@pytest.mark.parametrize("arch", ["aarch64", "riscv64"])
def test_grub_of_arm_and_riscv_has_the_first_uart_alone(arch: str) -> None:
    qemu = _qemu("trixie", arch) if arch == "riscv64" else ""
    assert _summary(_booted(arch, "grub-efi", ("pci", "virtconsole"), qemu=qemu)) == _both(0)


@pytest.mark.full
def test_nothing_is_sent_to_uefi_that_asks_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """AAVMF clears its screen and asks how wide it is; one key is sent, after it waits."""
    sent: list[bytes] = []
    before: list[bytes] = []
    send = stage.Wire.send

    def counted(wire: stage.Wire, data: bytes) -> None:
        if not sent:
            before.append(bytes(wire.said))
        sent.append(data)
        send(wire, data)

    monkeypatch.setattr(stage.Wire, "send", counted)
    assert _summary(_booted("aarch64", "aavmf", ())) == _both(0)
    assert sent == [b"\r"]
    assert b"\x1b[" in before[0]
    assert b"Shell>" in before[0] or b"Standard Language" in before[0]
