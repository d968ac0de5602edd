"""Every architecture that has a test guest is booted, and its ports carry their bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vmserial.cli.main import run
from vmserial.guests.foreign import fetch
from vmserial.model import Machine
from vmserial.progress import Silent
from vmserial.verify import runner
from vmserial.verify.request import Limits, VerifyReport, VerifyRequest
from vmserial.verify.results import HOST_TO_GUEST, Check, FaultKind, Verdict
from vmserial.verify.results_file import read
from vmserial.verify.runner import find_environments
from vmserial.verify.wire.form import SMOKE

# An emulated processor that shares its core with others: what is lost here is a VM, not time.
PATIENT = Limits(boot=240.0, command=80.0, node=80.0, transfer=20.0, idle=8.0, hang=60.0)


def proven(
    arch: str, kind: str, machine_type: str = "", *, binaries: tuple[str, ...] = (),
    cases: tuple[str, ...] = ("default",), options: tuple[tuple[str, str], ...] = (),
    suites: tuple[str, ...] = (),
) -> VerifyReport:  # fmt: skip
    machine = Machine(arch, (), machine_type=machine_type, machine_options=options)
    request = VerifyRequest(
        machine, cases=cases, kinds=(kind,), alone=SMOKE, together=SMOKE, seed=9,
        limits=PATIENT, binaries=binaries, suites=suites,
    )  # fmt: skip
    environments = find_environments(request, Silent())
    return asyncio.run(runner.run(request, Silent(), environments))


def all_passed(report: VerifyReport) -> None:
    bad = [(c.title, c.verdict, c.detail) for c in report.checks if c.verdict is not Verdict.PASS]
    assert not bad
    assert report.exit_code == 0
    assert len(report.checks) >= 8


def test_riscv64_carries_usb_and_its_own_uart() -> None:
    all_passed(proven("riscv64", "usb"))


@pytest.mark.full
@pytest.mark.parametrize(
    ("arch", "kind", "machine_type"),
    [
        ("riscv64", "pci", ""), ("riscv64", "virtio", ""),
        ("arm", "usb", ""), ("arm", "virtio", "vexpress-a15"), ("arm", "uart", "vexpress-a15"),
        ("i386", "isa", "pc"), ("i386", "usb", "q35"),
        ("ppc64", "uart", ""), ("ppc64", "usb", ""), ("ppc64", "virtconsole", ""),
        ("s390x", "virtio", ""), ("s390x", "virtconsole", ""),
        ("ppc64", "pci", ""), ("ppc64", "pci-2x", ""), ("ppc64", "pci-4x", ""),
        ("ppc64", "virtio", ""),
        ("mips64el", "uart", ""), ("mips64el", "usb", ""), ("mips64el", "pci", ""),
        ("mips64el", "virtio", ""), ("mips64el", "virtconsole", ""),
        ("x86_64", "isa", "microvm"), ("x86_64", "usb", "microvm"),
        ("x86_64", "virtio", "microvm"), ("x86_64", "virtconsole", "microvm"),
    ],
)  # fmt: skip
def test_other_architectures(arch: str, kind: str, machine_type: str) -> None:
    all_passed(proven(arch, kind, machine_type))


@pytest.mark.full
@pytest.mark.parametrize("kind", ["usb", "pci"])
def test_riscv64_with_interrupts_by_messages(kind: str) -> None:
    """With aia the board's own UART is found wherever it is; its row says that it had aia."""
    # On Linux 6.12 it has no node.
    report = proven(
        "riscv64", kind, options=(("aia", "aplic-imsic"),), suites=("sid",),
        binaries=(str(fetch("sid", ["riscv64"])["riscv64"]),),
    )  # fmt: skip
    all_passed(report)
    assert {c.machine for c in report.checks} == {"virt,aia=aplic-imsic"}


@pytest.mark.full
@pytest.mark.parametrize(
    ("words", "dead"),
    [
        ("-M microvm,isa-serial=off -nodefaults -serial pty", {"serial0": "onboard-uart-limit"}),
        ("-M microvm,pcie=on -nodefaults -serial pty -chardev pty,id=c "
         "-device pci-serial,chardev=c", {"serial1": "pci-serial-dead"}),
        ("-M microvm -nodefaults -serial pty -serial pty", {"serial1": "onboard-uart-limit"}),
    ],
)  # fmt: skip
def test_what_is_dead_on_microvm_is_shown_dead_and_mended(
    words: str, dead: dict[str, str], tmp_path: Path
) -> None:
    command = ["--", "qemu-system-x86_64", *words.split()]
    usual = ["verify", "-q", "--sizes", "smoke", "--timeout", "240"]

    def verdicts(out: str, *more: str) -> list[Check]:
        status = run([*usual, *more, "--out", str(tmp_path / out), *command])
        assert status == (out == "before")
        return [check for one in read(tmp_path / out / "results.jsonl") for check in one.checks]

    red = {c.port: c.detail for c in verdicts("before") if c.verdict is Verdict.FAIL and c.port}
    assert set(red) == set(dead)
    assert all(red[port].endswith(f"[{id}]") for port, id in dead.items())
    assert {c.verdict for c in verdicts("after", "--fixed")} == {Verdict.PASS}


@pytest.mark.full
@pytest.mark.parametrize("kind", ["uart", "usb", "virtio", "virtconsole"])
def test_loongarch64_by_its_firmware(kind: str) -> None:
    # QEMU 7.2 takes no UEFI of that size.
    binary = str(fetch("sid", ["loongarch64"])["loongarch64"])
    all_passed(proven("loongarch64", kind, binaries=(binary,)))


@pytest.mark.full
def test_a_card_that_is_dead_on_loongarch64_is_shown_dead(tmp_path: Path) -> None:
    """The plan refuses it; a command that has it starts and boots, and its port is missing."""
    binary = str(fetch("sid", ["loongarch64"])["loongarch64"])
    words = "-M virt -m 2G -nodefaults -serial null -chardev pty,id=c -device pci-serial,chardev=c"
    asked = ["verify", "-q", "--sizes", "smoke", "--timeout", "240", "--out", str(tmp_path)]
    assert run([*asked, "--", binary, *words.split()]) == 1
    checks = [check for one in read(tmp_path / "results.jsonl") for check in one.checks]
    dead = [c for c in checks if c.verdict is Verdict.FAIL]
    assert {c.kind for c in dead} == {"pci"}
    assert any(c.faults and c.faults[0].kind is FaultKind.NO_NODE for c in dead)
    assert any("[pci-serial-dead]" in c.detail for c in dead)


@pytest.mark.full
def test_s390x_carries_usb_on_two_controllers_in_domains_of_their_own() -> None:
    # QEMU 7.2's binary for it has no USB.
    binary = str(fetch("trixie", ["s390x"])["s390x"])
    report = proven("s390x", "usb", binaries=(binary,), cases=("maximum",))
    assert report.exit_code == 0
    assert {c.verdict for c in report.checks} == {Verdict.PASS}
    assert max(c.maximum for c in report.checks) == 16


DOMAINS = Path(__file__).parents[1] / "data" / "libvirt"


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "dead"),
    [
        ("ppc64-hvc-10", {"serial8": "hvc-limit", "serial9": "hvc-limit"}),
        ("mips64el-typed", {"serial1": "pci-slot-unwired", "serial2": "usb-not-plugged"}),
        ("mips64el-untyped", {"serial3": "onboard-uart-limit"}),
    ],
)
def test_a_domain_before_and_after_fix(name: str, dead: dict[str, str], tmp_path: Path) -> None:
    """What doctor names is dead in the guest, and nothing else; after fix all ports carry."""

    def verified(out: str, *more: str) -> tuple[int, list[Check]]:
        words = ["verify", "-q", "--sizes", "smoke", "--timeout", "240", *more]
        status = run([*words, "--out", str(tmp_path / out), str(DOMAINS / f"{name}.xml")])
        found = read(tmp_path / out / "results.jsonl")
        return status, [check for one in found for check in one.checks]

    status, checks = verified("before")
    assert status == 1
    red = {c.port: c.detail for c in checks if c.verdict is Verdict.FAIL and c.port}
    assert set(red) == set(dead)
    assert all(red[port].endswith(f"[{id}]") for port, id in dead.items())
    status, checks = verified("after", "--fixed")
    assert status == 0
    assert {c.verdict for c in checks} == {Verdict.PASS}
    assert {c.port for c in checks} >= set(dead)


@pytest.mark.full
def test_what_sclp_cannot_is_said_and_fails_nothing() -> None:
    report = proven("s390x", "uart")
    assert report.exit_code == 0
    cannot = [c for c in report.checks if c.verdict is Verdict.CANNOT]
    assert {(c.port, c.direction) for c in cannot} == {("serial1", HOST_TO_GUEST)}
    assert all("sclplmconsole" in c.detail for c in cannot)
    others = {c.verdict for c in report.checks if c not in cannot}
    assert others == {Verdict.PASS}


def test_the_table_of_tests_names_each_architecture_with_a_guest() -> None:
    from vmserial.machines import ARCHITECTURES

    text = Path(__file__).read_text()
    assert all(f'"{arch.name}"' in text for arch in ARCHITECTURES.values()
               if arch.suites and arch.name not in {"aarch64", "x86_64"})  # fmt: skip
