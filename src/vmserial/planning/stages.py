"""Which stages of a boot speak and listen on which ports: one table, as it was measured.

A byte on a port at boot is not the guest's answer, and a port that is silent at boot is not dead.
``verify --stage firmware`` boots a firmware and holds what it sees against this table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmserial.limits import ISA_SERIAL_PLACES, ISA_SERIAL_PORTS
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
        since: the first version that was seen to be so, where an older one is not.
        until: the last one, where a newer one is not.
        on: the firmware whose console it has too; empty: it has none.
    """

    stage: str
    name: str
    archs: tuple[str, ...]
    speaks: Mapping[str, int]
    obeys: Mapping[str, int]
    source: str
    only: str = ""
    since: tuple[int, int] | None = None
    until: tuple[int, int] | None = None
    on: str = ""


@dataclass(frozen=True)
class Reached:
    """What a stage has of one port.

    Attributes:
        stage: which; of several versions the newest.
        speaks: it writes there; None: one version does, and another does not.
        obeys: it reads keys there; likewise.
    """

    stage: Stage
    speaks: bool | None
    obeys: bool | None


_NR_0 = "virtconsole nr 0"
"""As a kind: a virtconsole at place 0 of its controller, which is the only one for UEFI; where
vmserial gives the places they begin at 1."""

_CARDS = ("pci-2x", "pci-4x")
"""Kinds whose ports are counted in each card: OVMF and GRUB have the first UART of one."""

_EVERY_PCI = {"pci": ALL, **dict.fromkeys(_CARDS, 1)}
_PC = {"isa": 2, **_EVERY_PCI}
_X86 = ("x86_64", "i386")
_ARM = ("aarch64", "arm")
_UARTS = {"uart": ALL, "isa": ALL, "pci": ALL, "pci-2x": ALL, "pci-4x": ALL, "virtconsole": ALL}
_GETTY = {**_UARTS, "virtconsole": 1}
_COMS = {"isa": ISA_SERIAL_PORTS, **_EVERY_PCI}
_OLD, _NEW = (2022, 11), (2025, 2)

_NO_EFI_SERIAL = "with serial_efi0 in its terminal_input it does not go on"

GRUB, GRUB_SERIAL = "GRUB", "GRUB told `serial`"

STAGES: tuple[Stage, ...] = (
    Stage("firmware", "SeaBIOS", _X86, {"isa": 1}, {"isa": 1},
          "SeaBIOS 1.16.3 on QEMU 10.0, 1.16.2 on 7.2", "with -machine graphics=off"),
    Stage("firmware", "OVMF", _X86, {**_PC, _NR_0: 1}, {**_PC, _NR_0: 1},
          "OVMF 2025.02 on QEMU 7.2 and 10.0", since=_NEW),
    Stage("firmware", "OVMF", _X86, _PC, _PC, "OVMF 2022.11 on QEMU 7.2", until=_OLD),
    Stage("firmware", "AAVMF", _ARM, {"uart": 1, _NR_0: 1}, {"uart": 1, _NR_0: 1},
          "AAVMF 2025.02 on QEMU 7.2 and 10.0", since=_NEW),
    Stage("firmware", "AAVMF", _ARM, {"uart": 1}, {"uart": 1}, "AAVMF 2022.11 on QEMU 7.2",
          until=_OLD),
    Stage("firmware", "RISC-V EDK II", ("riscv64",), {"uart": 1}, {"uart": 1},
          "EDK II 2025.02 on QEMU 10.0"),
    Stage("firmware", "LoongArch EDK II", ("loongarch64",), {"uart": 1}, {"uart": 1},
          "EDK II 2025.02 on QEMU 10.0, 2026.08 on 11.1"),
    Stage("boot loader", "U-Boot", ("aarch64", "riscv64"), {"uart": 1}, {"uart": 1},
          "U-Boot 2025.01 on QEMU 10.0, 2023.01 on 7.2"),
    Stage("boot loader", GRUB, _X86, {}, {}, "GRUB 2.12 on QEMU 7.2",
          "it has the screen and the keyboard; with -machine graphics=off COM1", on="SeaBIOS"),
    Stage("boot loader", GRUB_SERIAL, _X86, _COMS, _COMS, "GRUB 2.12 on QEMU 7.2",
          "`serial --unit=N` for COM1 to COM4, `serial pci,BB:DD.F` for a card", on="SeaBIOS"),
    Stage("boot loader", GRUB, _X86, {}, {}, "GRUB 2.12 on QEMU 7.2", on="OVMF"),
    Stage("boot loader", GRUB_SERIAL, _X86, _COMS, _COMS, "GRUB 2.12 on QEMU 7.2",
          "`serial --unit=N` for COM1 to COM4, `serial pci,BB:DD.F` for a card", on="OVMF"),
    Stage("boot loader", GRUB, ("aarch64",), {}, {}, "GRUB 2.12 on QEMU 7.2", _NO_EFI_SERIAL,
          on="AAVMF"),
    Stage("boot loader", GRUB, ("riscv64",), {}, {}, "GRUB 2.12 on QEMU 10.0", _NO_EFI_SERIAL,
          on="RISC-V EDK II"),
    Stage("kernel console", "Linux", (), _UARTS, {}, "Linux 6.12 on QEMU 10.0",
          "with its node in console=; of two of one driver the first"),
    Stage("login", "systemd's getty", (), _GETTY, _GETTY,
          "systemd 257 on Linux 6.12, QEMU 10.0", "on an active console, and on hvc0 always"),
)  # fmt: skip
"""The table; of one name and firmware below it the newest version first.  OVMF writes 29 bytes of
escapes to a second virtconsole, which are no output."""

_RELEASE = re.compile(r"(?<!\d)(20\d\d)\.(\d\d)(?!\d)")


def of(name: str, version: str = "", on: str = "") -> tuple[Stage, ...]:
    """Return the entries of a program's version: one, or each where nobody saw that version.

    Args:
        name: the program's.
        version: a package's, or the program's own: ``2022.11-6+deb12u2``; empty: unknown.
        on: the firmware below it.
    """
    rows = tuple(one for one in STAGES if one.name == name and on in ("", one.on))
    if (found := _RELEASE.search(version)) is None:
        return rows
    number = (int(found[1]), int(found[2]))
    return tuple(
        one for one in rows
        if (one.since is None or one.since <= number)
        and (one.until is None or number <= one.until)
    ) or rows  # fmt: skip


def firmware_name(machine: Machine) -> str:
    """Return the name of the firmware that a VM starts with; empty if there is none known."""
    if machine.arch in _X86:
        return "OVMF" if machine.firmware.kind == "ovmf" else "SeaBIOS"
    if machine.arch == "loongarch64":
        return "LoongArch EDK II"
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


def reached(
    stages: Stage | Sequence[Stage], assignments: Sequence[Assignment], version: str = ""
) -> dict[str, Reached]:
    """Return, by port, what a stage has of each.

    Args:
        stages: one, or the entries of versions of which nobody knows which it is.
        assignments: the ports.
        version: of the firmware below it, whose console it has.
    """
    rows = (stages,) if isinstance(stages, Stage) else tuple(stages)
    below = of(rows[0].on, version) if _shares(rows[0]) else (None,)
    at = places(assignments)
    found = {}
    for one in assignments:
        place = at[one.port.name]
        speaks = {any(place < _most(row.speaks, one) for row in (top, base) if row is not None)
                  for top in rows for base in below}  # fmt: skip
        obeys = {any(place < _most(row.obeys, one) for row in (top, base) if row is not None)
                 for top in rows for base in below}  # fmt: skip
        found[one.port.name] = Reached(rows[0], _agreed(speaks), _agreed(obeys))
    return found


def _shares(stage: Stage) -> bool:
    """Tell whether the console of the firmware below a stage is one of serial ports.

    SeaBIOS' is the screen and the keyboard, but with ``graphics=off``.
    """
    return stage.on not in ("", "SeaBIOS")


def _agreed(said: set[bool]) -> bool | None:
    """Return what all versions say of a port; None: not all the same."""
    return said.pop() if len(said) == 1 else None


def _most(ports: Mapping[str, int], one: Assignment) -> int:
    """Return how many ports of the kind of one, from the first, a stage has."""
    if one.kind == "virtconsole" and one.address == "nr 0" and _NR_0 in ports:
        return ports[_NR_0]
    return ports.get(one.kind, 0)


def of_plan(plan: Plan, version: str = "") -> list[dict[str, Reached]]:
    """Return what each stage that a planned VM may go through has of its ports.

    Args:
        plan: with the ports.
        version: of its firmware; empty: unknown.
    """
    firmware = firmware_name(plan.machine)
    passed: dict[tuple[str, str], None] = {}
    for stage in STAGES:
        if stage.stage == "firmware" and stage.name != firmware:
            continue
        if stage.on in ("", firmware) and (not stage.archs or plan.machine.arch in stage.archs):
            passed[stage.name, stage.on] = None
    return [
        reached(of(name, version, on), plan.assignments, version) for name, on in passed
    ]  # fmt: skip


def words(plan: Plan, joined: Callable[[Iterable[str]], str], version: str = "") -> list[str]:
    """Return, in a sentence for each stage, which ports it reaches.

    Args:
        plan: with the ports.
        joined: makes one text of names, such as ``serial0-serial3``.
        version: of the firmware; empty: unknown.
    """
    said = []
    for ports in of_plan(plan, version):
        stage = next(iter(ports.values())).stage if ports else None
        if stage is None:
            continue
        speaks = joined(name for name, one in ports.items() if one.speaks) or "no port"
        obeys = joined(name for name, one in ports.items() if one.obeys)
        named = f"{stage.name} {version}".strip() if stage.stage == "firmware" else stage.name
        text = f"{stage.stage} ({named}): writes to {speaks}"
        if obeys:
            text += "; reads keys there" if obeys == speaks else f"; reads keys of {obeys}"
        if unsure := joined(name for name, one in ports.items() if one.speaks is None):
            text += f"; to {unsure} too in some versions ({versions_of(stage)})"
        said.append(f"{text} ({stage.only})" if stage.only else text)
    return said


def versions_of(stage: Stage) -> str:
    """Return which versions differ: ``OVMF 2025.02 does, OVMF 2022.11 does not``."""
    rows = of(stage.on if _shares(stage) else stage.name)
    newer = next((f"{one.since[0]}.{one.since[1]:02}" for one in rows if one.since), "")
    older = next((f"{one.until[0]}.{one.until[1]:02}" for one in rows if one.until), "")
    name = rows[0].name
    return f"{name} {newer} does, {name} {older} does not"


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
