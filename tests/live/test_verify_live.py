"""verify on real guests: both architectures, each kind, hot-plug, damage found by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmserial.guests import images
from vmserial.model import Chardev, Machine, Null, SerialPort
from vmserial.progress import Silent
from vmserial.qemu.loop import run_interruptible
from vmserial.sources import load
from vmserial.sources.overrides import Overrides, apply
from vmserial.verify.request import TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import Check, FaultKind, Verdict
from vmserial.verify.runner import find_environments, run
from vmserial.verify.wire.form import SHORT, SMOKE

BOTH = {"guest->host", "host->guest"}

BRIEF: dict[str, Any] = {"alone": SMOKE, "together": SHORT, "cycles": 1}
"""Sizes for 16550s, which need seconds for what the other kinds do in no time."""


def prove(
    arch: str, environments: list[TestEnvironment] | None = None, **asked: Any
) -> VerifyReport:
    machine = asked.pop("machine", None) or Machine(
        arch, (), machine_type=asked.pop("machine_type", ""), accel="tcg"
    )
    request = VerifyRequest(machine, **asked)
    found = environments if environments is not None else find_environments(request, Silent())
    return run_interruptible(run(request, Silent(), found))


def wrong(report: VerifyReport) -> list[str]:
    """Return what did not pass, for the assertion's words."""
    return [
        f"{c.case} {c.kind} {c.title}: {c.verdict}: {c.detail}"
        for c in report.checks
        if c.verdict is not Verdict.PASS
    ]


def modes(report: VerifyReport, case: str) -> dict[str, set[str]]:
    """Return, by port, in which modes both directions passed."""
    found: dict[str, set[str]] = {}
    for check in report.checks:
        if check.case == case and check.direction:
            found.setdefault(check.port, set()).add(check.mode)
    return found


# ------------------------------------------------------------------ aarch64


def test_the_articles_default_count_and_hot_plug() -> None:
    report = prove("aarch64", kinds=("usb",), cases=("default", "hot-plug"))
    assert wrong(report) == []
    assert len(report.booted) == 1
    assert modes(report, "default") == {f"serial{n}": {"alone", "together"} for n in range(4)}
    assert {c.mode for c in report.checks if c.case == "hot-plug"} == {
        "before", "unplug", "plugged", "cycle", "unplug under load", "after load", "live",
        "removed", "during", "after", "unattended",
    }  # fmt: skip
    largest = max(c.bytes for c in report.checks if c.case == "default")
    assert largest > 65536
    assert report.booted[0].nodes["serial0"] == "/dev/ttyAMA0"
    assert report.booted[0].nodes["serial1"].startswith("/dev/ttyUSB")


@pytest.mark.parametrize("kind", ["pci", "pci-2x", "virtconsole", "uart"])
def test_other_kinds_on_aarch64(kind: str) -> None:
    report = prove("aarch64", kinds=(kind,), cases=("default",), **BRIEF)
    assert wrong(report) == []
    assert kind in {c.kind for c in report.checks}


def test_virtio_on_aarch64() -> None:
    report = prove("aarch64", kinds=("virtio",), cases=("default", "hot-plug"))
    assert wrong(report) == []


def test_ptys_as_in_the_article() -> None:
    report = prove("aarch64", kinds=("usb",), cases=("default",), endpoint="pty", **BRIEF)
    assert wrong(report) == []


def test_pci_ports_past_the_guests_limit_are_not_booted() -> None:
    report = prove("aarch64", kinds=("pci",), cases=("large",))
    assert [c.verdict for c in report.checks] == [Verdict.SKIPPED]
    assert "guest-8250-limit" in report.checks[0].detail


@pytest.mark.parametrize(("kind", "most"), [("usb", 16), ("virtio", 30), ("pci", 4)])
def test_maximum(kind: str, most: int) -> None:
    """All of them work with a client at each port from the start."""
    report = prove("aarch64", kinds=(kind,), cases=("maximum",), alone=SMOKE)
    bad = [text for text in wrong(report) if "more is not tried" not in text]
    assert bad == []
    assert max(c.maximum for c in report.checks) == most


@pytest.mark.parametrize("kind", ["auto", "pci", "virtio"])
def test_the_articles_configuration(kind: str) -> None:
    file = Path(__file__).parents[1] / "data" / "pve" / "142.conf"
    machine = apply(load(str(file)), Overrides(kind=kind, accel="tcg"))
    report = prove("aarch64", machine=machine, given=True, **BRIEF)
    assert wrong(report) == []
    # QEMU 9.1 and later have two UARTs on board.
    uarts = report.booted[0].environment.capabilities.onboard_uarts["virt"]
    second = "uart" if uarts > 1 else "usb"
    assert {(c.case, c.port, c.kind) for c in report.checks} == {
        ("input", "serial0", "uart"), ("input", "serial1", second if kind == "auto" else kind)
    }  # fmt: skip


def test_an_input_of_all_kinds() -> None:
    kinds = ("auto", "usb", "virtio", "pci", "virtconsole")
    ports = tuple(SerialPort(n * 3, Chardev(Null()), kind=kind) for n, kind in enumerate(kinds))
    machine = Machine("aarch64", ports, accel="tcg")
    report = prove("aarch64", machine=machine, given=True, **BRIEF)
    assert wrong(report) == []
    assert {c.kind for c in report.checks} == {"uart", "usb", "virtio", "pci", "virtconsole"}


# ------------------------------------------------------------------ x86_64


@pytest.mark.parametrize("kind", ["isa", "pci"])
def test_16550s_on_q35(kind: str) -> None:
    report = prove("x86_64", machine_type="q35", kinds=(kind,), cases=("default",), **BRIEF)
    assert wrong(report) == []
    assert kind in {c.kind for c in report.checks}


def test_hot_plug_on_q35() -> None:
    report = prove(
        "x86_64", machine_type="q35", kinds=("usb", "virtio"), cases=("default", "hot-plug"),
        **BRIEF,
    )  # fmt: skip
    assert wrong(report) == []


def test_pc() -> None:
    report = prove("x86_64", machine_type="pc", kinds=("pci",), cases=("hot-plug",), **BRIEF)
    assert wrong(report) == []


# ------------------------------------------------------------------ damage


DAMAGE = {
    "drop@serial3": ({"serial3"}, FaultKind.LOSS),
    "crosswire@serial1+serial2:host->guest": ({"serial1", "serial2"}, FaultKind.CROSSWIRE),
}


@pytest.fixture(scope="module")
def damaged() -> VerifyReport:
    """Prove four ports of one VM, three of them damaged."""
    return prove("aarch64", kinds=("usb",), cases=("default",), mutants=tuple(DAMAGE), **BRIEF)


@pytest.mark.parametrize("mutant", DAMAGE)
def test_damage_is_found_on_a_real_guest(damaged: VerifyReport, mutant: str) -> None:
    ports, fault = DAMAGE[mutant]
    assert damaged.exit_code == 1
    failed = [c for c in damaged.checks if c.verdict is Verdict.FAIL]
    assert {c.port for c in failed} == {"serial1", "serial2", "serial3"}
    assert all(fault in {one.kind for one in c.faults} for c in failed if c.port in ports)


def test_a_guest_that_panics_is_lost() -> None:
    (environment,) = find_environments(VerifyRequest(Machine("aarch64", (), accel="tcg")), Silent())
    broken = replace(environment, guest=environment.guest.with_append("rdinit=/bin/false"))
    report = prove("aarch64", [broken], kinds=("usb",), cases=("default",))
    assert report.exit_code == 3
    assert {c.verdict for c in report.checks} == {Verdict.LOST}
    assert "reset" in report.checks[0].detail


# ------------------------------------------------------------------ a guest of the user's own


def own(*words: str) -> tuple[TestEnvironment, VerifyRequest]:
    """Return an environment whose guest gives its shell on the console."""
    request = VerifyRequest(Machine("aarch64", (), accel="tcg"), kinds=("usb",), **BRIEF)
    (environment,) = find_environments(request, Silent())
    guest = images.ensure("aarch64", shell="console").with_append(" ".join(words))
    return replace(environment, guest=guest), replace(request, cases=("default",))


def test_a_shell_on_the_console_moves_to_the_control_port() -> None:
    environment, request = own()
    report = run_interruptible(run(request, Silent(), [environment]))
    assert wrong(report) == []
    assert modes(report, "default")["serial0"] == {"alone", "together"}


def test_a_shell_that_stays_on_the_console_is_tested_in_band() -> None:
    environment, request = own("initcall_blacklist=virtio_console_init")
    report = run_interruptible(run(request, Silent(), [environment]))
    assert report.exit_code == 0

    def of(port: str, mode: str) -> set[Verdict]:
        def is_it(check: Check) -> bool:
            return check.port == port and check.mode == mode

        return {c.verdict for c in report.checks if is_it(c)}

    assert of("serial0", "alone") == {Verdict.PASS}
    assert of("serial0", "together") == {Verdict.SKIPPED}
    assert of("serial3", "together") == {Verdict.PASS}
