"""Command lines by architecture, kind, number of ports and QEMU version, held as text.

``VMSERIAL_UPDATE_GOLDEN=1 pytest tests/golden`` writes them anew; read the
difference before you commit it.  The live tests prove that such lines work.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from vmserial import chardevs
from vmserial.model import GuestProfile, Machine, Plan, SerialPort
from vmserial.options import pretty, render
from vmserial.planning import planner
from vmserial.qemu import binary

HERE = Path(__file__).parent
RECORDED = HERE.parent / "data" / "capabilities"
VERSIONS = ("5.2", "7.2", "10.0", "11.1")
GUESTS = {
    guest.name: guest
    for guest in (
        GuestProfile("debian-12-arm64", "Debian's kernel", kernel=(6, 1)),
        GuestProfile("debian-13-arm64", "Debian's kernel", kernel=(6, 12)),
        GuestProfile("debian-12-amd64", "Debian's kernel", kernel=(6, 1), nr_uarts=32),
        GuestProfile("debian-13-amd64", "Debian's kernel", kernel=(6, 12), nr_uarts=32),
    )
}


@dataclass(frozen=True)
class Cell:
    """One command line."""

    arch: str
    machine_type: str
    kind: str
    ports: int
    version: str
    guest: str
    hotplug: bool = False

    @property
    def name(self) -> str:
        hot = "-hotplug" if self.hotplug else ""
        return f"{self.machine_type}-{self.kind}-{self.ports}{hot}-qemu{self.version}"


CELLS = [
    *(Cell("aarch64", "virt", "auto", 10, version, "debian-12-arm64") for version in VERSIONS),
    *(Cell("x86_64", "q35", "auto", 10, version, "debian-12-amd64") for version in VERSIONS),
    *(
        Cell("aarch64", "virt", kind, ports, "7.2", "debian-12-arm64")
        for kind in ("usb", "pci", "pci-2x", "pci-4x", "virtio", "virtconsole")
        for ports in (4, 10)
    ),
    *(
        Cell("x86_64", machine, kind, 4, "7.2", "debian-12-amd64")
        for machine in ("q35", "pc")
        for kind in ("isa", "usb", "pci", "virtio")
    ),
    Cell("aarch64", "virt", "pci", 4, "7.2", "debian-12-arm64", hotplug=True),
    Cell("x86_64", "pc", "pci", 4, "7.2", "debian-13-amd64", hotplug=True),
    Cell("x86_64", "q35", "pci", 4, "7.2", "debian-13-amd64", hotplug=True),
    Cell("aarch64", "virt", "usb", 61, "10.0", "debian-13-arm64"),
    Cell("aarch64", "virt", "virtio", 241, "7.2", "debian-12-arm64"),
]


def made(cell: Cell) -> Plan:
    """Plan a cell on the recorded capabilities of its QEMU."""
    data = json.loads((RECORDED / f"qemu-{cell.version}-{cell.arch}.json").read_text())
    capabilities = binary.from_json(data)
    ports = tuple(
        SerialPort(
            n,
            chardevs.parse(f"socket=/run/vm/serial{n}"),
            kind=cell.kind if n else "auto",
            hotplug=cell.hotplug and n > 0,
        )
        for n in range(cell.ports)
    )
    machine = Machine(cell.arch, ports, machine_type=cell.machine_type, accel="tcg")
    return planner.plan(machine, capabilities, GUESTS[cell.guest])


def golden(plan: Plan) -> str:
    """Return what is held of a plan: its places, refusals and command line."""
    lines = [
        f"{a.port.name}  {a.kind}  {a.bus}  {a.address}  {a.identity}  {a.node}  {a.reason}"
        for a in plan.assignments
    ]
    lines += [f"refused {', '.join(r.ports)}: {r.id}: {r.happens}" for r in plan.refusals]
    lines += [f"assumed: {text}" for text in plan.assumptions]
    words = [f"qemu-system-{plan.qemu.target}", *render(plan.options)]
    return "\n".join(lines) + "\n\n" + pretty(words) + "\n"


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_golden(cell: Cell) -> None:
    path = HERE / f"{cell.name}.txt"
    text = golden(made(cell))
    if os.environ.get("VMSERIAL_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_no_golden_is_left_over() -> None:
    assert {p.stem for p in HERE.glob("*.txt")} == {cell.name for cell in CELLS}


@pytest.mark.parametrize("version", VERSIONS)
def test_on_board_uarts_are_measured_in_the_recordings(version: str) -> None:
    data = json.loads((RECORDED / f"qemu-{version}-aarch64.json").read_text())
    assert data["onboard_uarts"]["virt"] == (1 if version in {"5.2", "7.2"} else 2)
