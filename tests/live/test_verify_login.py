"""A full system that is logged in to: Debian with systemd, from its own image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from full_system import USER, FullSystem, make, with_uefi

from vmserial.cli.main import run
from vmserial.verify.results import Check, Verdict
from vmserial.verify.results_file import read

pytestmark = [pytest.mark.live, pytest.mark.full]

PORTS = [
    "--ports", "4", "--type", "serial1=usb", "--type", "serial2=pci",
    "--type", "serial3=virtconsole", "--case", "input", "--sizes", "smoke",
]  # fmt: skip


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> FullSystem:
    return make(tmp_path_factory.mktemp("system"))


def verify(out: Path, *words: str, ports: Sequence[str] = tuple(PORTS)) -> tuple[int, list[Check]]:
    # On a host with other work a boot takes several times the usual 24 s.
    long = ["--timeout", "400"]
    code = run(["verify", "--arch", "x86_64", *ports, *words, *long, "--out", str(out)])
    return code, [check for one in read(out / "results.jsonl") for check in one.checks]


def test_root_has_all_ports_but_the_gettys_which_is_named(
    system: FullSystem, tmp_path: Path
) -> None:
    before = hashlib.sha256(system.image.read_bytes()).digest()
    code, checks = verify(tmp_path, *system.words())
    assert code == 0
    skipped = [check for check in checks if check.verdict is Verdict.SKIPPED]
    assert {check.port for check in skipped} == {"serial3"}
    assert all("/dev/hvc0 is held by agetty (pid " in check.detail for check in skipped)
    passed = {check.port for check in checks if check.verdict is Verdict.PASS}
    assert passed >= {"serial0", "serial1", "serial2"}
    assert hashlib.sha256(system.image.read_bytes()).digest() == before


def test_the_gettys_port_is_taken_on_request_and_the_getty_is_back(
    system: FullSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = verify(tmp_path, *system.words(), "--take-ports")
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}
    assert "serial3" in {check.port for check in checks}
    told = capsys.readouterr()
    assert "serial-getty@hvc0.service had a port that was tested, was stopped, and runs again" in (
        told.out + told.err
    )


def test_another_user_is_told_what_may_not_be_opened(system: FullSystem, tmp_path: Path) -> None:
    _, checks = verify(tmp_path, *system.words(USER))
    details = {check.port: check.detail for check in checks if check.verdict is Verdict.SKIPPED}
    assert "permission denied: /dev/ttyUSB0 is root:dialout" in details["serial1"]


def test_a_wrong_password_is_the_guests_own_refusal(system: FullSystem, tmp_path: Path) -> None:
    system.password.with_name("wrong").write_text("no\n")
    words = [word.replace(str(system.password), str(system.password.with_name("wrong")))
             for word in system.words()]  # fmt: skip
    code, checks = verify(tmp_path, *words)
    assert code == 3
    assert any("Login incorrect" in check.detail for check in checks)


def test_the_login_is_taken_where_it_is_asked_for(
    system: FullSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = verify(
        tmp_path, *system.words(), "--append", "systemd.mask=serial-getty@ttyS0.service"
    )
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}
    told = capsys.readouterr()
    assert "the login prompt is on serial3" in told.out + told.err


def test_a_partitioned_image_is_started_by_uefi(system: FullSystem, tmp_path: Path) -> None:
    image = with_uefi(system, tmp_path)
    before = hashlib.sha256(image.read_bytes()).digest()
    words = ["--image", str(image), "--kernel-config", str(system.config), *system.words()[-2:]]
    ports = ["--ports", "2", "--type", "usb", "--case", "input", "--sizes", "smoke"]
    code, checks = verify(tmp_path / "out", *words, ports=ports)
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}
    assert hashlib.sha256(image.read_bytes()).digest() == before
