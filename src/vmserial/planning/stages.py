"""Which stages of a boot speak and listen on which ports: one table, as it was measured.

A byte on a port at boot is not the guest's answer, and a port that is silent at boot is not dead.
``verify --stage firmware`` boots a firmware and holds what it sees against this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmserial.limits import ISA_SERIAL_PLACES
from vmserial.model import Assignment, Machine, Plan
from vmserial.model.consoles import in_question

ALL = 1 << 16
"""As a number of ports of a kind: however many there are."""


@dataclass(frozen=True)
class Stage:
    """One stage of a boot, as one program is it.

    Attributes:
        stage: ``firmware``, ``boot loader``, ``kernel console`` or ``login``.
        name: the program's: ``OVMF``.
        archs: QEMU's target names.
        speaks: of each device kind, on how many ports, the first ones, it writes; a kind that
            is missing gets nothing.
        obeys: on how many it reads keys.
        source: what was measured: its version and QEMU's.
        only: what else must be so; empty: nothing.
    """

    stage: str
    name: str
    archs: tuple[str, ...]
    speaks: Mapping[str, int]
    obeys: Mapping[str, int]
    source: str
    only: str = ""


@dataclass(frozen=True)
class Reached:
    """What a stage has of one port.

    Attributes:
        stage: which.
        speaks: it writes there.
        obeys: it reads keys there.
    """

    stage: Stage
    speaks: bool
    obeys: bool


_NR_0 = "virtconsole nr 0"
"""As a kind: a virtconsole at place 0 of its controller, which is the only one for UEFI; where
vmserial gives the places they begin at 1."""

_CARDS = ("pci-2x", "pci-4x")
"""Kinds whose ports are counted in each card: OVMF has the first UART of one."""

_PC = {"isa": 2, "pci": ALL, **dict.fromkeys(_CARDS, 1), _NR_0: 1}
_X86 = ("x86_64", "i386")
_UARTS = {"uart": ALL, "isa": ALL, "pci": ALL, "pci-2x": ALL, "pci-4x": ALL, "virtconsole": ALL}
_GETTY = {**_UARTS, "virtconsole": 1}

STAGES: tuple[Stage, ...] = (
    Stage("firmware", "SeaBIOS", _X86, {"isa": 1}, {"isa": 1},
          "SeaBIOS 1.16.3 on QEMU 10.0, 1.16.2 on 7.2", "with -machine graphics=off"),
    Stage("firmware", "OVMF", _X86, _PC, _PC,
          "OVMF 2025.02 on QEMU 10.0; 2022.11 on 7.2, which has no virtconsole"),
    Stage("firmware", "AAVMF", ("aarch64", "arm"), {"uart": 1, _NR_0: 1},
          {"uart": 1, _NR_0: 1},
          "AAVMF 2025.02 on QEMU 10.0; 2022.11 on 7.2, which has no virtconsole"),
    Stage("firmware", "RISC-V EDK II", ("riscv64",), {"uart": 1, _NR_0: 1},
          {"uart": 1, _NR_0: 1}, "EDK II 2025.02 on QEMU 10.0"),
    Stage("boot loader", "U-Boot", ("aarch64", "riscv64"), {"uart": 1}, {"uart": 1},
          "U-Boot 2025.01 on QEMU 10.0, 2023.01 on 7.2"),
    Stage("boot loader", "GRUB", _X86, {"isa": 1}, {"isa": 1}, "GRUB 2.12 on QEMU 10.0",
          "told `serial`; `serial pci,BB:DD.F` makes it a pci-serial, and beside UEFI it also has "
          "what UEFI has"),
    Stage("kernel console", "Linux", (), _UARTS, {}, "Linux 6.12 on QEMU 10.0",
          "with its node in console=; of two of one driver the first"),
    Stage("login", "systemd's getty", (), _GETTY, _GETTY,
          "systemd 257 on Linux 6.12, QEMU 10.0", "on an active console, and on hvc0 always"),
)  # fmt: skip
"""The table.  OVMF writes 29 bytes of escapes to a second virtconsole, which are no output."""


def firmware_name(machine: Machine) -> str:
    """Return the name of the firmware that a VM starts with; empty if there is none known."""
    if machine.arch in _X86:
        return "OVMF" if machine.firmware.kind == "ovmf" else "SeaBIOS"
    if machine.boot is not None:
        return ""
    return {"aarch64": "AAVMF", "arm": "AAVMF", "riscv64": "RISC-V EDK II"}.get(machine.arch, "")


def places(assignments: Iterable[Assignment]) -> dict[str, int]:
    """Return, by port, which of its kind each one is, from 0.

    A COM port has its own number, and a UART of a card its number on that card.
    """
    seen: dict[str, int] = {}
    found = {}
    bases = {f"{base:#x}": number for number, (base, _) in enumerate(ISA_SERIAL_PLACES)}
    for one in assignments:
        count = seen.get(one.kind, 0)
        seen[one.kind] = count + 1
        if one.kind == "isa":
            count = bases.get(one.identity.value, count)
        elif one.kind in _CARDS:
            count = int(one.identity.value.rpartition("#")[2])
        found[one.port.name] = count
    return found


def reached(stage: Stage, assignments: Sequence[Assignment]) -> dict[str, Reached]:
    """Return, by port, what a stage has of each."""
    at = places(assignments)
    return {
        one.port.name: Reached(
            stage,
            at[one.port.name] < _most(stage.speaks, one),
            at[one.port.name] < _most(stage.obeys, one),
        )
        for one in assignments
    }


def _most(ports: Mapping[str, int], one: Assignment) -> int:
    """Return how many ports of the kind of one, from the first, a stage has."""
    if one.kind == "virtconsole" and one.address == "nr 0" and _NR_0 in ports:
        return ports[_NR_0]
    return ports.get(one.kind, 0)


def of_plan(plan: Plan) -> list[dict[str, Reached]]:
    """Return what each stage that a planned VM may go through has of its ports."""
    firmware = firmware_name(plan.machine)
    return [
        reached(stage, plan.assignments)
        for stage in STAGES
        if (stage.name == firmware if stage.stage == "firmware"
            else not stage.archs or plan.machine.arch in stage.archs)
    ]  # fmt: skip


def words(plan: Plan, joined: Callable[[Iterable[str]], str]) -> list[str]:
    """Return, in a sentence for each stage, which ports it reaches.

    Args:
        plan: with the ports.
        joined: makes one text of names, such as ``serial0-serial3``.
    """
    said = []
    for ports in of_plan(plan):
        stage = next(iter(ports.values())).stage if ports else None
        if stage is None:
            continue
        speaks = joined(name for name, one in ports.items() if one.speaks) or "no port"
        obeys = joined(name for name, one in ports.items() if one.obeys)
        text = f"{stage.stage} ({stage.name}): writes to {speaks}"
        if obeys:
            text += "; reads keys there" if obeys == speaks else f"; reads keys of {obeys}"
        said.append(f"{text} ({stage.only})" if stage.only else text)
    return said


def silent_consoles(plan: Plan) -> list[str]:
    """Return, in a sentence each, which consoles of a plan's kernel command line stay silent."""
    append = plan.machine.boot.append if plan.machine.boot is not None else ""
    names = {one.at_boot.removeprefix("/dev/"): one.port.name for one in plan.assignments}
    complete = all(one.at_boot for one in plan.assignments)
    return [
        f"console={one.node}: {one.why(names.get(one.node, ''), plan.guest.name)}"
        for one in in_question(append)
        if one.first or one.late or (complete and one.node not in names)
    ]
