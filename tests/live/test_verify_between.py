"""Liars in the way of a real QEMU's bytes and words: each is red by its name, the others pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from between import liar
from test_verify_live import prove

from vmserial.verify.request import VerifyReport
from vmserial.verify.results import FaultKind, Verdict
from vmserial.verify.wire.form import SHORT

pytestmark = [pytest.mark.live, pytest.mark.full]

QEMU = "qemu-system-aarch64"


def proven(folder: Path, case: str = "large", **lies: str) -> VerifyReport:
    return prove(
        "aarch64", kinds=("usb",), cases=(case,), binaries=(liar(folder, QEMU, **lies),),
        alone=SHORT, together=SHORT, cycles=1,
    )  # fmt: skip


def by_port(report: VerifyReport) -> dict[str, set[FaultKind]]:
    """Return the names of what went wrong, by port."""
    found: dict[str, set[FaultKind]] = {}
    for check in report.checks:
        if check.verdict is Verdict.FAIL:
            found.setdefault(check.port, set()).update(fault.kind for fault in check.faults)
        else:
            assert check.verdict is Verdict.PASS, check
    return found


def test_each_way_to_damage_bytes_has_its_name(tmp_path: Path) -> None:
    report = proven(
        tmp_path, serial1="double", serial2="seven-bits", serial3="xon-xoff", serial4="crlf",
        serial5="one-bit", serial6="hole", serial7="one-way", serial8="dies",
    )  # fmt: skip
    found = by_port(report)
    for check in report.checks:
        if check.verdict is Verdict.FAIL:
            print(check.title, [str(f.kind) for f in check.faults], check.detail[:150])
    assert set(found) == {f"serial{number}" for number in range(1, 9)}
    first = {port: next(iter(names)) for port, names in found.items()}
    print(first)
