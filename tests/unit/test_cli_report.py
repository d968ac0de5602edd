"""What ``report`` makes of runs, and what a run leaves that was interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fake_qemu import Fault
from fake_qemu.environment import prove

from vmserial.cli import main
from vmserial.report import Report, Run, run_of, write_all
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import (
    GUEST_TO_HOST,
    NOT_RUN,
    Check,
    RunFacts,
    Verdict,
)
from vmserial.verify.results_file import ResultsFile, read

PASS = Check("default", "aarch64", "virt", "7.2.22", "debian-12-arm64", "usb", "serial1",
             GUEST_TO_HOST, vm="a VM")  # fmt: skip
FAIL = replace(PASS, verdict=Verdict.FAIL, detail="1 byte lost")
FACTS = RunFacts(7, ("verify",), "0.1", "2026-11-28T10:00:00", "2026-11-28T10:01:00")


def saved(folder: Path, *checks: Check, **facts: object) -> str:
    """Write a run and return its directory."""
    run = Run(checks, HostFacts(cpu="a cpu"), replace(FACTS, **facts))  # type: ignore[arg-type]
    write_all(folder, Report((run,)))
    return str(folder)


def test_a_run_can_be_told_of_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its diagrams, its logs' names, its seed: byte by byte, if it is where it was."""
    made = run_of(prove(tmp_path, Fault("drop", "serial2"), call=("verify",)))
    out = tmp_path / "out"
    write_all(out, Report((replace(made, name=str(out)),)))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main.run(["report", str(out), "--out", str(out)]) == 1
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"report.html"}
    assert b"<svg" in after["report.html"]
    assert b"ttyUSB" in after["report.html"]
    captured = capsys.readouterr()
    assert "FAIL default usb serial2" in captured.out
    assert "19 checks of 1 run" in captured.err


def test_runs_are_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = saved(tmp_path / "one", PASS, replace(PASS, port="serial2"), seed=1)
    two = saved(tmp_path / "two", FAIL, seed=2)
    out = tmp_path / "out"
    assert main.run(["report", one, two, "--out", str(out)]) == 1
    text = capsys.readouterr().out
    assert "1 flaky: passed in one run and not in another" in text
    assert "FLAKY default usb serial1 guest->host alone: pass, fail (a VM)" in text
    assert [run.run.seed for run in read(out / "results.jsonl")] == [1, 2]
    assert ET.parse(out / "junit.xml").getroot().get("tests") == "3"
    page = (out / "report.html").read_text()
    assert "1 flaky" in page
    assert str(tmp_path / "one") in page.replace("<wbr>", "")
    # What was merged can be merged again.
    assert main.run(["report", str(out), one, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert [run["seed"] for run in data["runs"]] == [1, 2, 1]
    assert data["counts"]["flaky"] == 1


@pytest.mark.parametrize(
    ("before", "after", "status", "words"),
    [
        (PASS, FAIL, 1, "1 regressed: passed before, fail now"),
        (FAIL, PASS, 0, "1 fixed: failed or were lost before, pass now"),
        (PASS, PASS, 0, "1 same"),
        (PASS, replace(PASS, verdict=Verdict.LOST, detail="panic"), 3, "1 lost"),
        (PASS, replace(PASS, verdict=Verdict.SKIPPED, detail="x"), 1, "1 no longer proven"),
        (PASS, replace(PASS, port="serial5"), 0, "1 gone"),
    ],
)
def test_a_run_is_compared_with_an_earlier_one(
    before: Check, after: Check, status: int, words: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    old, new = saved(tmp_path / "old", before), saved(tmp_path / "new", after)
    out = tmp_path / "out"
    assert main.run(["report", new, "--against", old, "--out", str(out)]) == status
    assert words in capsys.readouterr().out
    assert f"exit status <b>{status}</b>" in (out / "report.html").read_text()
    assert main.run(["report", new, "--against", old, "--json"]) == status
    data = json.loads(capsys.readouterr().out)
    assert data["exit_code"] == status
    assert len(data["changes"]) == 2 * (words == "1 gone") + (words not in {"1 gone", "1 same"})
    assert [check["verdict"] for check in data["checks"]] == [after.verdict]


def test_many_checks_that_are_gone_are_one_line_and_failures_never_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = [f"serial{n}" for n in range(20)]
    old = saved(tmp_path / "old", *(replace(PASS, port=p, vm=v) for v in "ab" for p in ports))
    new = saved(tmp_path / "new", *(replace(FAIL, port=port, vm="a") for port in ports))
    assert main.run(["report", new, "--against", old]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  GONE 20 checks: pass → not made (b)" in lines
    assert len([line for line in lines if line.startswith("  REGRESSED default usb ")]) == 20


def test_a_run_that_was_killed_is_told_of_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It left nothing but the lines that it had written."""
    with ResultsFile(tmp_path / "results.jsonl", HostFacts(), replace(FACTS, ended="")) as file:
        file.add(PASS)
    assert main.run(["report", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "The run was killed" in capsys.readouterr().out
    assert "The run was killed" in (tmp_path / "report.html").read_text()


def test_a_report_does_not_write_over_one_of_several_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = saved(tmp_path / "one", PASS), saved(tmp_path / "two", FAIL)
    before = (tmp_path / "one" / "results.jsonl").read_bytes()
    assert main.run(["report", two, "--against", one, "--out", one]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert (tmp_path / "one" / "results.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["none", "empty", "junk", "vms"])
def test_what_is_no_run_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if name != "none":
        saved(path, PASS)
    if name == "empty":
        (path / "results.jsonl").write_text("")
    elif name == "junk":
        (path / "results.jsonl").write_text("<html>\n")
    elif name == "vms":
        (path / "vms.json").write_text('[[{"title": "a VM"}]]')
    assert main.run(["report", str(path)]) == 2
    captured = capsys.readouterr()
    assert "  hint: " in captured.err
    assert "defect" not in captured.err


@pytest.mark.parametrize(
    "change",
    [
        ("log_file", '"../../etc/passwd"'), ("log_file", '"//example.org/x.log"'),
        ("log_file", '"console-x.log\\n"'), ("title", "7"), ("cases", '["a", 7]'),
        ("cases", '"default"'), ("picture", "{}"), ("picture", "[]"), ("notes", "null"),
    ],
)  # fmt: skip
def test_the_vms_of_a_run_are_read_with_care(
    change: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_all(tmp_path, Report((run_of(prove(tmp_path)),)))
    (run,) = json.loads((tmp_path / "vms.json").read_text())
    run[0][change[0]] = json.loads(change[1])
    (tmp_path / "vms.json").write_text(json.dumps([run]))
    assert main.run(["report", str(tmp_path)]) == 2
    assert "not the VMs of a run" in capsys.readouterr().err


# ------------------------------------------------------------------ Ctrl-C

STALLED = """
import sys
from pathlib import Path
from fake_qemu import Fault
from fake_qemu.environment import environment
from vmserial.cli.main import run
from vmserial.verify import runner
made = environment(Path({folder!r}), Fault("stall", "serial1", at=10))
runner.find_environments = lambda *words: (made,)
sys.exit(run(["verify", "--arch", "aarch64", "--type", "usb", "--type", "virtio", "--case",
              "default", "--sizes", "smoke", "--seed", "5", "--out", {out!r}, "--quiet",
              "--timeout", "300", *{more!r}]))
"""
"""A run that stands still at its second port; the bounds grow with --timeout."""


@pytest.mark.parametrize(
    ("number", "code", "more"),
    [(signal.SIGINT, 130, []), (signal.SIGTERM, 143, ["--json"])],
)
def test_a_run_that_is_interrupted_leaves_a_report_of_what_was_done(
    number: signal.Signals, code: int, more: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    paths = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-c", STALLED.format(folder=str(tmp_path), out=str(out), more=more)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        # A test runner in the background ignores Ctrl-C, and its children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not list(tmp_path.glob("*/results.jsonl")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(2)
        process.send_signal(number)
        printed, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, said
    assert "Traceback" not in said
    (run,) = read(out / "results.jsonl")
    left = [check for check in run.checks if check.detail == NOT_RUN]
    assert run.run.interrupted
    assert run.run.seed == 5
    assert run.run.call[:3] == ("verify", "--arch", "aarch64")
    # Also the VM that was not booted: 4 ports, both ways, alone and together, and 3 of them
    # without a client; twice.
    assert len(run.checks) == 2 * (16 + 3)
    assert {check.verdict for check in left} == {Verdict.SKIPPED}
    assert {check.kind for check in left} == {"uart", "usb", "virtio"}
    words = f"{len(left)} of 38 checks were not run"
    assert words in said
    page = (out / "report.html").read_text()
    assert f"Interrupted: {words}" in page
    assert "<svg" in page
    suites = ET.parse(out / "junit.xml").getroot()
    assert suites.get("skipped") == str(len(left))
    assert suites.find(".//property[@name='interrupted']") is not None
    if more:
        assert json.loads(printed)["interrupted"] is True
    else:
        assert "serial1" in printed
    # What is told of it later says the same.
    assert main.run(["report", str(out)]) == 1
