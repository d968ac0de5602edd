"""The long matrix (`make test-full`); its results make docs/support-matrix.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmserial import allocator
from vmserial.cli.main import run
from vmserial.guests.foreign import fetch
from vmserial.progress import Silent
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, Check, Verdict
from vmserial.verify.results_file import read

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "full"
SUITES = ("bullseye", "bookworm", "trixie")

pytestmark = [pytest.mark.live, pytest.mark.full]


def verify(name: str, *words: str) -> list[Check]:
    """Run the command, which must pass, and return its checks."""
    out = OUT / name
    assert run(["verify", *words, "--out", str(out), "--quiet"]) == 0
    return [check for one in read(out / "results.jsonl") for check in one.checks]


@pytest.mark.parametrize(("arch", "machine"), [("aarch64", "virt"), ("x86_64", "q35")])
def test_every_qemu_with_every_guest(arch: str, machine: str) -> None:
    binaries = [str(fetch(suite, [arch], reporter=Silent())[arch]) for suite in SUITES]
    words = [word for path in binaries for word in ("--qemu", path)]
    words += [word for suite in SUITES for word in ("--suite", suite)]
    checks = verify(
        f"matrix-{arch}", "--arch", arch, "--machine", machine, "--case", "default", *words
    )
    assert len({c.qemu for c in checks}) == 3
    assert len({c.guest for c in checks}) == 3
    uarts = {c.qemu: 0 for c in checks}
    for check in checks:
        if check.kind == "uart" and check.mode == "alone":
            uarts[check.qemu] = max(uarts[check.qemu], int(check.port[6:]) + 1)
    if arch == "aarch64":
        assert {version.split(".")[0]: count for version, count in uarts.items()} == {
            "5": 1, "7": 1, "10": 2,
        }  # fmt: skip


def test_sixty_usb_ports_and_two_hundred_and_forty_virtio_ports() -> None:
    words = ["--type", "usb"]
    words += [word for n in range(61, 301) for word in ("--type", f"serial{n}=virtio")]
    checks = verify("sixty-usb-240-virtio", "--arch", "aarch64", "--ports", "301", *words,
                    "--sizes", "smoke")  # fmt: skip
    ports = {kind: {c.port for c in checks if c.kind == kind} for kind in ("uart", "usb", "virtio")}
    assert {kind: len(names) for kind, names in ports.items()} == {
        "uart": 1, "usb": 60, "virtio": 240,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["usb", "virtio"])
def test_a_hundred_cycles(kind: str) -> None:
    checks = verify(f"cycles-{kind}", "--arch", "aarch64", "--type", kind, "--case", "hot-plug",
                    "--cycles", "100")  # fmt: skip
    assert any("100 cycles" in c.detail for c in checks)


@pytest.mark.parametrize(("arch", "machine"), [("aarch64", "virt"), ("x86_64", "q35")])
def test_maximum_of_every_kind(arch: str, machine: str) -> None:
    checks = verify(f"maximum-{arch}", "--arch", arch, "--machine", machine, "--case", "maximum")
    assert {c.kind for c in checks if c.maximum}


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_hot_plug_on_x86(machine: str) -> None:
    verify(f"hotplug-{machine}", "--arch", "x86_64", "--machine", machine, "--case", "hot-plug")


def test_a_sixteenth_virtio_port_of_a_controller_is_found_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The guest never hears of its client (VIRTIO_SERIAL_SAFE_PORTS); its writer waits for ever.
    # QEMU 10.0.13 has longer queues, so the binary is a given one.
    qemu = fetch("bookworm", ["aarch64"], reporter=Silent())["aarch64"]
    monkeypatch.setattr(allocator, "VIRTIO_SERIAL_SAFE_PORTS", 16)
    monkeypatch.setattr(allocator, "VIRTIO_CONTROL_MESSAGES", 32)
    words = ["--ports", "17", "--type", "virtio", "--sizes", "smoke", "--qemu", str(qemu)]
    assert run(["verify", "--arch", "aarch64", *words, "--out", str(tmp_path), "--quiet"]) == 1
    (found,) = read(tmp_path / "results.jsonl")
    failed = [c for c in found.checks if c.verdict is Verdict.FAIL]
    assert {(c.port, c.direction, c.mode) for c in failed} == {
        ("serial16", GUEST_TO_HOST, mode) for mode in ("alone", "together")
    }
    assert "no byte moved for 10 s" in failed[-1].detail


def test_a_thousand_ports_in_one_vm() -> None:
    """67 controllers; a guest whose named memory is too small for them is refused beforehand."""
    words = ["--arch", "aarch64", "--ports", "1000", "--type", "virtio", "--sizes", "smoke"]
    assert run(["verify", *words, "--memory", "512", "--quiet"]) == 1
    checks = verify("a-thousand", *words)
    assert {c.verdict for c in checks} == {Verdict.PASS}
    assert {c.mode for c in checks} == {"alone", "together"}
    assert len({c.port for c in checks}) == 1000


def test_one_of_a_hundred_ports_that_loses_a_byte_is_named_and_no_other(tmp_path: Path) -> None:
    words = ["--arch", "aarch64", "--ports", "100", "--type", "virtio", "--sizes", "smoke"]
    mutant = f"drop@serial77:{HOST_TO_GUEST}"
    assert run(["verify", *words, "--mutant", mutant, "--out", str(tmp_path), "--quiet"]) == 1
    (found,) = read(tmp_path / "results.jsonl")
    failed = {(c.port, c.direction) for c in found.checks if c.verdict is Verdict.FAIL}
    assert failed == {("serial77", HOST_TO_GUEST)}
    assert len(found.checks) == 400
