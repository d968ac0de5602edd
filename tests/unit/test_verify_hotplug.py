"""Hot-plug against the fake: what is sound passes, what is wrong is named."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.environment import LIMITS, named, prove, verdicts

from vmserial.verify.cases import load
from vmserial.verify.request import Limits
from vmserial.verify.results import HOST_TO_GUEST, FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.wire.transfer import Line

pytestmark = pytest.mark.usefixtures("quick_end")

SOON = replace(LIMITS, node=2.0)
SHORT_COMMANDS = replace(LIMITS, command=3.0)
HOTPLUG = {"cases": ("hot-plug",), "cycles": 2}


def test_hot_plug_on_a_sound_machine(tmp_path: Path) -> None:
    report = prove(tmp_path, **HOTPLUG)
    assert report.exit_code == 0
    seen = {(c.port, c.mode) for c in report.checks if c.verdict is Verdict.PASS}
    assert seen == {
        ("serial1", "before"), ("serial1", "unplug"), ("serial1", "plugged"), ("serial1", "cycle"),
        ("serial1", "unplug under load"), ("serial1", "after load"), ("serial1", "after"),
        ("serial2", "during"), ("serial4", "plugged"), ("serial5", "live"), ("serial5", "removed"),
        *((f"serial{n}", "unattended") for n in (1, 2, 3, 4)),
    }  # fmt: skip
    assert len([c for c in report.checks if c.mode == "unattended"]) == 4
    plugs = {(c.unplugged, c.plugged) for c in report.checks if c.plugged}
    assert plugs == {
        ("usbserial1", "usbserial1"), ("/", "usbserial4"), ("/", "usbserial5")
    }  # fmt: skip
    assert len(report.booted[0].timings["plug"]) == 2


@pytest.mark.parametrize(("kind", "leaves"), [("usb", True), ("virtio", False)])
def test_the_client_of_a_usb_port_leaves_before_the_unplug(
    tmp_path: Path, kind: str, leaves: bool
) -> None:
    report = prove(tmp_path, **{**HOTPLUG, "kinds": (kind,)})
    (check,) = (
        c for c in report.checks if c.mode == "unplug under load" and c.direction == HOST_TO_GUEST
    )
    assert check.verdict is Verdict.PASS
    assert ("its client having left" in check.detail) is leaves


def test_a_vm_is_lost_if_the_client_of_a_usb_port_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = []

    async def stay(session: Session, line: Line) -> None:
        del session
        # More than the fake has read when the order to unplug comes.
        streams.append(asyncio.create_task(line.endpoint.send(bytes(1 << 26), 10)))
        await asyncio.sleep(0.01)

    # The fake crashes as QEMU does if the client stays.
    monkeypatch.setattr(load, "leave", stay)
    # A fake that has just read all when the order comes does not; on a busy host that happens.
    assert any(prove(tmp_path, **HOTPLUG).exit_code == 3 for _ in range(5))


@pytest.mark.parametrize("kind", ["virtio", "pci"])
def test_hot_plug_of_other_kinds(tmp_path: Path, kind: str) -> None:
    report = prove(tmp_path, kinds=(kind,), **HOTPLUG)
    assert report.exit_code == 0
    assert {c.verdict for c in report.checks} == {Verdict.PASS}


def test_default_and_hot_plug_share_one_vm_where_no_place_moves(tmp_path: Path) -> None:
    report = prove(tmp_path, kinds=("usb", "pci"), cases=("default", "hot-plug"))
    assert report.exit_code == 0
    assert [one.cases for one in report.booted] == [
        ("default", "hot-plug"), ("default",), ("hot-plug",)
    ]  # fmt: skip
    # Each port is looked for while nobody is there, once, by the first case on its VM.
    looked = [(c.case, c.kind, c.port) for c in report.checks if c.mode == "unattended"]
    cold = [("default", kind, f"serial{n}") for kind in ("usb", "pci") for n in (1, 2, 3)]
    # All of pci's; of usb's what comes later on the shared VM.
    pci = [c.port for c in report.checks if c.mode == "unattended" and c.case == "hot-plug"
           and c.kind == "pci"]  # fmt: skip
    assert sorted(looked) == sorted(
        [*cold, ("hot-plug", "usb", "serial4"), *(("hot-plug", "pci", port) for port in pci)]
    )
    assert {"serial1", "serial2"} <= set(pci)


@pytest.mark.parametrize(
    ("fault", "mode", "kind", "limits"),
    [
        (Fault("keep-device", "serial1"), "unplug", FaultKind.TIMEOUT, SOON),
        (Fault("refuse-add", "serial4"), "plugged", FaultKind.REFUSED, LIMITS),
        (Fault("refuse-add", "serial5"), "live", FaultKind.REFUSED, LIMITS),
        (
            Fault("busy", "serial5", size=10000),
            "removed",
            FaultKind.REFUSED,
            replace(LIMITS, command=3.0),
        ),
        (Fault("no-node", "serial4"), "plugged", FaultKind.NO_NODE, SOON),
        (Fault("drop", "serial2", at=9000), "during", FaultKind.LOSS, LIMITS),
        (Fault("corrupt", "serial1", at=1000), "before", FaultKind.CORRUPT, LIMITS),
        (Fault("duplicate", "serial1", at=9000), "plugged", FaultKind.DUPLICATE, LIMITS),
    ],
)
def test_hot_plug_faults_are_named(
    tmp_path: Path, fault: Fault, mode: str, kind: FaultKind, limits: Limits
) -> None:
    report = prove(tmp_path, fault, limits=limits, **HOTPLUG)
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {fault.port}
    # A port that comes later is first looked for while nobody is at it.
    before = {"unattended"} if fault.port == "serial4" else set()
    assert {c.mode for c in failed} == {mode} | before
    assert all(kind in named(c) for c in failed)


def test_ports_that_need_a_client_are_red_also_on_a_vm_of_their_own(tmp_path: Path) -> None:
    liar = Fault("rewrite", text=",always-plugged=on=>")
    report = prove(tmp_path, liar, limits=SOON, **HOTPLUG)
    failed = verdicts(report.checks, Verdict.FAIL)
    unattended = {c.port for c in failed if c.mode == "unattended"}
    assert unattended == {"serial1", "serial2", "serial3"}
    assert all("while no client is at its chardev" in c.detail for c in failed
               if c.mode == "unattended")  # fmt: skip
    # With their clients they carry all data.
    assert all(not c.direction for c in failed)


def test_a_port_that_is_plugged_in_and_needs_a_client_is_red(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("not-plugged", "serial4"), limits=SOON, **HOTPLUG)
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {(c.port, c.mode) for c in failed if c.mode != "place"} == {("serial4", "unattended")}
    assert all(not c.direction for c in failed)


def test_a_busy_chardev_is_asked_again(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("busy", "serial5", size=3), **HOTPLUG)
    assert report.exit_code == 0


def test_a_vm_that_dies_when_unplugged_under_load(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("die", "serial1", at=60000), **HOTPLUG)
    assert report.exit_code == 3
    assert not verdicts(report.checks, Verdict.FAIL)
    lost = {(c.port, c.mode) for c in verdicts(report.checks, Verdict.LOST)}
    assert ("serial1", "unplug under load") in lost
    assert ("serial2", "during") in lost
