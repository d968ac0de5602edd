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

KINDS = ("pci", "usb", "virtio", "virtconsole", "pci")


def _booted(
    arch: str, word: str, kinds: tuple[str, ...] = KINDS, *, board: str = "",
    table: Stage | None = None, qemu: str = "",
) -> VerifyReport:  # fmt: skip
    ports = [SerialPort(0, Chardev(Null()))]
    ports += [SerialPort(n, Chardev(Null()), kind=kind) for n, kind in enumerate(kinds, 1)]
    machine = Machine(arch, tuple(ports), machine_type=board)
    found = firmware.find(arch, word)
    capabilities = binary.probe(qemu or binary.find(arch), arch=arch)
    limits = replace(Limits(), boot=180.0, command=40.0)
    request = VerifyRequest(machine, given=True, limits=limits)
    return run_interruptible(stage.run(request, Silent(), found, capabilities, table=table))


def _summary(report: VerifyReport) -> str:
    assert report.exit_code == 0, [check for check in report.checks if check.faults]
    return report.checks[-1].detail


def test_seabios_has_com1_alone() -> None:
    assert _summary(_booted("x86_64", "seabios", ("isa",), board="pc")) == (
        "boot output: serial0; obeys: serial0"
    )


@pytest.mark.full
def test_a_table_turned_over_is_red() -> None:
    table = replace(stage.stage_of(firmware.find("x86_64", "seabios")), speaks={"isa": 2})
    report = _booted("x86_64", "seabios", ("isa",), board="pc", table=table)
    assert report.exit_code == 1
    assert [c.port for c in report.checks if c.verdict is Verdict.FAIL] == ["serial1", ""]


@pytest.mark.full
def test_ovmf_has_two_com_ports_and_every_pci_serial() -> None:
    summary = _summary(_booted("x86_64", "ovmf", ("isa", "isa", *KINDS), board="q35"))
    assert summary == (
        "boot output: serial0, serial1, serial3, serial7; obeys: serial0, serial1, serial3, serial7"
    )


@pytest.mark.full
@pytest.mark.parametrize(
    ("arch", "word"), [("aarch64", "aavmf"), ("aarch64", "u-boot"), ("riscv64", "u-boot")]
)
def test_on_arm_and_riscv_the_first_uart_alone(arch: str, word: str) -> None:
    assert _summary(_booted(arch, word)) == "boot output: serial0; obeys: serial0"


@pytest.mark.full
def test_riscv_uefi_has_the_first_uart_alone() -> None:
    # QEMU starts it from pflash as of 8.1.
    qemu = str(fetch("trixie", ["riscv64"], cache_dir("foreign", "trixie-riscv64-only"))["riscv64"])
    summary = _summary(_booted("riscv64", "edk2", qemu=qemu))
    assert summary == "boot output: serial0; obeys: serial0"


@pytest.mark.full
@pytest.mark.parametrize(
    ("arch", "package", "file"),
    [
        ("x86_64", "ovmf", "usr/share/OVMF/OVMF_CODE_4M.fd"),
        ("aarch64", "qemu-efi-aarch64", "usr/share/AAVMF/AAVMF_CODE.fd"),
    ],
)
def test_uefi_of_trixie_has_a_virtconsole_at_nr_0(
    arch: str, package: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UEFI 2022.11, bookworm's, writes to none."""
    (deb,) = PrivateApt("amd64", "trixie").download([package])
    extract(deb, tmp_path, lambda name: "/doc/" not in name)
    word = str((tmp_path / file).resolve())
    planned = stage.setup

    def moved(*words: Any) -> Setup:
        made = planned(*words)
        ports = tuple(
            replace(one, address="nr 0") if one.kind == "virtconsole" else one
            for one in made.plan.assignments
        )
        argv = tuple(one.replace("nr=1,", "nr=0,") if one.startswith("virtconsole,") else one
                     for one in made.argv)  # fmt: skip
        assert argv != made.argv
        return replace(made, plan=replace(made.plan, assignments=ports), argv=argv)

    monkeypatch.setattr(stage, "setup", moved)
    assert _summary(_booted(arch, word, ("virtconsole",))) == (
        "boot output: serial0, serial1; obeys: serial0, serial1"
    )
