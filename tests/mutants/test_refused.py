"""A planner that lies about a limit: the case ``refused`` turns red, and boots nothing for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_qemu.environment import named, prove

from vmserial.allocator import Allocator
from vmserial.devices import pci_serial, virtio_serial
from vmserial.devices.base import DeviceKind, guest_8250_full
from vmserial.limits import HVC_NODES
from vmserial.model import Finding, SerialPort
from vmserial.placing import onboard_uarts
from vmserial.planning import planner
from vmserial.verify.results import Check, FaultKind, Verdict

Lie = Callable[[pytest.MonkeyPatch, int], None]


def _uarts(patch: pytest.MonkeyPatch, by: int) -> None:
    def lying(*asked: Any) -> tuple[int, bool]:
        count, measured = onboard_uarts(*asked)
        return count + by, measured

    patch.setattr(planner, "onboard_uarts", lying)


def _lines(patch: pytest.MonkeyPatch, by: int) -> None:
    def lying(
        kind: DeviceKind, allocator: Allocator, port: SerialPort, more: int = 1
    ) -> Finding | None:
        honest = allocator.guest
        allocator.guest = replace(
            honest, nr_uarts=honest.nr_uarts + by, runtime_uarts=honest.runtime_uarts + by
        )
        try:
            return guest_8250_full(kind, allocator, port, more)
        finally:
            allocator.guest = honest

    patch.setattr(pci_serial, "guest_8250_full", lying)


def _consoles(patch: pytest.MonkeyPatch, by: int) -> None:
    patch.setattr(virtio_serial, "HVC_NODES", HVC_NODES + by)


def _isa(patch: pytest.MonkeyPatch, by: int) -> None:
    patch.setattr(planner, "ISA_SERIAL_PORTS", 4 + by)


KINDS = {
    "uart": ("aarch64", _uarts, 2), "pci": ("aarch64", _lines, 5),
    "pci-2x": ("aarch64", _lines, 5), "virtconsole": ("aarch64", _consoles, 9),
    "isa": ("x86_64", _isa, 5),
}  # fmt: skip
"""Architecture, how its planner lies, and the number that an honest one refuses."""

PAIRED = [("uart", 1), ("pci", 1), ("virtconsole", 1), ("pci-2x", 1),
          ("pci", -1), ("virtconsole", -1), ("pci-2x", -2), ("isa", -1)]  # fmt: skip
"""On aarch64 QEMU 7.2 has one UART: one less is none, which is no lie about a limit."""


def refused(folder: Path, kind: str) -> Check:
    """Return the one check of the case, which boots nothing."""
    report = prove(folder, arch=KINDS[kind][0], kinds=(kind,), cases=("refused",))
    (check,) = report.checks
    assert report.booted == ()
    assert report.exit_code == (check.verdict is Verdict.FAIL)
    return check


@pytest.mark.parametrize("kind", KINDS)
def test_one_more_is_refused_by_the_name_of_its_rule(tmp_path: Path, kind: str) -> None:
    check = refused(tmp_path, kind)
    assert check.verdict is Verdict.PASS
    assert check.detail.startswith(f"{KINDS[kind][2]} {kind} ports are refused: ")
    assert check.detail.count(": ") >= 2


@pytest.mark.parametrize(("kind", "by"), PAIRED)
def test_a_planner_that_lies_about_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, by: int
) -> None:
    KINDS[kind][1](monkeypatch, by)
    check = refused(tmp_path, kind)
    assert check.verdict is Verdict.FAIL
    assert named(check) == {FaultKind.NOT_REFUSED}
    assert ("one is too many" if by > 0 else "refuses too early") in check.detail


def test_a_refusal_without_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = pci_serial.PciSerialKind.refuse

    def lying(self: DeviceKind, port: SerialPort, id: str, happens: str, fix: str,
              *more: Any) -> Finding:  # fmt: skip
        del fix
        return honest(self, port, id, happens, "", *more)

    monkeypatch.setattr(DeviceKind, "refuse", lying)
    assert "lacks its id, words or way out" in refused(tmp_path, "pci").detail
