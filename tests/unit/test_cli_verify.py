"""What `verify` and `guest` ask the rooms below for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plans import DEBIAN_12_ARM64, binary

from vmserial.cli import main, verify, verify_request
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError
from vmserial.guests.profile import KNOWN
from vmserial.machines import ARCHITECTURES
from vmserial.paths import cache_dir
from vmserial.planning import planner
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.request import CEILINGS, Limits, VerifyReport, VerifyRequest
from vmserial.verify.results import GUEST_TO_HOST, Check, Verdict
from vmserial.verify.wire.form import FULL, LADDERS, SMOKE

ARM = VmOptions(arch="aarch64")


def asked(words: VmOptions = ARM, **more: Any) -> VerifyRequest:
    return verify_request.request(words, **more)


def test_the_words_are_those_of_the_verification() -> None:
    assert set(verify.SIZES) == set(LADDERS)


def test_nothing_said_is_the_verifications_own_choice() -> None:
    made = asked()
    jobs = min(len(os.sched_getaffinity(0)), 4)
    assert made == VerifyRequest(made.machine, ceilings=dict(CEILINGS), jobs=jobs)
    assert asked(jobs=7).jobs == 7
    assert made.chosen_cases == ("default", "large", "hot-plug")


def test_an_input_is_what_is_tried(tmp_path: Path) -> None:
    conf = tmp_path / "142.conf"
    conf.write_text("arch: aarch64\nserial0: socket\nserial1: socket\n")
    made = asked(VmOptions(input=str(conf), kind="pci", kinds=("pci",)))
    assert made.given
    assert made.chosen_cases == ("input",)
    assert [port.kind for port in made.machine.ports] == ["auto", "pci"]


def test_a_number_of_ports_is_an_input() -> None:
    made = asked(VmOptions(arch="aarch64", ports=6))
    assert made.chosen_cases == ("input",)
    assert len(made.machine.ports) == 6


def test_the_memory_of_a_vm_under_test_is_what_its_ports_need_unless_it_is_named(
    tmp_path: Path,
) -> None:
    many = VmOptions(arch="aarch64", ports=1000, kind="virtio", kinds=("virtio",))
    toml = tmp_path / "vm.toml"
    toml.write_text('arch = "aarch64"\nports = 1000\ntype = "virtio"\nmemory = 512\n')

    def refusals(words: VmOptions) -> list[str]:
        made = planner.plan(asked(words).machine, binary(), DEBIAN_12_ARM64, control=True)
        return [refusal.id for refusal in made.refusals]

    assert refusals(many) == []
    assert refusals(replace(many, memory_mib=512)) == ["guest-memory"]
    assert refusals(replace(many, memory_mib=1024)) == []
    assert refusals(VmOptions(input=str(toml))) == ["guest-memory"]


def test_ports_that_no_case_looks_at_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    asked(VmOptions(arch="aarch64", ports=6), cases=("large",))
    assert "--ports has no part in large" in capsys.readouterr().err
    asked(VmOptions(arch="aarch64", ports=6), cases=("large", "input"))
    assert capsys.readouterr().err == ""


def test_several_types_and_binaries_are_several_runs() -> None:
    made = asked(VmOptions(arch="aarch64", kinds=("usb", "pci"), qemu=("/a", "/b")))
    assert made.kinds == ("usb", "pci")
    assert made.binaries == ("/a", "/b")
    assert asked(VmOptions(arch="aarch64", kind="auto", kinds=("auto",))).kinds == ()


def test_several_types_of_one_input_are_refused() -> None:
    with pytest.raises(UsageError, match="one --type at a time"):
        asked(VmOptions(input="142.conf", kinds=("usb", "pci")))


def test_numbers_reach_the_verification() -> None:
    made = asked(
        cycles=0, seed=7, mutants=("drop@serial3",), suites=("bullseye", "trixie"),
        out=Path("out"), endpoint="pty", ceilings=("virtio=240", "usb=60"),
    )  # fmt: skip
    assert made.cycles == 0
    assert made.seed == 7
    assert made.mutants == ("drop@serial3",)
    assert made.suites == ("bullseye", "trixie")
    assert made.out == Path("out")
    assert made.endpoint == "pty"
    assert made.ceilings == {**CEILINGS, "virtio": 240, "usb": 60}


def test_every_ladder_ends_with_64_kib_for_all_ports_at_once() -> None:
    assert asked(sizes="full").alone == FULL
    for name in LADDERS:
        assert asked(sizes=name).together[-1] == 65536
    assert asked(sizes="smoke").together == (*SMOKE, 65536)


def test_a_timeout_scales_every_bound() -> None:
    usual, made = Limits(), asked(timeout=120.0).limits
    assert made.boot == 120.0
    for name in Limits.__dataclass_fields__:
        assert getattr(made, name) == 2 * getattr(usual, name)


@pytest.mark.parametrize("text", ["virtio", "virtio=many", "vritio=3", "=3"])
def test_a_wrong_ceiling(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(ceilings=(text,))
    assert "virtio" in caught.value.hint


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a verification would begin."""

    def begun(*_words: object) -> None:
        pytest.fail("it would have run")

    monkeypatch.setattr("vmserial.verify.runner.find_environments", begun)
    monkeypatch.setattr("vmserial.verify.runner.run", begun)


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    "words",
    [
        ["--case", "largest"],
        ["--case", "input"],
        ["--kernel-config", "/boot/config"],
        ["--ceiling", "usb=x"],
        ["--timeout", "0"],
        ["--guest", "debian-12-arm64"],
        ["--arch", "vax"],
    ],
)
def test_bad_use_of_verify(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["verify", "--arch", "aarch64", *words, "--quiet"]) == 2
    assert "  hint: " in capsys.readouterr().err


def ended(verdict: Verdict) -> VerifyReport:
    """Return the report of a run with one check."""
    check = Check(
        "large", "aarch64", "virt", "7.2.0", "debian-12-arm64", "usb", "serial1", GUEST_TO_HOST,
        verdict, 100, 0.5, "why", vm="large aarch64 usb",
    )  # fmt: skip
    return VerifyReport((check,), (), HostFacts(cpu="a cpu", cores=2), 7, 1.5)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.PASS, 0), (Verdict.FAIL, 1), (Verdict.LOST, 3), (Verdict.SKIPPED, 1)],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_run_prints_and_writes(
    verdict: Verdict, code: int, as_json: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async def run(
        request: VerifyRequest, _reporter: object, environments: object, **_more: object
    ) -> VerifyReport:  # fmt: skip
        assert request.out == tmp_path / "out"
        assert environments == ("an environment",)
        return ended(verdict)

    monkeypatch.setattr("vmserial.verify.runner.find_environments", lambda *_: ("an environment",))
    monkeypatch.setattr("vmserial.verify.runner.run", run)
    words = ["verify", "--arch", "aarch64", "--out", str(tmp_path / "out"), "-q"]
    assert main.run([*words, *(["--json"] if as_json else [])]) == code
    captured = capsys.readouterr()
    assert "1 checks, 1.5 s, seed 7" in captured.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.jsonl", "junit.xml", "report.html", "vms.json",
    }  # fmt: skip
    assert "large aarch64 usb" in (tmp_path / "out" / "report.html").read_text()
    if as_json:
        data = json.loads(captured.out)
        assert data["exit_code"] == code
        assert data["seed"] == 7
        assert data["checks"][0]["verdict"] == verdict
        assert data["host"]["cpu"] == "a cpu"
    else:
        assert "serial1" in captured.out
        assert str(verdict) in captured.out


def test_what_was_found_is_shown_also_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*_words: object, **_more: object) -> VerifyReport:
        return ended(Verdict.FAIL)

    monkeypatch.setattr("vmserial.verify.runner.find_environments", lambda *_: ())
    monkeypatch.setattr("vmserial.verify.runner.run", run)
    (tmp_path / "file").write_text("")
    assert main.run(["verify", "--arch", "aarch64", "--out", str(tmp_path / "file"), "-q"]) == 2
    captured = capsys.readouterr()
    assert "FAIL large usb serial1" in captured.out
    assert "cannot make" in captured.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_fetching_of_a_guest_at_once(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """Of apt, which may take an hour, nothing is left; it is not in our process group."""
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho $$ >pid\nexec sleep 60\n".replace("pid", str(tmp_path / "pid")))
    apt.chmod(0o755)
    code_words = (
        "import sys\n"
        "from vmserial.cli.main import run\n"
        "from vmserial.guests import images\n"
        "from vmserial.guests.aptrun import run as apt\n"
        "from vmserial.model import Capabilities\n"
        "from vmserial.qemu import binary\n"
        "binary.find = lambda *words, **more: None\n"
        "binary.probe = lambda *words, **more: Capabilities((7, 2, 0), 'aarch64')\n"
        f"images.ensure = lambda *words, **more: apt([{str(apt)!r}], bound=60, doing='wait')\n"
        "sys.exit(run(['verify', '--arch', 'aarch64', '--accel', 'tcg', '--quiet']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code_words],
        stderr=subprocess.PIPE,
        # A test runner in the background ignores Ctrl-C, and its children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code
    assert b"Traceback" not in said
    # Where we ended while it was being started, the kernel ends it and process 1 reaps it.
    apt_process = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
    end = time.monotonic() + 10
    while apt_process.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_guests_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main.run(["guest", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(KNOWN)
    bootable = [row["name"] for row in rows if row["test_guest"]]
    assert len(bootable) == sum(
        len(arch.suites) * (1 + len(arch.flavours)) for arch in ARCHITECTURES.values()
    )
    assert all("to be fetched" in row["test_guest"] for row in rows if row["test_guest"])
    (cache_dir("guests") / "bookworm-arm64-0123").mkdir()
    assert main.run(["guest", "list"]) == 0
    assert "bookworm, in the cache" in capsys.readouterr().out


def test_fetching_an_unknown_suite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["guest", "fetch", "--suite", "buster", "--quiet"]) == 2
    assert "bookworm" in capsys.readouterr().err


# ------------------------------------------------------------------ an input as it stands

DEAD = ["qemu-system-aarch64", "-M", "virt", "-nodefaults", "-serial", "pty", "-serial", "pty"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arch", "aarch64", "--backend", "tcp=127.0.0.1:7000"], "--backend has no part"),
        (["--arch", "aarch64", "--backend", "serial1=pty"], "--backend has no part"),
        (["--arch", "aarch64", "--socket-dir", "/run/x"], "--socket-dir has no part"),
        (["--arch", "aarch64", "--fixed"], "--fixed is about"),
        (["--arch", "aarch64", "--paused"], "--paused is about"),
        (["--arch", "aarch64", "--arch", "x86_64", "vm.conf"], "one architecture"),
        (["--type", "usb", "vm.conf"], "--type changes nothing"),
        (["--ports", "4", "vm.conf"], "--ports changes nothing"),
        (["--fixed", "--ports", "4", "vm.conf"], "--ports changes nothing"),
        (["--case", "input", "--case", "large", "vm.conf"], "run verify twice"),
        (["--case", "large", "--fixed", "vm.conf"], "--fixed is about"),
        (["--case", "large", "--", *DEAD], "a command is proven as it stands"),
        (["--cycles", "3", "--", *DEAD], "--cycles is of the cases"),
        (["--ceiling", "usb=3", "--", *DEAD], "--ceiling is of the cases"),
        (["--endpoint", "tcp", "--", *DEAD], "--endpoint is of the cases"),
        (["--append", "x", "--", *DEAD], "--append is of a kernel"),
    ],
)
def test_nothing_is_accepted_and_ignored(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "vm.conf").write_text("arch: aarch64\nserial0: socket\n")
    monkeypatch.chdir(tmp_path)
    no_run_at_all(monkeypatch)
    assert main.run(["verify", "-q", *words]) == 2
    assert said in capsys.readouterr().err


def no_run_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*_words: object, **_more: object) -> VerifyReport:
        pytest.fail("a run began")

    monkeypatch.setattr("vmserial.verify.runner.run", run)
    monkeypatch.setattr("vmserial.verify.standing.run", run)


def test_each_architecture_is_tried_in_its_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    async def run(
        request: VerifyRequest, *_words: object, before: VerifyReport | None, **_more: object
    ) -> VerifyReport:
        tried.append((request.machine.arch, request.seed, before))
        return ended(Verdict.PASS)

    monkeypatch.setattr("vmserial.verify.runner.find_environments", lambda *_: ())
    monkeypatch.setattr("vmserial.verify.runner.run", run)
    assert main.run(["verify", "-q", "--arch", "aarch64", "--arch", "amd64"]) == 0
    # The second one sends the same data, and its report has the first one's checks.
    assert tried == [("aarch64", 0, None), ("x86_64", 7, ended(Verdict.PASS))]
    assert main.run(["doctor", "--arch", "aarch64", "--arch", "x86_64"]) == 2
    assert "--arch is given twice: aarch64 and x86_64" in capsys.readouterr().err


def test_all_architectures_are_those_with_a_test_guest() -> None:
    from vmserial.cli.options import _archs

    every = tuple(arch.name for arch in ARCHITECTURES.values() if arch.suites)
    assert _archs(("all",), many=True) == every
    assert _archs(("riscv64", "all"), many=True) == every
    assert _archs(("arm64", "riscv64", "arm64"), many=True) == ("arm64", "riscv64")
    assert _archs(("all",), many=False) == ("all",), "where one is meant, all is none"
