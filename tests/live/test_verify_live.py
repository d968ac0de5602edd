"""The product on real guests: every kind on both architectures, and the faults that it must find.

Each test is one `vmserial verify` as a user types it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vmserial.cli.main import run
from vmserial.guests import images
from vmserial.progress import Silent
from vmserial.verify.results import Check, FaultKind, Verdict, read

ARTICLE = "arch: aarch64\nmemory: 2048\nserial0: socket\nserial1: socket\n"


def verify(out: Path, *words: str) -> tuple[int, list[Check]]:
    """Run the command; return its exit code and the checks that it left."""
    status = run(["verify", *words, "--out", str(out), "--quiet"])
    checks, _ = read(out / "results.jsonl")
    return status, checks


def directions(checks: list[Check], mode: str) -> int:
    """Return how many directions passed in that mode."""
    return len([c for c in checks if c.mode == mode and c.direction and c.verdict == "pass"])


@pytest.mark.live
@pytest.mark.parametrize(
    ("arch", "machine", "kinds", "ports"),
    [
        ("aarch64", "virt", ("usb", "pci", "virtio"), 4),
        ("x86_64", "q35", ("isa", "usb", "pci", "virtio"), 4),
        ("x86_64", "pc", ("isa", "pci"), 4),
    ],
)
def test_default_case(
    tmp_path: Path, arch: str, machine: str, kinds: tuple[str, ...], ports: int
) -> None:
    types = [word for kind in kinds for word in ("--type", kind)]
    status, checks = verify(
        tmp_path, "--arch", arch, "--machine", machine, *types, "--case", "default"
    )
    assert status == 0
    assert {c.kind for c in checks} >= set(kinds)
    assert directions(checks, "alone") == directions(checks, "together") == 2 * ports * len(kinds)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "<testsuites" in (tmp_path / "junit.xml").read_text()


@pytest.mark.live
def test_large_case(tmp_path: Path) -> None:
    status, checks = verify(tmp_path, "--arch", "aarch64", "--type", "usb", "--case", "large")
    assert status == 0
    assert directions(checks, "alone") == directions(checks, "together") == 20


@pytest.mark.live
@pytest.mark.parametrize(
    ("arch", "kind"),
    [("aarch64", "usb"), ("aarch64", "virtio"), ("aarch64", "pci"), ("x86_64", "usb")],
)
def test_hot_plug(tmp_path: Path, arch: str, kind: str) -> None:
    status, checks = verify(
        tmp_path, "--arch", arch, "--machine", "virt" if arch == "aarch64" else "q35",
        "--type", kind, "--case", "hot-plug", "--cycles", "2",
    )  # fmt: skip
    assert status == 0, [c.detail for c in checks if c.verdict != "pass"]
    modes = {c.mode for c in checks}
    assert modes >= {"before", "unplug", "plugged", "live", "removed", "cycle", "during",
                     "unplug under load", "after load", "after"}  # fmt: skip


@pytest.mark.live
@pytest.mark.parametrize("kind", ["auto", "usb", "pci", "virtio"])
def test_the_articles_configuration(tmp_path: Path, kind: str) -> None:
    conf = tmp_path / "142.conf"
    conf.write_text(ARTICLE)
    status, checks = verify(tmp_path / "out", str(conf), "--type", kind)
    assert status == 0
    assert {c.port for c in checks} == {"serial0", "serial1"}
    assert checks[-1].kind == ("usb" if kind == "auto" else kind)


@pytest.mark.live
@pytest.mark.parametrize(
    ("mutant", "fault", "port"),
    [
        ("drop@serial2", FaultKind.LOSS, "serial2"),
        ("swap@serial1", FaultKind.REORDER, "serial1"),
        ("duplicate@serial3", FaultKind.DUPLICATE, "serial3"),
        ("corrupt@serial0", FaultKind.CORRUPT, "serial0"),
        ("crosswire@serial1+serial3", FaultKind.CROSSWIRE, "serial1"),
    ],
)
def test_a_mutant_turns_it_red_by_name(
    tmp_path: Path, mutant: str, fault: FaultKind, port: str
) -> None:
    status, checks = verify(
        tmp_path, "--arch", "aarch64", "--type", "virtio", "--case", "default",
        "--mutant", mutant, "--sizes", "smoke",
    )  # fmt: skip
    assert status == 1
    named = {c.port for c in checks for f in c.faults if f.kind is fault}
    assert port in named
    innocent = {c.port for c in checks if c.verdict is Verdict.PASS}
    assert innocent >= {"serial0", "serial1", "serial2", "serial3"} - {port, "serial3", "serial1"}


@pytest.mark.live
@pytest.mark.parametrize("kind", ["pci", "usb"])
def test_the_maximum_is_found_and_one_more_is_refused(tmp_path: Path, kind: str) -> None:
    status, checks = verify(
        tmp_path, "--arch", "aarch64", "--type", kind, "--case", "maximum", "--ceiling", "usb=16"
    )
    assert status == 0
    assert max(c.maximum for c in checks) == (4 if kind == "pci" else 16)


@pytest.mark.live
def test_a_guest_of_ones_own_that_has_only_a_shell_on_its_console(tmp_path: Path) -> None:
    guest = images.ensure("aarch64", "bookworm", reporter=Silent())
    assert guest.config is not None
    status, checks = verify(
        tmp_path, "--arch", "aarch64", "--type", "usb", "--case", "default",
        "--kernel", str(guest.kernel), "--initrd", str(guest.initrd),
        "--kernel-config", str(guest.config), "--append", "vmserial_shell=console",
    )  # fmt: skip
    assert status == 0
    assert directions(checks, "alone") == 8


@pytest.mark.live
def test_showcmd_gives_a_command_that_starts(tmp_path: Path) -> None:
    conf = tmp_path / "142.conf"
    conf.write_text(ARTICLE)
    base = [sys.executable, "-m", "vmserial", "showcmd", str(conf), "--json",
            "--socket-dir", str(tmp_path)]  # fmt: skip
    done = subprocess.run(base, check=True, capture_output=True, text=True, timeout=60)
    argv = json.loads(done.stdout)["argv"]
    commands = ("qmp_capabilities", "query-chardev", "quit")
    qmp = "\n".join(json.dumps({"execute": name}) for name in commands)
    begin = time.monotonic()
    ran = subprocess.run(
        [*argv, "-S", "-qmp", "stdio"], input=qmp, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert '"label": "serial1"' in ran.stdout
    assert time.monotonic() - begin < 60
