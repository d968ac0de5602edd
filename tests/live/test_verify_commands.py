"""`vmserial verify` as a user types it, on real guests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vmserial.cli.main import run
from vmserial.guests import images
from vmserial.progress import Silent
from vmserial.verify.results import Check, FaultKind, Verdict
from vmserial.verify.results_file import read

ARTICLE = "arch: aarch64\nmemory: 2048\nserial0: socket\nserial1: socket\n"


def verify(out: Path, *words: str) -> tuple[int, list[Check]]:
    """Run the command; return its exit code and the checks that it left."""
    status = run(["verify", *words, "--out", str(out), "--quiet"])
    checks = [check for one in read(out / "results.jsonl") for check in one.checks]
    return status, checks


def directions(checks: list[Check], mode: str) -> int:
    """Return how many directions passed in that mode."""
    return len([c for c in checks if c.mode == mode and c.direction and c.verdict == "pass"])


def test_ten_ports_and_a_report(tmp_path: Path) -> None:
    status, checks = verify(tmp_path, "--arch", "aarch64", "--type", "usb", "--case", "large")
    assert status == 0
    assert directions(checks, "alone") == directions(checks, "together") == 20
    assert {(c.port, c.mode) for c in checks if c.direction} == {
        (f"serial{n}", mode) for n in range(10) for mode in ("alone", "together")
    }
    assert {c.verdict for c in checks} == {Verdict.PASS}
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "<testsuites" in (tmp_path / "junit.xml").read_text()


MUTANTS = {
    "swap@serial1": FaultKind.REORDER,
    "duplicate@serial3": FaultKind.DUPLICATE,
    "corrupt@serial0": FaultKind.CORRUPT,
}


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[Check]]:
    """Prove four ports of one VM, three of them damaged, each in its own way."""
    return verify(
        tmp_path_factory.mktemp("mutants"), "--arch", "aarch64", "--type", "virtio",
        "--case", "default", "--sizes", "smoke",
        *(word for mutant in MUTANTS for word in ("--mutant", mutant)),
    )  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_turns_its_port_red_by_name(mutants: tuple[int, list[Check]], mutant: str) -> None:
    status, checks = mutants
    assert status == 1
    damaged = {each.partition("@")[2] for each in MUTANTS}
    assert {c.port for c in checks if c.verdict is not Verdict.PASS} == damaged
    assert len({c.port for c in checks}) == len(damaged) + 1
    failed = [c for c in checks if c.port == mutant.partition("@")[2] and c.verdict is Verdict.FAIL]
    # Alone and with the others, both ways.
    assert len(failed) == 4
    for check in failed:
        kinds = {one.kind for one in check.faults}
        assert MUTANTS[mutant] in kinds
        assert not kinds & ({*MUTANTS.values()} - {MUTANTS[mutant]})


def test_a_guest_of_ones_own_that_has_only_a_shell_on_its_console(tmp_path: Path) -> None:
    guest = images.ensure("aarch64", "bookworm", reporter=Silent())
    assert guest.config is not None
    status, checks = verify(
        tmp_path, "--arch", "aarch64", "--type", "usb", "--case", "default", "--sizes", "short",
        "--kernel", str(guest.kernel), "--initrd", str(guest.initrd),
        "--kernel-config", str(guest.config), "--append", "vmserial_shell=console",
    )  # fmt: skip
    assert status == 0
    assert directions(checks, "alone") == 8


def test_a_guest_that_panics_is_lost_with_its_last_words(tmp_path: Path) -> None:
    guest = images.ensure("aarch64", "bookworm", reporter=Silent())
    empty = tmp_path / "initrd"
    empty.write_bytes(b"")
    status, checks = verify(
        tmp_path / "out", "--arch", "aarch64", "--type", "usb", "--case", "default",
        "--kernel", str(guest.kernel), "--initrd", str(empty),
    )  # fmt: skip
    assert status == 3
    assert {c.verdict for c in checks} == {Verdict.LOST}
    assert all("Kernel panic" in c.detail for c in checks)
    (log,) = (tmp_path / "out").glob("console-*.log")
    assert "Kernel panic" in log.read_text()


def test_showcmd_gives_a_command_that_starts(tmp_path: Path) -> None:
    conf = tmp_path / "142.conf"
    conf.write_text(ARTICLE)
    base = [sys.executable, "-m", "vmserial", "showcmd", str(conf), "--json",
            "--socket-dir", str(tmp_path)]  # fmt: skip
    done = subprocess.run(base, check=True, capture_output=True, text=True, timeout=60)
    argv = json.loads(done.stdout)
    commands = ("qmp_capabilities", "query-chardev", "quit")
    qmp = "\n".join(json.dumps({"execute": name}) for name in commands)
    ran = subprocess.run(
        [*argv, "-S", "-qmp", "stdio"], input=qmp, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert '"label": "serial1"' in ran.stdout
