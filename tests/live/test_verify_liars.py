"""A program between verify and a real QEMU that starts another VM than it was told to."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from test_verify_live import prove

from vmserial.verify.request import VerifyReport
from vmserial.verify.results import FaultKind, Verdict
from vmserial.verify.wire.form import SMOKE

QEMU = "qemu-system-aarch64"


def liar(folder: Path, *changes: tuple[str, str]) -> str:
    """Return a QEMU in whose command line words are replaced, each change in all words."""
    real = shutil.which(QEMU)
    assert real is not None
    lines = [f"  word=${{word//{shlex.quote(old)}/{shlex.quote(new)}}}" for old, new in changes]
    path = folder / QEMU
    path.write_text(
        "\n".join(
            ["#!/bin/bash", "words=()", 'for word in "$@"; do', *lines, '  words+=("$word")',
             "done", f'exec {shlex.quote(real)} "${{words[@]}}"', ""]
        )
    )  # fmt: skip
    path.chmod(0o755)
    return str(path)


def proven(binary: str, kind: str) -> VerifyReport:
    return prove(
        "aarch64", kinds=(kind,), cases=("default",), binaries=(binary,), alone=SMOKE,
        together=SMOKE,
    )  # fmt: skip


def failed(report: VerifyReport) -> set[tuple[str, FaultKind]]:
    """Return what went wrong: ports and names."""
    assert report.exit_code == 1
    return {
        (check.port, fault.kind)
        for check in report.checks
        if check.verdict is Verdict.FAIL
        for fault in check.faults
    }


def test_two_ports_at_each_others_usb_places(tmp_path: Path) -> None:
    place = "bus=vmserial-xhci0.0,port="
    binary = liar(
        tmp_path, (f"{place}1,", "PLACE"), (f"{place}2,", f"{place}1,"), ("PLACE", f"{place}2,")
    )
    report = proven(binary, "usb")
    assert failed(report) == {
        ("serial1", FaultKind.WRONG_PLACE), ("serial2", FaultKind.WRONG_PLACE)
    }  # fmt: skip
    (check,) = (c for c in report.checks if c.port == "serial1" and c.mode == "place")
    assert "has port=2, not the planned 1" in check.detail
    assert "the guest has serial1 at port 2" in check.detail


def test_a_virtconsole_in_the_place_of_a_virtserialport(tmp_path: Path) -> None:
    binary = liar(
        tmp_path, ("virtserialport,id=virtserialport.2,", "virtconsole,id=virtserialport.2,")
    )
    report = proven(binary, "virtio")
    assert failed(report) == {
        ("serial2", FaultKind.WRONG_DEVICE), ("serial2", FaultKind.WRONG_NODE)
    }  # fmt: skip
    assert any("/dev/hvc0" in c.detail for c in report.checks if c.port == "serial2")


def test_ports_that_need_a_client_to_be_there(tmp_path: Path) -> None:
    report = proven(liar(tmp_path, (",always-plugged=on", "")), "usb")
    assert {(port, kind) for port, kind in failed(report) if kind is FaultKind.NO_NODE} == {
        (f"serial{n}", FaultKind.NO_NODE) for n in (1, 2, 3)
    }
    absent = [c for c in report.checks if c.mode == "unattended"]
    assert {c.verdict for c in absent} == {Verdict.FAIL}
    # With its client each carries all that it should.
    assert {c.verdict for c in report.checks if c.direction} == {Verdict.PASS}
