"""Which firmware it is, how it is started, and what does not go with it: no QEMU."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from plans import ROOMY, binary, planned, remembered

from vmserial.cli import main, verify_stage
from vmserial.cli.data import plan_json
from vmserial.cli.output import ranges
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import PlanRefused, UsageError
from vmserial.guests import firmware, grub
from vmserial.guests.firmware_version import version_of
from vmserial.model import Assignment, Chardev, Machine, Null, Plan, SerialPort
from vmserial.model.machine import Firmware
from vmserial.planning.stages import STAGES, of, reached, words
from vmserial.progress import Silent
from vmserial.report.reproduce import again
from vmserial.verify import stage, stage_setup
from vmserial.verify.request import VerifyReport, VerifyRequest
from vmserial.verify.results import Check, Verdict
from vmserial.verify.setup import Setup

DIRECTORIES = {"OVMF": "usr/share/OVMF/OVMF_CODE_4M.fd", "AAVMF": "usr/share/AAVMF/AAVMF_CODE.fd"}


def _at_nr_0(plan: Plan) -> list[Assignment]:
    return [replace(one, address="nr 0") if one.kind == "virtconsole" else one
            for one in plan.assignments]  # fmt: skip


@pytest.mark.parametrize("name", ["OVMF", "AAVMF"])
@pytest.mark.parametrize(
    ("version", "speaks"),
    [
        ("2022.11-6+deb12u2", False), ("2020.11-2", False), ("2025.02-8+deb13u1", True),
        ("2026.08+ds-2", True), ("4.2025.02-4~bpo12+1", True), ("2023.05-2", None), ("", None),
        ("0~20191122", None),
    ],
)  # fmt: skip
def test_a_virtconsole_at_nr_0_is_reached_by_the_versions_that_were_seen_to(
    name: str, version: str, speaks: bool | None
) -> None:
    at = reached(of(name, version), _at_nr_0(planned(ports=2, kind="virtconsole")))
    assert at["serial1"].speaks is speaks
    assert at["serial1"].obeys is speaks


def test_plan_says_what_its_version_reaches_and_both_where_nobody_knows_it() -> None:
    plan = planned("x86_64", 2, "virtconsole", guest=ROOMY, firmware=Firmware("ovmf"))
    plan = replace(plan, assignments=tuple(_at_nr_0(plan)))
    assert words(plan, ranges, "2022.11-6")[0] == (
        "firmware (OVMF 2022.11-6): writes to serial0; reads keys there"
    )
    assert words(plan, ranges, "2025.02-8")[0] == (
        "firmware (OVMF 2025.02-8): writes to serial0-serial1; reads keys there"
    )
    assert words(plan, ranges)[0] == (
        "firmware (OVMF): writes to serial0; reads keys there; to serial1 too in some versions "
        "(OVMF 2025.02 does, OVMF 2022.11 does not)"
    )
    said = {version: plan_json(plan, version)["ports"][1]["stages"][0]["speaks"]
            for version in ("2022.11-6", "2025.02-8", "")}  # fmt: skip
    assert said == {"2022.11-6": False, "2025.02-8": True, "": None}


def test_grub_of_uefi_has_what_that_version_of_uefi_has() -> None:
    ports = _at_nr_0(planned("x86_64", 2, "virtconsole", guest=ROOMY))
    rows = of("GRUB", on="OVMF")
    assert [reached(rows, ports, version)["serial1"].speaks
            for version in ("2022.11-6", "2025.02-8", "")] == [False, True, None]  # fmt: skip


def test_plan_names_grub_and_what_it_is_told_for_bios_and_for_uefi() -> None:
    for kind, told in (("seabios", {"GRUB": "no port"}), ("ovmf", {"GRUB": "serial0-serial1"})):
        plan = planned("x86_64", 3, "isa", guest=ROOMY, firmware=Firmware(kind))  # type: ignore[arg-type]
        said = [one for one in words(plan, ranges, "2022.11-6") if "GRUB" in one]
        assert len(said) == 2
        assert f"(GRUB): writes to {told['GRUB']}" in said[0]
        assert "(GRUB told `serial`): writes to serial0-serial2; reads keys there" in said[1]
    assert not [one for one in words(planned("s390x", 2), ranges) if "GRUB" in one]


def test_of_an_unknown_version_what_it_does_is_right_either_way() -> None:
    rows = of("OVMF")
    expected = reached(rows, _at_nr_0(planned(ports=2, kind="virtconsole")))
    for said, obeyed, verdict in (
        (b"Shell> ", frozenset({"serial0", "serial1"}), Verdict.PASS),
        (b"", frozenset({"serial0"}), Verdict.CANNOT),
    ):
        seen = stage.Seen(True, {"serial0": b"Shell> ", "serial1": said}, obeyed)
        checks = stage.judged(
            lambda port, mode, way: Check("firmware", "", "", "", "", "", port, way, mode=mode),
            expected, seen,
        )  # fmt: skip
        # On aarch64's UART, which OVMF's entries do not have, all is red.
        second = [check for check in checks if check.port == "serial1"]
        assert {check.verdict for check in second} == {verdict}
        assert all("nobody knows its version" in check.detail for check in second)


@pytest.mark.parametrize(
    ("name", "package"),
    [("OVMF", "ovmf"), ("OVMF", "ovmf-generic"), ("AAVMF", "qemu-efi-aarch64")],
)
def test_a_version_is_the_installed_package_s(name: str, package: str, tmp_path: Path) -> None:
    image = tmp_path / DIRECTORIES[name]
    image.parent.mkdir(parents=True)
    image.write_bytes(b"\0" * 64)
    assert version_of(Path("/", DIRECTORIES[name]), root=str(tmp_path)) == ""
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        f"Package: y\nVersion: 1\n\nPackage: {package}\nStatus: ok\nVersion: 2022.11-6+deb12u2\n\n"
    )
    version = version_of(Path("/", DIRECTORIES[name]), root=str(tmp_path))
    assert version == "2022.11-6+deb12u2"
    assert version_of(Path("/none"), root=str(tmp_path)) == ""


def test_a_version_is_what_the_image_tells(tmp_path: Path) -> None:
    image = tmp_path / "uefi.fd"
    image.write_bytes(b"\0" * 0x1028 + b"_FVH" + "2025.02-8+deb13u1".encode("utf-16-le"))
    assert firmware.find("aarch64", str(image)).version == "2025.02-8+deb13u1"
    image.write_bytes(b"\0" * 0x1028 + b"_FVH")
    assert firmware.find("aarch64", str(image)).version == ""


@pytest.mark.parametrize(
    ("word", "arch", "said", "title"),
    [
        ("seabios", "x86_64", b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n",
         "SeaBIOS 1.16.2-debian-1.16.2-1"),
        ("u-boot", "aarch64", b"\r\nU-Boot 2023.01+dfsg-2+deb12u3 (Sep 11 2025)\r\n",
         "U-Boot 2023.01+dfsg-2+deb12u3"),
        ("aavmf", "aarch64", b"UEFI firmware (version 2025.02-8+deb13u1 built at 18:06:17 on",
         "AAVMF 2025.02-8+deb13u1"),
        ("aavmf", "aarch64", b"UEFI firmware (version  built at 13:10:49 on", "AAVMF"),
        ("grub", "x86_64", b"\x1b[2;25HGNU GRUB  version 2.12-9+deb13u4\r\n",
         "GRUB 2.12-9+deb13u4"),
    ],
)  # fmt: skip
def test_a_firmware_says_its_version_itself(word: str, arch: str, said: bytes, title: str) -> None:
    known = next(one for one in firmware.KNOWN if (one.word, one.arch) == (word, arch))
    assert known.of_version(said).title == title
    assert replace(known, version="1-2").of_version(said).version == "1-2"


def test_a_seabios_that_says_nothing_is_its_qemu_s() -> None:
    known = next(one for one in firmware.KNOWN if one.word == "seabios")
    seen = stage._named(known, [stage.Wire("serial0")], binary("x86_64"))
    assert seen.title == "SeaBIOS of QEMU 7.2.0"


def test_grub_is_told_each_port_that_it_can_have_and_no_other() -> None:
    ports = _assigned(("isa", "isa", "pci", "pci-2x", "pci-2x", "usb", "virtio"))
    said = grub.configuration("i386-pc", ports, told=True)
    cards = [one.address.split()[0] for one in ports if one.kind.startswith("pci")]
    assert said.splitlines()[:3] == [
        "serial --unit=0", "terminal_output --append serial_com0",
        "terminal_input --append serial_com0",
    ]  # fmt: skip
    assert "serial --unit=2\n" in said
    assert "--unit=3" not in said
    slots = [f"serial pci,00:{card}\n" for card in dict.fromkeys(cards)]
    assert len(slots) == 2
    assert all(slot in said for slot in slots)
    assert said.count("serial pci,") == 2
    assert said.endswith("outb 0xe9 0x47\n")
    assert grub.configuration("i386-pc", ports, told=False) == "outb 0xe9 0x47\n"
    assert grub.configuration("x86_64-efi", ports, told=False) == ""


def test_grub_is_told_every_number_that_a_bus_below_a_bridge_can_have() -> None:
    one = replace(_assigned(("pci",))[1], bus="vmserial-bridge0", address="3.0")
    said = grub.configuration("x86_64-efi", [one], told=True)
    assert [line for line in said.splitlines() if line.startswith("serial ")] == [
        "serial pci,01:03.0", "serial pci,02:03.0",
    ]  # fmt: skip


def _machine(kinds: Sequence[str], arch: str = "x86_64") -> Machine:
    ports = [SerialPort(0, Chardev(Null()))]
    ports += [SerialPort(n, Chardev(Null()), kind=kind) for n, kind in enumerate(kinds, 1)]
    return Machine(arch, tuple(ports))


def _setup(machine: Machine, tmp_path: Path, word: str = "seabios") -> Setup:
    known = next(one for one in firmware.KNOWN if (one.word, one.arch) == (word, machine.arch))
    environment = stage_setup.environment_of(known, binary(machine.arch, (10, 0, 0), 4))
    rundir: Any = SimpleNamespace(socket=lambda name: str(tmp_path / name))
    return stage_setup.setup(machine, known, environment, rundir)


def _assigned(kinds: Sequence[str]) -> tuple[Assignment, ...]:
    rundir = Path("/run")
    return _setup(_machine(kinds), rundir).plan.assignments


def test_no_kernel_s_limit_of_8250_ports_holds_for_a_firmware(tmp_path: Path) -> None:
    made = _setup(_machine(("isa",) * 3 + ("pci",) * 12), tmp_path)
    assert [one.identity.value for one in made.plan.assignments[:4]] == [
        "0x3f8", "0x2f8", "0x3e8", "0x2e8",
    ]  # fmt: skip
    assert len(made.plan.assignments) == 16
    with pytest.raises(PlanRefused):
        _setup(_machine(("isa",) * 4), tmp_path)


def test_a_board_gets_the_memory_without_which_it_does_not_start(tmp_path: Path) -> None:
    made = _setup(_machine((), "loongarch64"), tmp_path, "edk2")
    assert made.plan.machine.memory_mib == 2048


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--jobs", "2"], "--jobs"), (["--cycles", "0"], "--cycles"),
        (["--cycles", "3"], "--cycles"),
        (["--seed", "7"], "--seed"), (["--sizes", "short"], "--sizes"), (["--paused"], "--paused"),
        (["--endpoint", "pty"], "--endpoint"), (["--case", "large"], "--case"),
        (["--arch", "all"], "--arch"),
    ],
)  # fmt: skip
def test_what_has_no_part_in_a_stage_is_refused_by_name(
    words: list[str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent), prepend=":")
    assert main.run(["verify", "--arch", "aarch64", "--stage", "firmware", *words]) == 2
    assert option in capsys.readouterr().err


def test_seed_0_is_any_and_goes_with_a_stage() -> None:
    verify_stage._check(VmOptions(), "firmware", {"seed": 0, "cycles": None, "jobs": None})
    with pytest.raises(UsageError, match="--cycles"):
        verify_stage._check(VmOptions(), "firmware", {"cycles": 0})


def test_each_entry_of_a_firmware_and_what_is_below_it_is_there() -> None:
    assert {one.on for one in STAGES} - {""} <= {one.name for one in STAGES}
    for one in firmware.KNOWN:
        assert stage_setup.stages_of(one), one


def _run(monkeypatch: pytest.MonkeyPatch, *, ready: bool = True) -> VerifyReport:
    """Run a stage whose firmware writes to COM1 and hears keys there, without QEMU."""

    async def look(*words: Any) -> stage.Seen:
        wires = words[4]
        wires["serial0"].said += b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n"
        said = {name: bytes(wire.said) for name, wire in wires.items()}
        return stage.Seen(ready, said, frozenset({"serial0"}), 1.0)

    monkeypatch.setattr(stage, "_look", look)
    known = next(one for one in firmware.KNOWN if one.word == "seabios")
    call = ("verify", "--arch", "x86_64", "--stage", "firmware", "--out", "o")
    request = VerifyRequest(_machine(("isa",)), given=True, call=call)
    made = stage.run(request, Silent(), known, binary("x86_64", (10, 0, 0), 4))
    return asyncio.run(made)


def test_the_report_names_the_version_and_its_command_goes_with_a_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = _run(monkeypatch)
    assert report.checks[-1].detail == "boot output: serial0; obeys: serial0"
    assert {check.guest for check in report.checks} == {"SeaBIOS 1.16.2-debian-1.16.2-1"}
    assert report.seed == 0
    assert again(report.call, report.seed, cases=("firmware",)) == (
        "vmserial verify --arch x86_64 --stage firmware"
    )


def test_a_firmware_that_does_not_come_to_wait_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, ready=False).checks[-1].verdict is Verdict.LOST


def test_a_firmware_of_another_architecture_is_refused_by_its_name() -> None:
    with pytest.raises(UsageError, match="grub is a firmware of x86_64, and not of aarch64"):
        firmware.find("aarch64", "grub")
