"""The VMs of a run as a report shows them, and the file that keeps them beside the results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmserial.errors import UsageError
from vmserial.options import pretty
from vmserial.report.reproduce import again
from vmserial.report.topology import Box, Line, Picture, Text, draw
from vmserial.verify.results import Check, RunFacts, combined, grouped
from vmserial.verify.typed import typed

if TYPE_CHECKING:
    from vmserial.verify.request import Booted

LOG_FILE = re.compile(r"console-[A-Za-z0-9.+-]+\.log")
"""What a console's log is called: a file of the report's own directory, and no other address."""

LOG_CHARACTERS = 40_000
"""How much of a console's log a page shows: its end, where a VM's end has its reason."""


@dataclass(frozen=True, slots=True)
class Vm:
    """One VM that checks were done on.

    Attributes:
        title: as in the checks' ``vm``, such as ``aarch64 virt usb, 10 ports``.
        qemu: the binary's version text, as in the checks.
        guest: its name, as in the checks.
        picture: where each port is, and what the guest had for it.
        command: the command line that it was started with, as shell text.
        again: the vmserial command that tries this VM again; empty where nobody can tell.
        cases: what was tried on it.
        warnings, assumptions: the plan's.
        notes: what was left out of it or changed, and why.
        log: the end of what its console said.
        log_file: the file with all of it, in the same directory; empty if it said nothing.
    """

    title: str
    qemu: str
    guest: str
    picture: Picture
    command: str = ""
    again: str = ""
    cases: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    log: str = ""
    log_file: str = ""


def place(one: Check | Vm) -> tuple[str, str, str]:
    """Return what tells VMs of one run apart, of a VM or of a check that was done on it."""
    return (one.title if isinstance(one, Vm) else one.vm), one.qemu, one.guest


def of_booted(booted: Booted, run: RunFacts, checks: Iterable[Check]) -> Vm:
    """Return a VM that was started as a report shows it.

    Args:
        booted: the VM.
        run: how the whole run was called.
        checks: of all VMs; those of this one colour its picture.
    """
    qemu, guest = booted.environment.capabilities.version_text, booted.environment.guest
    where = booted.title, qemu, guest.name
    mine = [check for check in checks if place(check) == where]
    verdicts = {
        port: verdict
        for port, group in grouped(mine, lambda c: c.port).items()
        if (verdict := combined(group)) is not None
    }
    return Vm(
        title=booted.title,
        qemu=qemu,
        guest=guest.name,
        picture=draw(booted.plan, booted.nodes, verdicts, booted.title),
        command=pretty(list(booted.argv)),
        again=again(
            run.call, run.seed, cases=booted.cases, kind=booted.kind,
            arch=guest.arch, suite=guest.suite, binary=booted.environment.capabilities.binary,
        ),
        cases=booted.cases,
        warnings=tuple(booted.plan.warnings),
        assumptions=tuple(booted.plan.assumptions),
        notes=booted.notes,
        log=booted.console[-LOG_CHARACTERS:],
        log_file=booted.log_file,
    )  # fmt: skip


# ------------------------------------------------------------------ the file


def vms_text(runs: Sequence[Sequence[Vm]]) -> str:
    """Return the file that keeps the VMs of each run, in the order of the runs."""
    return json.dumps([[asdict(vm) for vm in run] for run in runs], ensure_ascii=False) + "\n"


def read_vms(path: Path) -> list[tuple[Vm, ...]]:
    """Return the VMs of each run; none if there is no such file, as of a run that was killed.

    Raises:
        UsageError: the file cannot be read, or is not one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"cannot read {path}: {error}", hint="take it away: a report is made without it"
        ) from None
    try:
        return [tuple(_vm(one) for one in _listed(run)) for run in _listed(json.loads(text))]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"not the VMs of a run: {error}",
            hint="take it away: a report is made without it", where=str(path),
        ) from None  # fmt: skip


def _listed(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TypeError("not a list")
    return data


def _vm(data: Any) -> Vm:
    drawn = data["picture"]
    picture = typed(Picture, drawn)
    for name, kind in _PARTS.items():
        picture[name] = [kind(**typed(kind, one)) for one in _listed(drawn[name])]
    found = typed(Vm, {key: value for key, value in data.items() if key != "picture"})
    for field in fields(Vm):
        words = found.get(field.name)
        if isinstance(words, tuple) and not all(isinstance(word, str) for word in words):
            raise TypeError(f"{field.name} is not words")
    if found.get("log_file", "") and not LOG_FILE.fullmatch(found["log_file"]):
        raise ValueError(f"log_file is {found['log_file']!r}")
    return Vm(**found, picture=Picture(**picture))


_PARTS: dict[str, type[Any]] = {"panels": Box, "lines": Line, "boxes": Box, "texts": Text}
