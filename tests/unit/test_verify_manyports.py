"""Many ports in one VM, on the fake: as sharp as with few, and with no more work for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_qemu.environment import prove

from vmserial.guests.farend import FarEnd
from vmserial.guests.shell import Shell
from vmserial.model import Chardev, Machine, Null, SerialPort
from vmserial.verify.cases.data import VERY_MANY
from vmserial.verify.request import VerifyReport
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, Direction, FaultKind, Verdict
from vmserial.verify.wire.form import SMOKE

pytestmark = pytest.mark.usefixtures("quick_end")

MANY = VERY_MANY + 6
SIZES = (*SMOKE, 4096)


def proven(path: Path, count: int, *mutants: str) -> VerifyReport:
    ports = tuple(
        SerialPort(n, Chardev(Null()), kind="virtio" if n else "auto") for n in range(count)
    )
    machine = Machine("aarch64", ports)
    return prove(
        path, machine=machine, given=True, cases=(), alone=SMOKE, together=SIZES, mutants=mutants
    )


def test_among_very_many_a_port_of_another_kind_takes_the_short_sizes(tmp_path: Path) -> None:
    report = proven(tmp_path, MANY)
    assert {c.verdict for c in report.checks} == {Verdict.PASS}
    assert len(report.checks) == 4 * MANY
    size = {(c.port == "serial0", c.mode): c.bytes for c in report.checks}
    assert size[True, "together"] == size[True, "alone"] == size[False, "alone"]
    assert size[False, "together"] > 4096


def test_among_few_every_port_takes_all_sizes(tmp_path: Path) -> None:
    report = proven(tmp_path, 3)
    assert {c.bytes > 4096 for c in report.checks if c.mode == "together"} == {True}


@pytest.mark.parametrize("way", [GUEST_TO_HOST, HOST_TO_GUEST])
def test_one_port_of_many_that_loses_a_byte_is_named_and_no_other(
    tmp_path: Path, way: Direction
) -> None:
    report = proven(tmp_path, MANY, f"drop@serial{VERY_MANY + 2}:{way}")
    failed = [c for c in report.checks if c.verdict is Verdict.FAIL]
    assert {(c.port, c.direction) for c in failed} == {(f"serial{VERY_MANY + 2}", way)}
    assert {c.mode for c in failed} == {"alone", "together"}
    assert all(c.faults[0].kind is FaultKind.LOSS for c in failed)


def test_no_port_costs_the_guest_more_because_there_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    counts: list[str] = []
    run, count = Shell._run, FarEnd.count

    async def heard(
        self: Shell, command: str, timeout: float, data: bytes | None = None, what: str = ""
    ) -> bytes:
        commands.append(command)
        return await run(self, command, timeout, data, what)

    async def counted(self: FarEnd, path: str) -> int:
        counts.append(path)
        return await count(self, path)

    monkeypatch.setattr(Shell, "_run", heard)
    monkeypatch.setattr(FarEnd, "count", counted)
    few = proven(tmp_path, 20)
    at_few, asked_few = len(commands), len(counts)
    many = proven(tmp_path, 80)
    at_many, asked_many = len(commands) - at_few, len(counts) - asked_few
    assert few.exit_code == many.exit_code == 0
    assert at_many <= 4 * at_few
    # Waiting asks again; on a busy host more often.
    assert asked_many <= 8 * asked_few
