"""A full system that is logged in to: Debian 13 with systemd from its own image; its installer.

Each boot takes one to two minutes without KVM; the images are made once and kept in the cache.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from debian_installer import installer
from full_system import USER, FullSystem, digest, kept

from vmserial.cli.main import run
from vmserial.verify.results import Check, Verdict
from vmserial.verify.results_file import read

pytestmark = [pytest.mark.live, pytest.mark.full]

ARCHS = {"amd64": "x86_64", "arm64": "aarch64"}
CONSOLE = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
CARD = {"amd64": "ttyS1", "arm64": "ttyS0"}
"""What the tests' PCI card is: on arm64 the on-board UART is no ttyS."""

PORTS = [
    "--ports", "4", "--type", "serial1=usb", "--type", "serial2=pci",
    "--type", "serial3=virtconsole", "--case", "input", "--sizes", "smoke",
]  # fmt: skip
TWO = ["--ports", "2", "--type", "usb", "--case", "input", "--sizes", "smoke"]

# On a host with other work a boot takes several times the usual 24 s.
LONG = ["--timeout", "400"]


@pytest.fixture(params=ARCHS)
def system(request: pytest.FixtureRequest) -> Iterator[FullSystem]:
    """Give a system, and prove that its files are as they were."""
    found = kept(request.param)
    before = [digest(found.image), digest(found.uefi)]
    yield found
    assert [digest(found.image), digest(found.uefi)] == before


@pytest.fixture
def amd64() -> Iterator[FullSystem]:
    found = kept("amd64")
    before = digest(found.image)
    yield found
    assert digest(found.image) == before


def verify(
    system: FullSystem, out: Path, *words: str, ports: Sequence[str] = tuple(PORTS)
) -> tuple[int, list[Check]]:
    arch = ARCHS[system.debian]
    code = run(["verify", "--arch", arch, *ports, *words, *LONG, "--out", str(out)])
    return code, [check for one in read(out / "results.jsonl") for check in one.checks]


def skipped(checks: Sequence[Check]) -> dict[str, str]:
    return {check.port: check.detail for check in checks if check.verdict is Verdict.SKIPPED}


def test_root_has_all_ports_but_the_gettys_which_is_named(
    system: FullSystem, tmp_path: Path
) -> None:
    code, checks = verify(system, tmp_path, *system.words())
    assert code == 0
    assert skipped(checks).keys() == {"serial3"}
    assert "/dev/hvc0 is held by agetty (pid " in skipped(checks)["serial3"]
    passed = {check.port for check in checks if check.verdict is Verdict.PASS}
    assert passed == {"serial0", "serial1", "serial2"}


def test_the_gettys_port_is_taken_on_request_and_the_getty_is_back(
    system: FullSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = verify(system, tmp_path, *system.words(), "--take-ports")
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}
    assert "serial3" in {check.port for check in checks}
    told = capsys.readouterr()
    assert "serial-getty@hvc0.service had a port that was tested, was stopped, and runs again" in (
        told.out + told.err
    )


def test_another_user_is_told_what_may_not_be_opened(
    system: FullSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = verify(system, tmp_path, *system.words(USER))
    assert code == 0
    details = skipped(checks)
    assert "permission denied: /dev/ttyUSB0 is root:dialout" in details["serial1"]
    card = CARD[system.debian]
    assert f"permission denied: /dev/{card} is root:dialout" in details["serial2"]
    assert "only root can tell which hvc this virtconsole is" in details["serial3"]
    assert {check.port for check in checks if check.verdict is Verdict.PASS} == {"serial0"}
    assert "its user may not open /dev/vport" in capsys.readouterr().err


def test_a_wrong_password_is_the_guests_own_refusal(system: FullSystem, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("no\n")
    code, checks = verify(system, tmp_path, *system.words(password=wrong))
    assert code == 3
    assert all("Login incorrect" in check.detail for check in checks)


@pytest.mark.parametrize("port", ["serial1", "serial2", "serial3"])
def test_the_login_is_taken_where_it_is_asked_for(
    system: FullSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    """The console's own getty is off, and another port has one: usb, a PCI card, a virtconsole."""
    node = {"serial1": "ttyUSB0", "serial2": CARD[system.debian], "serial3": "hvc0"}[port]
    off = sorted({CONSOLE[system.debian], "hvc0"} - {node})
    masks = " ".join(f"systemd.mask=serial-getty@{one}.service" for one in off)
    # The generator itself starts one on hvc0.
    starts = "" if node == "hvc0" else f" systemd.wants=serial-getty@{node}.service"
    code, checks = verify(system, tmp_path, *system.words(), "--append", masks + starts)
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}
    assert f"the login prompt is on {port}" in capsys.readouterr().err


@pytest.mark.parametrize("user", ["root", USER])
def test_a_partitioned_image_is_started_by_uefi(
    system: FullSystem, tmp_path: Path, user: str
) -> None:
    words = ["--image", str(system.uefi), *system.login(user), "--take-ports"]
    code, checks = verify(system, tmp_path, *words, ports=TWO)
    assert code == 0
    assert {check.port for check in checks if check.verdict is Verdict.PASS} == (
        {"serial0", "serial1"} if user == "root" else {"serial0"}
    )


def test_uefi_and_a_wrong_password(system: FullSystem, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("no\n")
    words = ["--image", str(system.uefi), *system.login(password=wrong)]
    code, checks = verify(system, tmp_path, *words, ports=TWO)
    assert code == 3
    assert all("Login incorrect" in check.detail for check in checks)


def test_the_default_case_passes_by_login(system: FullSystem, tmp_path: Path) -> None:
    ports = ["--case", "default", "--type", "usb", "--sizes", "smoke"]
    code, checks = verify(system, tmp_path, *system.words(), ports=ports)
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_ended_in_the_middle_leaves_the_image_and_no_vm(
    amd64: FullSystem, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    said = tmp_path / "said"
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "vmserial", "verify", "--arch", "x86_64", *PORTS,
             *amd64.words(), "--take-ports", *LONG, "--out", str(tmp_path / "out")],
            stdout=file, stderr=file,
        )  # fmt: skip
    try:
        end = time.monotonic() + 400
        while b"each alone" not in said.read_bytes():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end
            time.sleep(0.2)
        assert _with(amd64.image)
        time.sleep(2)
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        process.kill()
        process.wait()
    assert not _with(amd64.image)
    assert (tmp_path / "out/results.jsonl").is_file()


def _with(image: Path) -> list[str]:
    """Return the QEMUs that have an image open, or an overlay of it, by its name's folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            targets = [str(one.readlink()) for one in folder.iterdir()]
        except OSError:
            continue
        if str(image) in targets:
            found.append(folder.parent.name)
    return found


@pytest.mark.parametrize("take", [False, True])
def test_the_installers_brltty_is_named_and_gives_the_port_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], take: bool
) -> None:
    kernel, initrd = installer("amd64")
    words = ["--kernel", str(kernel), "--initrd", str(initrd), "--append",
             'preseed/early_command="sh </dev/ttyS0 >/dev/ttyS0 2>&1"']  # fmt: skip
    words += ["--take-ports"] * take
    code = run(["verify", "--arch", "x86_64", *TWO, *words, *LONG, "--out", str(tmp_path)])
    checks = [check for one in read(tmp_path / "results.jsonl") for check in one.checks]
    assert code == 0, capsys.readouterr()
    passed = {check.port for check in checks if check.verdict is Verdict.PASS}
    if take:
        assert passed == {"serial0", "serial1"}
        return
    assert passed == {"serial0"}
    assert "ttyUSB was taken by brltty (pid " in skipped(checks)["serial1"]
