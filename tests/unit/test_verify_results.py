"""Checks, the file they are kept in, and what they say together."""

from __future__ import annotations

import getpass
import json
import platform
import socket
from dataclasses import fields, replace
from pathlib import Path

import pytest

from vmserial.errors import UsageError
from vmserial.verify import hostfacts
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    Fault,
    FaultKind,
    RunFacts,
    Verdict,
    combined,
    exit_code,
    is_bystander,
    summary,
)
from vmserial.verify.results_file import Recorded, ResultsFile, line, read

PASS = Check("default", "aarch64", "virt", "7.2.22", "debian-12-arm64", "usb", "serial1",
             GUEST_TO_HOST, Verdict.PASS, 1000, 0.5)  # fmt: skip
FAIL = replace(
    PASS, port="serial2", verdict=Verdict.FAIL, detail="1 byte lost é\n",
    faults=(Fault(FaultKind.LOSS, "1 byte lost", 5, 1), Fault(FaultKind.CROSSWIRE, other="x")),
)  # fmt: skip
LOST = replace(PASS, verdict=Verdict.LOST, detail="the guest panicked")
SKIPPED = replace(PASS, verdict=Verdict.SKIPPED, detail="no such kind here")
HOST = HostFacts("a cpu", 2, 4096, "6.1", "3.11.2", (0.5, 0.25, 0.0), "tcg")
RUN = RunFacts(7, ("verify", "142.conf"), "0.1", "2026-11-28T10:00:00+00:00")


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([], 1),
        ([PASS], 0),
        ([PASS, SKIPPED], 0),
        ([SKIPPED], 1),
        ([replace(SKIPPED, detail="")], 1),
        ([PASS, FAIL], 1),
        ([PASS, LOST], 3),
        ([LOST, SKIPPED], 3),
        ([FAIL, LOST], 1),
    ],
)
def test_exit_code(checks: list[Check], code: int) -> None:
    assert exit_code(checks) == code
    assert exit_code(checks[::-1]) == code


@pytest.mark.parametrize("verdict", [Verdict.SKIPPED, Verdict.CANNOT])
def test_what_says_no_reason_is_no_success(verdict: Verdict) -> None:
    silent = replace(SKIPPED, verdict=verdict, detail="")
    assert exit_code([PASS, replace(silent, detail="a reason")]) == 0
    assert exit_code([PASS, silent]) == 1


def test_combined() -> None:
    assert combined([]) is None
    assert combined([SKIPPED, PASS]) is Verdict.PASS
    assert combined([PASS, LOST]) is Verdict.LOST
    assert combined([LOST, FAIL, PASS]) is Verdict.FAIL


def test_file_holds_whole_lines_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with ResultsFile(path, HOST, RUN) as file:
        file.add(PASS)
        assert read(path) == [Recorded((PASS,), HOST, RUN)]
        file.add(FAIL, LOST)
        assert read(path) == [Recorded((PASS, FAIL, LOST), HOST, RUN)]
        file.close()
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    wanted = {"case", "arch", "machine", "qemu", "guest", "kind", "port", "direction", "verdict",
              "bytes", "seconds", "detail", "host", "run"}  # fmt: skip
    assert all(wanted <= set(line) for line in lines)
    assert lines[1]["faults"][0]["kind"] == "loss"
    assert lines[0]["run"]["seed"] == 7
    assert lines[0]["run"]["call"] == ["verify", "142.conf"]


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with ResultsFile(path, HOST, RUN) as file:
        file.add(PASS, FAIL)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        checks = [check for run in read(path) for check in run.checks]
        assert checks == [PASS, FAIL][: whole[:length].count(b"\n")]


@pytest.mark.parametrize(
    "text",
    [
        "{}", "[]", "nonsense", '{"case": 1}', '{"verdict": "maybe"}', "[" * 100_000, "\0", "NaN",
        *(
            line(PASS, HOST, RUN).strip().replace(*change)
            for change in (
                ('"port": "serial1"', '"port": 1'),
                ('"bytes": 1000', '"bytes": "many"'),
                ('"bytes": 1000', '"bytes": true'),
                ('"seconds": 0.5', '"seconds": Infinity'),
                ('"faults": []', '"faults": [{"kind": "tired"}]'),
                ('"faults": []', '"faults": {}'),
                ('"guest->host"', '"sideways"'),
                ('"load": [0.5, 0.25, 0.0]', '"load": [0.5]'),
                ('"load": [0.5, 0.25, 0.0]', '"load": ["a", "b", "c"]'),
                ('"seed": 7', '"seed": []'),
                ('"call": ["verify", "142.conf"]', '"call": [[]]'),
                ('"host": {', '"host": null, "h": {'),
            )
        ),
    ],
)  # fmt: skip
def test_read_names_the_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(line(PASS, HOST, RUN) + text + "\n")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert caught.value.where == f"{path}:2"
    assert caught.value.hint


def test_read_and_write_say_why_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read(tmp_path / "none")
    with pytest.raises(UsageError) as caught:
        ResultsFile(tmp_path / "no" / "r.jsonl", HOST, RUN)
    assert "No such file" in caught.value.message
    with pytest.raises(UsageError) as caught, ResultsFile(Path("/dev/full"), HOST, RUN) as file:
        file.add(PASS)
    assert "No space left" in caught.value.message


def test_runs_one_behind_another_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    other = replace(RUN, seed=8)
    path.write_text(line(PASS, HOST, RUN) + line(FAIL, HOST, other) + line(LOST, HOST, RUN))
    assert read(path) == [Recorded((PASS, LOST), HOST, RUN), Recorded((FAIL,), HOST, other)]
    path.write_text("")
    assert read(path) == []


def test_a_file_of_before_there_were_facts_of_the_run_is_read(tmp_path: Path) -> None:
    data = json.loads(line(PASS, HOST, RUN))
    del data["run"], data["planned"]
    (tmp_path / "r.jsonl").write_text(json.dumps(data) + "\n")
    assert read(tmp_path / "r.jsonl") == [Recorded((PASS,), HOST, RunFacts())]


def test_a_port_that_fails_anywhere_is_not_proven() -> None:
    (row,) = summary([PASS, replace(PASS, port="serial2"), FAIL])
    assert row.ports == 1


def test_a_port_that_only_stays_while_others_come_and_go_does_not_hot_plug() -> None:
    stays = replace(PASS, kind="isa", case="hot-plug", mode="during")
    goes = replace(PASS, case="hot-plug", unplugged="a", plugged="a")
    assert is_bystander(stays)
    assert not is_bystander(goes)
    assert not is_bystander(PASS)
    # Nothing stayed where nothing was tried.
    assert not is_bystander(replace(SKIPPED, case="hot-plug", port=""))
    refused = replace(SKIPPED, kind="isa", case="hot-plug", port="")
    isa, usb = summary([refused, stays, goes, replace(stays, kind="usb")])
    assert (isa.kind, isa.bystander, isa.hotplug) == ("isa", True, Verdict.PASS)
    assert (usb.kind, usb.bystander) == ("usb", False)


def test_unknown_keys_of_newer_files_are_ignored() -> None:
    data = {**PASS.to_json(), "colour": "blue"}
    assert Check.from_json(data) == PASS


def test_host_facts_tell_no_name() -> None:
    facts = HostFacts.gather("tcg")
    assert facts.cores >= 1
    assert facts.memory_mib > 0
    assert facts.python == platform.python_version()
    assert facts.accel == "tcg"
    # A host may be called as a part of its processor is, so whole values are compared.
    values = {str(getattr(facts, field.name)) for field in fields(facts)}
    assert not values & {socket.gethostname(), socket.getfqdn(), getpass.getuser()}
    assert not any(value.startswith("/") for value in values)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu\n", "Intel(R) Xeon(R)"),
        ("processor\t: 0\nmodel name\t:\nbogomips\t: 2\n", platform.machine()),
        ("CPU implementer\t: 0x48\nCPU part\t: 0xd01\n",
         f"{platform.machine()} implementer 0x48 part 0xd01"),
        ("", platform.machine()),
    ],
)  # fmt: skip
def test_cpu_model(text: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert hostfacts._cpu_model(path) == model
    assert hostfacts._cpu_model(tmp_path / "none") == platform.machine()


def test_summary() -> None:
    hot = replace(PASS, case="hot-plug", mode="after", unplugged="usbserial1", plugged="usbserial1")
    checks = [
        PASS,
        replace(PASS, seconds=0.25),
        replace(PASS, direction=HOST_TO_GUEST, seconds=2.0),
        replace(PASS, mode="together", seconds=0.001),
        replace(PASS, port="serial2"),
        replace(PASS, case="maximum", port="", maximum=60, planned=512),
        replace(PASS, case="maximum", port="", maximum=99, verdict=Verdict.FAIL, kind="pci"),
        hot,
        replace(hot, case="hot-plug-live", verdict=Verdict.FAIL),
        replace(PASS, kind=""),
    ]
    usb, pci = summary(checks)
    assert (usb.kind, usb.maximum, usb.planned, usb.ports) == ("usb", 60, 512, 2)
    assert not usb.bystander
    assert usb.hotplug is Verdict.FAIL
    assert usb.verdict is Verdict.FAIL
    assert usb.send_rate == 2000
    assert usb.receive_rate == 500
    assert usb.shared_rate == 1_000_000
    assert (pci.kind, pci.maximum, pci.hotplug, pci.send_rate) == ("pci", 0, None, 0.0)


def test_titles() -> None:
    assert PASS.title == "serial1 guest->host alone"
    assert replace(PASS, port="", direction="", plugged="usbserial4", mode="after").title == (
        "vm after / out usbserial4 in"
    )
