"""Liars in the way of a real QEMU's bytes and words: each is red by its name, the others pass."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import test_cli_run
from between import liar
from test_verify_live import prove

from vmserial.planning.control import CONTROL_CHARDEV
from vmserial.verify.request import Limits, VerifyReport
from vmserial.verify.results import Check, FaultKind, Verdict
from vmserial.verify.wire.form import SHORT

pytestmark = [pytest.mark.live, pytest.mark.full]

QEMU = "qemu-system-aarch64"


def proven(folder: Path, case: str = "large", **lies: str) -> VerifyReport:
    return prove(
        "aarch64", kinds=("usb",), cases=(case,), binaries=(liar(folder, QEMU, **lies),),
        alone=SHORT, together=SHORT, cycles=1,
    )  # fmt: skip


def failed(report: VerifyReport, **of: Any) -> list[Check]:
    """Return the checks that failed, those with such fields alone; none was lost."""
    assert not [check for check in report.checks if check.verdict is Verdict.LOST]
    return [
        check
        for check in report.checks
        if check.verdict is Verdict.FAIL
        and all(getattr(check, key) == value for key, value in of.items())
    ]


def causes(report: VerifyReport) -> dict[str, set[FaultKind]]:
    """Return the first name of each check that failed, by port."""
    found: dict[str, set[FaultKind]] = {}
    for check in failed(report):
        found.setdefault(check.port, set()).add(check.faults[0].kind)
    return found


def test_each_way_to_damage_bytes_has_its_name(tmp_path: Path) -> None:
    report = proven(
        tmp_path, serial1="double", serial2="seven-bits", serial3="xon-xoff", serial4="crlf",
        serial5="one-bit", serial6="hole", serial7="one-way", serial8="dies",
    )  # fmt: skip
    assert causes(report) == {
        "serial1": {FaultKind.DUPLICATE}, "serial2": {FaultKind.CORRUPT},
        "serial3": {FaultKind.LOSS}, "serial4": {FaultKind.EXTRA},
        "serial5": {FaultKind.CORRUPT}, "serial6": {FaultKind.LOSS},
        "serial7": {FaultKind.LOSS}, "serial8": {FaultKind.TRUNCATED, FaultKind.LOSS},
    }  # fmt: skip
    words = {check.port: check.detail for check in failed(report)}
    assert "eighth bit was cut off" in words["serial2"]
    assert "XON and XOFF were eaten" in words["serial3"]
    assert "each LF became CR LF" in words["serial4"]
    # What never comes is lost, however long it is waited for.
    assert not failed(report, mode="late")


def test_ports_that_change_places_on_the_way_and_one_that_floods(tmp_path: Path) -> None:
    report = proven(tmp_path, serial1="swap", serial2="swap", serial3="spout")
    assert causes(report) == {
        "serial1": {FaultKind.CROSSWIRE}, "serial2": {FaultKind.CROSSWIRE},
        "serial3": {FaultKind.EXTRA},
    }  # fmt: skip
    crossed = {(c.port, f.other) for c in failed(report, mode="together") for f in c.faults}
    assert {("serial1", "serial2"), ("serial2", "serial1")} <= crossed


def test_ports_that_are_crossed_only_while_both_are_busy(tmp_path: Path) -> None:
    report = proven(tmp_path, serial1="swap-busy", serial2="swap-busy")
    together = failed(report, mode="together")
    assert {c.port for c in together} == {"serial1", "serial2"}
    assert FaultKind.CROSSWIRE in {fault.kind for c in together for fault in c.faults}
    assert {c.port for c in failed(report)} == {"serial1", "serial2"}


def test_what_comes_late_is_not_lost(tmp_path: Path) -> None:
    report = proven(tmp_path, case="default", serial2="late")
    assert set(causes(report)) == {"serial2"}
    late = failed(report, mode="late")
    assert late
    assert {fault.kind for check in late for fault in check.faults} == {FaultKind.LATE}
    assert all("late, and not lost" in check.detail for check in late)


def test_nodes_with_each_others_names(tmp_path: Path) -> None:
    report = proven(tmp_path, "default", **{CONTROL_CHARDEV: "shell"})
    assert causes(report) == {"serial1": {FaultKind.CROSSWIRE}, "serial2": {FaultKind.CROSSWIRE}}


def test_a_device_that_goes_only_in_words(tmp_path: Path) -> None:
    report = proven(tmp_path, "hot-plug", qmp="keeps-device")
    assert causes(report) == {"serial1": {FaultKind.LEFTOVER}, "serial5": {FaultKind.LEFTOVER}}
    assert all("the guest still has usb:serial" in check.detail for check in failed(report))


def test_a_plugged_device_on_another_chardev(tmp_path: Path) -> None:
    report = proven(tmp_path, "hot-plug", qmp="other-chardev")
    assert set(causes(report)) == {"serial4", "serial5"}
    (place,) = failed(report, mode="place")
    assert "usbserial5 has chardev=serial4, not the planned serial5" in place.detail


def test_a_plugged_device_that_needs_its_client(tmp_path: Path) -> None:
    report = proven(tmp_path, "hot-plug", qmp="not-plugged")
    # Only the one that nobody attends when it comes can show it; all their data passes.
    assert {(c.port, c.mode) for c in failed(report) if c.mode != "place"} == {
        ("serial4", "unattended")
    }
    assert not [check for check in failed(report) if check.direction]


def qemu_of(process: int) -> int:
    """Return the QEMU that a process started, directly or by one of its children."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            parents[int(path.parent.name)] = name.partition("(")[2], int(rest.split()[1])
    found = {process}
    while more := {pid for pid, (_, parent) in parents.items() if parent in found} - found:
        found |= more
    (qemu,) = [pid for pid in found if parents[pid][0].startswith("qemu-system")]
    return qemu


def test_a_qemu_that_is_killed_in_the_middle_of_a_case_is_lost_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_cli_run, "BOUND", 240.0)
    call = ["verify", "--arch", "aarch64", "--type", "usb", "--case", "default"]
    with test_cli_run.vmserial(*call, "--out", str(tmp_path / "out")) as running:
        test_cli_run.until(running, "default: 4 ports, all at once")
        os.kill(qemu_of(running.pid), signal.SIGKILL)
        begin = time.monotonic()
        out, err = running.communicate(timeout=60)
        took = time.monotonic() - begin
    assert running.returncode == 3
    # No question to QEMU had to go unanswered.
    assert took < Limits().hang
    assert b"Traceback" not in out + err
    assert b"never retrieved" not in err
    assert b"lost: QEMU ended by SIGKILL" in err
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    checks = [json.loads(line) for line in lines]
    verdicts = {(check["mode"], check["verdict"]) for check in checks if check["direction"]}
    # What was proven before stays so; nothing is called failed.
    assert verdicts == {("alone", "pass"), ("together", "lost")}
    assert all("QEMU ended" in c["detail"] for c in checks if c["verdict"] == "lost")
    assert {c["port"] for c in checks if c["verdict"] == "lost"} == {f"serial{n}" for n in range(4)}
    for name in ("report.html", "junit.xml"):
        assert "QEMU ended" in (tmp_path / "out" / name).read_text()
