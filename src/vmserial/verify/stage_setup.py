"""How a firmware is started with nothing but itself on a VM's ports, and what is known of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from vmserial.errors import UsageError
from vmserial.guests import grub
from vmserial.guests.firmware import Firmware
from vmserial.guests.images import TestGuest
from vmserial.guests.profile import without_limits
from vmserial.machines import architecture
from vmserial.model import Capabilities, Machine, Plan
from vmserial.options import render
from vmserial.paths import RunDirectory
from vmserial.planning.planner import plan, require
from vmserial.planning.stages import Reached, Stage, of, reached
from vmserial.verify.request import TestEnvironment
from vmserial.verify.setup import MEMORY_MIB, Setup, platform, private

MARK = "vmserial-mark"
"""The host side on which GRUB of BIOS says that it waits, where it has no port to say it on."""

_KEPT = frozenset({"machine", "controller", "chardev", "serial"})


def stages_of(firmware: Firmware) -> tuple[Stage, ...]:
    """Return the table's entries of a firmware: several where its version is not known."""
    if not firmware.grub:
        return of(firmware.name, firmware.version)
    return of(firmware.name, on=firmware.below.name if firmware.below else "SeaBIOS")


def expected_of(firmware: Firmware, made: Setup, table: Stage | None = None) -> dict[str, Reached]:
    """Return, by port, what the table says of a firmware."""
    below = firmware.below.version if firmware.below is not None else ""
    return reached(table or stages_of(firmware), made.plan.assignments, below)


def environment_of(firmware: Firmware, capabilities: Capabilities) -> TestEnvironment:
    """Return a firmware as a guest.

    Raises:
        UsageError: this QEMU does not start it.
    """
    version = capabilities.version
    first = firmware.below or firmware
    if version and version < first.needs:
        least = ".".join(map(str, first.needs))
        raise UsageError(
            f"QEMU {capabilities.version_text} does not start {first.name}, {least} "
            "and later do", hint="name one: --qemu; scripts/fetch-qemu fetches one", where="--qemu",
        )  # fmt: skip
    none = firmware.path or Path()
    guest = TestGuest(
        name=firmware.title, arch=firmware.arch, suite="",
        release=firmware.version, kernel=none, packed=none, initrd=Path(), config=None,
        profile=without_limits(firmware.name, "a firmware, and no Linux"),
        console=architecture(firmware.arch).console,
        shell="control", append="", firmware=firmware.path,
    )  # fmt: skip
    return TestEnvironment(capabilities, guest)


def setup(
    machine: Machine, firmware: Firmware, environment: TestEnvironment, rundir: RunDirectory,
    mirror: str = "",
) -> Setup:  # fmt: skip
    """Plan a machine's board and ports, and return how it is started with nothing but a firmware.

    Raises:
        PlanRefused: its ports cannot be carried.
        ImageError: GRUB's image cannot be made.
    """
    board = architecture(machine.arch).platform(machine.machine_type)
    least = board.least_memory_mib if board is not None else 0
    tested = replace(
        platform(machine, [private(one, "unix", rundir.socket) for one in machine.ports]),
        memory_mib=max(MEMORY_MIB, least),
    )
    made = plan(tested, environment.capabilities, environment.guest.profile)
    require(made)
    argv = (
        environment.capabilities.binary,
        *render([option for option in made.options if option.role in _KEPT]),
        *_given(firmware, made, rundir, mirror), *firmware.words, "-display", "none",
    )  # fmt: skip
    return Setup(made, argv, (f"{firmware.title} ({firmware.origin})",))


def _given(firmware: Firmware, made: Plan, rundir: RunDirectory, mirror: str) -> tuple[str, ...]:
    """Return the options that give QEMU a firmware; its variables are a private copy."""
    path = firmware.path
    if path is None:
        return ()
    if firmware.grub:
        to = Path(rundir.socket("grub"))
        config = grub.configuration(firmware.grub, made.assignments, told=firmware.told)
        grub.image(firmware.grub, path.parent, config, to, mirror=mirror, suite=firmware.suite)
        loaded = ("-kernel", str(to))
        if firmware.below is not None:
            return (*_given(firmware.below, made, rundir, mirror), *loaded)
        mark = f"socket,id={MARK},path={rundir.socket(MARK)},server=on,wait=off"
        return (*loaded, "-chardev", mark,
                "-device", f"isa-debugcon,iobase={grub.MARK:#x},chardev={MARK}")  # fmt: skip
    if firmware.how != "pflash":
        return (f"-{firmware.how}", str(path))
    name = str(path).replace(",", ",,")
    given = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={name}"]
    variables = path.with_name(path.name.replace("_CODE", "_VARS").split(".")[0] + ".fd")
    if variables != path and variables.is_file():
        copy = Path(rundir.socket("vars"))
        shutil.copyfile(variables, copy)
        copy.chmod(0o600)
        given += ["-drive", f"if=pflash,unit=1,format=raw,file={str(copy).replace(',', ',,')}"]
    return tuple(given)
