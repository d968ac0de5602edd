"""The table of boot stages, and what a firmware did held against it: no QEMU."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from plans import ROOMY, planned

from vmserial.cli.data import plan_json
from vmserial.cli.output import ranges
from vmserial.errors import UsageError
from vmserial.guests import firmware
from vmserial.model import DirectBoot, Plan
from vmserial.model.consoles import in_question
from vmserial.model.machine import Firmware
from vmserial.planning.stages import STAGES, Stage, reached, silent_consoles, words
from vmserial.verify.request import Limits
from vmserial.verify.results import Check, Direction, Verdict
from vmserial.verify.stage import Listening, Seen, Wire, judged, summary, text_of
from vmserial.verify.stage_setup import stages_of

AAVMF = next(one for one in STAGES if one.name == "AAVMF")


def _base(port: str, mode: str, way: Direction) -> Check:
    return Check("firmware", "aarch64", "virt", "7.2", "AAVMF", "uart", port, way, mode=mode)


def _judged(plan: Plan, stage: Stage, said: dict[str, bytes], obeyed: set[str]) -> list[Check]:
    ports = {one.port.name: b"" for one in plan.assignments}
    seen = Seen(True, {**ports, **said}, frozenset(obeyed))
    return judged(_base, reached(stage, plan.assignments), seen)


def test_a_silent_port_is_what_the_table_says_and_no_failure() -> None:
    checks = _judged(planned(ports=2), AAVMF, {"serial0": b"Shell> "}, {"serial0"})
    assert [(c.port, c.mode, c.verdict) for c in checks] == [
        ("serial0", "speaks", Verdict.PASS), ("serial0", "obeys", Verdict.PASS),
        ("serial1", "speaks", Verdict.CANNOT), ("serial1", "obeys", Verdict.CANNOT),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "obeyed", "red"),
    [
        ({}, {"serial0"}, ("serial0", "speaks")),
        ({"serial0": b"Shell> "}, set(), ("serial0", "obeys")),
        ({"serial0": b"Shell> ", "serial1": b"Shell> "}, {"serial0"}, ("serial1", "speaks")),
        ({"serial0": b"Shell> "}, {"serial0", "serial1"}, ("serial1", "obeys")),
    ],
)
def test_each_deviation_from_the_table_is_red(
    said: dict[str, bytes], obeyed: set[str], red: tuple[str, str]
) -> None:
    checks = _judged(planned(ports=2), AAVMF, said, obeyed)
    assert [(c.port, c.mode) for c in checks if c.verdict is Verdict.FAIL] == [red]


@pytest.mark.parametrize(
    "turned", [{"speaks": {}}, {"obeys": {}}, {"speaks": {"uart": 1, "usb": 1}}]
)
def test_an_entry_of_the_table_turned_over_is_red(turned: dict[str, dict[str, int]]) -> None:
    said = {"serial0": b"Shell> "}
    checks = _judged(planned(ports=2), replace(AAVMF, **turned), said, {"serial0"})  # type: ignore[arg-type]
    assert sum(c.verdict is Verdict.FAIL for c in checks) == 1


def test_terminal_queries_and_colours_are_no_output() -> None:
    assert text_of(b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[6n\x1b[32766;32766H\r\n") == b""
    assert text_of(b"\x1b[0m\x1b[35m\x1b[40mShell> ") == b"Shell>"
    seen = Seen(True, {"serial0": b"=> ", "serial1": b"\x1b[2J"}, frozenset({"serial0"}))
    assert summary(seen) == "boot output: serial0; obeys: serial0"


def test_uefi_has_a_virtconsole_only_at_nr_0() -> None:
    plan = planned(ports=2, kind="virtconsole")
    assert not reached(AAVMF, plan.assignments)["serial1"].speaks
    moved = [replace(one, address="nr 0" if one.kind == "virtconsole" else one.address)
             for one in plan.assignments]  # fmt: skip
    assert reached(AAVMF, moved)["serial1"].speaks


def test_a_com_port_counts_by_its_own_number() -> None:
    plan = planned("x86_64", 4, "isa", guest=ROOMY)
    ovmf = next(one for one in STAGES if one.name == "OVMF")
    ports = reached(ovmf, plan.assignments[1:])
    assert [name for name, one in ports.items() if one.speaks] == ["serial1"]


def test_uefi_has_the_first_uart_of_each_card() -> None:
    ovmf = next(one for one in STAGES if one.name == "OVMF")
    made = planned("x86_64", ports=4, kind="pci-2x", guest=ROOMY)
    at = {one.identity.value.rpartition("#")[0] for one in made.assignments[1:]}
    assert len(at) == 2
    spoken = [name for name, one in reached(ovmf, made.assignments).items() if one.speaks]
    assert spoken == ["serial0", "serial1", "serial3"]


def test_plan_says_which_stage_reaches_which_port() -> None:
    plan = planned("x86_64", 3, "isa", guest=ROOMY, firmware=Firmware("ovmf"))
    assert words(plan, ranges)[0] == "firmware (OVMF): writes to serial0-serial1; reads keys there"
    stages = plan_json(plan)["ports"][2]["stages"]
    assert {one["stage"] for one in stages} >= {"firmware", "kernel console", "login"}
    assert not stages[0]["speaks"]
    assert stages[0]["source"].startswith("OVMF 2")


def test_of_two_consoles_of_one_driver_the_plan_names_the_silent_port() -> None:
    def seconds(append: str) -> list[tuple[str, str]]:
        return [(one.node, one.first) for one in in_question(append) if one.first]

    assert seconds("console=ttyS0,115200 console=hvc0 console=ttyS1") == [("ttyS1", "ttyS0")]
    assert seconds("console=tty0 console=ttyAMA0 console=ttyAMA0") == []
    plan = planned("x86_64", 2, "isa", guest=ROOMY,
                   boot=DirectBoot("/k", "", "console=ttyS1 console=ttyS0"))  # fmt: skip
    (said,) = silent_consoles(plan)
    assert "serial0 (ttyS0) gets no kernel message" in said
    plan = planned("x86_64", 2, "isa", guest=ROOMY,
                   boot=DirectBoot("/k", "", "console=ttyUSB0 console=ttyS3"))  # fmt: skip
    assert [one.split(":")[0] for one in silent_consoles(plan)] == [
        "console=ttyUSB0", "console=ttyS3",
    ]  # fmt: skip


def test_a_firmware_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "u.bin").write_bytes(b"\0" * 64 + b"U-Boot 2025.01 (Jan)")
    (tmp_path / "uefi.fd").write_bytes(b"\0" * 0x1028 + b"_FVH")
    (tmp_path / "other").write_bytes(b"\x7fELF")
    assert firmware.find("aarch64", str(tmp_path / "u.bin")).name == "U-Boot"
    assert firmware.find("aarch64", str(tmp_path / "uefi.fd")).name == "AAVMF"
    for path, said in (("other", "no firmware that is known"), ("none", "cannot be read")):
        with pytest.raises(UsageError, match=said):
            firmware.find("aarch64", str(tmp_path / path))
    with pytest.raises(UsageError, match="no firmware is known for s390x"):
        firmware.find("s390x")


def test_each_firmware_has_its_stage() -> None:
    for one in firmware.KNOWN:
        assert {stage.name for stage in stages_of(one)} == {one.name}


class _Vm:
    """A VM that goes on."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()


class _Firmware(Wire):
    """A wire whose other end waits a moment, then answers keys as it is told."""

    keys: list[bytes]

    def send(self, data: bytes) -> None:
        self.keys.append(data)
        if self.obeys:  # type: ignore[attr-defined]
            self.said += b"=> "


def _wire(name: str, *, obeys: bool) -> _Firmware:
    wire = _Firmware(name)
    wire.keys, wire.obeys = [], obeys  # type: ignore[attr-defined]
    return wire


def test_nothing_is_sent_before_the_stage_and_a_port_obeys_that_answers() -> None:
    asyncio.run(_nothing_is_sent_before())


async def _nothing_is_sent_before() -> None:
    wires = {"serial0": _wire("serial0", obeys=True), "serial1": _wire("serial1", obeys=True)}
    known = firmware.Firmware("x", "U-Boot", "aarch64", "", "", "", "own", (b"=> ",))
    listening = Listening(_Vm(), wires, replace(Limits(), boot=20.0))  # type: ignore[arg-type]
    expected = reached(stages_of(known), planned(ports=2).assignments)
    looking = asyncio.create_task(listening.look(known, expected))
    await asyncio.sleep(0.3)
    wires["serial0"].said += b"Hit any key\x1b[6n"
    await asyncio.sleep(0.3)
    assert wires["serial0"].keys == wires["serial1"].keys == []
    wires["serial0"].said += b"=> "
    seen = await looking
    assert seen.obeyed == {"serial0", "serial1"}
    assert seen.said["serial1"] == b""
