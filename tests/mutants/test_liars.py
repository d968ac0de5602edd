"""Liars between the product and the guest: each turns verify red, by the right name.

All bytes pass; what is wrong is which device carries them, where it is, and what QEMU said.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.environment import LIMITS, named, prove, verdicts

from vmserial.verify.results import Check, FaultKind, Verdict

pytestmark = pytest.mark.usefixtures("quick_end")


def rewrite(old: str, new: str) -> Fault:
    """Return the liar that starts another command line."""
    return Fault("rewrite", text=f"{old}=>{new}")


def by_port(checks: list[Check]) -> dict[str, set[FaultKind]]:
    """Return the names of what went wrong, by port."""
    found: dict[str, set[FaultKind]] = {}
    for check in checks:
        found.setdefault(check.port, set()).update(named(check))
    return found


def test_another_model_than_planned(tmp_path: Path) -> None:
    liar = rewrite("virtserialport,id=virtserialport.2", "virtconsole,id=virtserialport.2")
    report = prove(tmp_path, liar, kinds=("virtio",))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert by_port(failed) == {"serial2": {FaultKind.WRONG_DEVICE, FaultKind.WRONG_NODE}}
    assert any(
        "virtserialport.2 is a virtconsole, not the planned virtserialport" in c.detail
        for c in failed
    )
    assert any("is /dev/hvc0" in c.detail for c in failed)


def test_two_devices_at_each_others_usb_ports(tmp_path: Path) -> None:
    liars = (
        rewrite("bus=vmserial-xhci0.0,port=1,chardev=serial1", "bus=B,port=2,chardev=serial1"),
        rewrite("bus=vmserial-xhci0.0,port=2", "bus=vmserial-xhci0.0,port=1"),
        rewrite("bus=B", "bus=vmserial-xhci0.0"),
    )
    report = prove(tmp_path, *liars)
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert by_port(failed) == {
        "serial1": {FaultKind.WRONG_PLACE}, "serial2": {FaultKind.WRONG_PLACE}
    }  # fmt: skip
    first = next(c for c in failed if c.port == "serial1")
    assert first.mode == "place"
    assert "usbserial1 has port=2, not the planned 1" in first.detail
    assert "at port 2 of the controller at PCI 1f.0, not at the planned port 1" in first.detail


@pytest.mark.parametrize(
    ("kind", "id"), [("usb", "vmserial-xhci0"), ("virtio", "vmserial-virtio0")]
)
def test_a_controller_at_another_address(tmp_path: Path, kind: str, id: str) -> None:
    liar = rewrite(f"id={id},bus=pcie.0,addr=1f.0", f"id={id},bus=pcie.0,addr=1c.0")
    report = prove(tmp_path, liar, kinds=(kind,))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    # All ports on it are elsewhere; serial0 is not.
    assert by_port(failed) == {f"serial{n}": {FaultKind.WRONG_PLACE} for n in (1, 2, 3)}
    assert all(f"{id} has addr=1c.0, not the planned 1f.0" in c.detail for c in failed)
    assert all("PCI 1c.0" in c.detail and "PCI 1f.0" in c.detail for c in failed)


def test_another_virtio_number(tmp_path: Path) -> None:
    report = prove(tmp_path, rewrite("nr=3,chardev=serial3", "nr=9,chardev=serial3"),
                   kinds=("virtconsole",))  # fmt: skip
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert by_port(failed) == {"serial3": {FaultKind.WRONG_PLACE}}
    assert "virtconsole.3 has nr=9, not the planned 3" in failed[0].detail
    assert "nr 9 of the controller" in failed[0].detail


def test_a_chardev_that_is_not_removed(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("keep-chardev", "serial5"), cases=("hot-plug",))
    assert report.exit_code == 1
    (check,) = verdicts(report.checks, Verdict.FAIL)
    assert (check.port, check.mode) == ("serial5", "removed")
    assert named(check) == {FaultKind.LEFTOVER}
    assert "chardev serial5 was removed, and still has it" in check.detail


def test_a_chardev_that_is_not_renewed_after_a_cut_stream(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("keep-chardev", "serial1"), cases=("hot-plug",))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial1"}
    assert any("still has it" in c.detail for c in failed)


def test_a_device_that_is_not_deleted(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("keep-object", "serial1"), cases=("hot-plug",))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial1"}
    first = failed[0]
    assert first.mode == "unplug"
    assert named(first) == {FaultKind.LEFTOVER}
    assert "usbserial1 was deleted, and still has it" in first.detail


@pytest.mark.parametrize("case", ["default", "large", "maximum"])
def test_ports_that_are_there_only_with_a_client(tmp_path: Path, case: str) -> None:
    report = prove(
        tmp_path, rewrite(",always-plugged=on", ""), limits=replace(LIMITS, node=1.0),
        cases=(case,), ceilings={"usb": 3},
    )  # fmt: skip
    assert report.exit_code == 1
    count = 9 if case == "large" else 3
    missed = [c for c in report.checks if c.mode == "unattended"]
    assert {c.port for c in missed} == {f"serial{n}" for n in range(1, count + 1)}
    assert {c.verdict for c in missed} == {Verdict.FAIL}
    assert all(named(c) == {FaultKind.NO_NODE} for c in missed)
    assert "no serial1 while no client is at its chardev" in missed[0].detail
    # With their clients they carry all that they should.
    data = [c for c in report.checks if c.direction]
    assert len(data) == 4 * (count + 1)
    assert {c.verdict for c in data} == {Verdict.PASS}


@pytest.mark.parametrize("case", ["default", "large", "maximum"])
def test_crossed_ports_are_named_though_their_clients_come_one_by_one(
    tmp_path: Path, case: str
) -> None:
    report = prove(
        tmp_path, Fault("crosswire", "serial1", other="serial3"), cases=(case,),
        ceilings={"usb": 3},
    )  # fmt: skip
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed if c.port} == {"serial1", "serial3"}
    crossed = {c.port for c in failed if FaultKind.CROSSWIRE in named(c)}
    assert crossed == {"serial1", "serial3"}
