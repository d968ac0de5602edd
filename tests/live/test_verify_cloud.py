"""A cloud image without a password, and a system that is busybox alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import busybox_system
import pytest
from full_system import FullSystem, digest, kept
from test_verify_login import skipped, verify

from vmserial.verify.results import Check, Verdict

pytestmark = [pytest.mark.live, pytest.mark.full]


@pytest.fixture
def cloud() -> Iterator[FullSystem]:
    found = kept("amd64", kind="cloud")
    before = [digest(found.image), digest(found.uefi)]
    yield found
    assert [digest(found.image), digest(found.uefi)] == before


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> FullSystem:
    return busybox_system.make(tmp_path_factory.mktemp("box"))


def passed(checks: Sequence[Check]) -> set[str]:
    return {check.port for check in checks if check.verdict is Verdict.PASS}


def test_a_cloud_image_is_entered_by_a_seed_and_its_kernel_without_usb_is_named(
    cloud: FullSystem, tmp_path: Path
) -> None:
    """As it comes: started by UEFI, with nothing known of its kernel."""
    code, checks = verify(
        cloud, tmp_path, "--image", str(cloud.uefi), "--cloud-init", "--take-ports"
    )
    assert code == 0
    assert passed(checks) == {"serial0", "serial2", "serial3"}
    assert "-cloud-amd64 has no USB (there is no /sys/bus/usb)" in skipped(checks)["serial1"]


def test_a_user_of_the_seed_is_made_in_the_overlay(cloud: FullSystem, tmp_path: Path) -> None:
    words = ["--image", str(cloud.image), "--kernel", str(cloud.kernel)]
    words += ["--initrd", str(cloud.initrd), "--login", "mona", "--cloud-init"]
    ports = ["--ports", "2", "--type", "pci", "--case", "input", "--sizes", "smoke"]
    _, checks = verify(cloud, tmp_path, *words, ports=ports)
    assert passed(checks) == {"serial0"}
    assert "permission denied: /dev/ttyS1 is root:dialout" in skipped(checks)["serial1"]


def test_an_image_without_cloud_init_is_named(box: FullSystem, tmp_path: Path) -> None:
    words = [*box.words()[:-2], "--cloud-init"]
    code, checks = verify(box, tmp_path, *words)
    assert code == 3
    assert all("no cloud-init of the guest took the seed within" in one.detail for one in checks)


def test_busybox_as_init_and_login_has_its_getty_named(box: FullSystem, tmp_path: Path) -> None:
    code, checks = verify(box, tmp_path, *box.words())
    assert code == 0
    assert passed(checks) == {"serial0", "serial1", "serial2"}
    assert "/dev/hvc0 is held by getty (pid " in skipped(checks)["serial3"]


def test_a_getty_that_init_would_start_anew_is_halted_and_goes_on(
    box: FullSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = verify(box, tmp_path, *box.words(), "--take-ports")
    assert code == 0
    assert passed(checks) == {"serial0", "serial1", "serial2", "serial3"}
    told = capsys.readouterr()
    assert "had a port that was tested, was stopped, and runs again" in told.out + told.err


@pytest.mark.parametrize("kind", ["usb", "pci"])
def test_the_default_case_passes_on_busybox(box: FullSystem, tmp_path: Path, kind: str) -> None:
    ports = ["--type", kind, "--case", "default", "--sizes", "smoke"]
    code, checks = verify(box, tmp_path, *box.words(), ports=ports)
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}
