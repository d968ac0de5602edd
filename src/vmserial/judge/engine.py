"""Judging and mending a QEMU command line.  Pure; also run by the emulator shim."""

from __future__ import annotations

from vmserial.judge.apply import mended
from vmserial.judge.base import Flaw, Verdict, Wishes
from vmserial.judge.context import Scene
from vmserial.judge.rules_chardevs import HostSides
from vmserial.judge.rules_devices import Devices
from vmserial.judge.rules_places import Places
from vmserial.judge.rules_unplanned import unplanned
from vmserial.model import Capabilities, GuestProfile
from vmserial.sources.command import CommandLine, CommandView
from vmserial.sources.command.view import ReadFile

_ROUNDS = 32
"""A mended command is judged again, so often at most; one that has nothing more ends it.

As many as a PCI bus has slots: where a device that names none is moved away, the next one
of that sort gets its slot, and may be as much in the way there."""


def judge(
    command: CommandLine,
    capabilities: Capabilities,
    guest: GuestProfile,
    wishes: Wishes | None = None,
    *,
    read_file: ReadFile | None = None,
) -> Verdict:
    """Say what is wrong with a command line's serial ports, and mend what can be mended.

    What is not wrong keeps every byte, and a mended command line has nothing left to mend.

    Args:
        command: the command line.
        capabilities: the binary's; an empty device list means "unknown, has all".
        guest: what the guest's kernel carries.
        wishes: what its owner prefers.
        read_file: reads the files of -readconfig.

    Raises:
        ConfigError: a value of the command line is broken.
    """
    asked = wishes or Wishes()
    first = _judged(command, capabilities, guest, asked, read_file)
    last, changes = first, list(first.changes)
    for _ in range(_ROUNDS):
        if not last.changes:
            break
        # What a change made possible, or uncovered, is seen only now.
        last = _judged(last.command, capabilities, guest, asked, read_file)
        changes += last.changes
    return Verdict(first.flaws, tuple(changes), last.command, last.unmended)


def _judged(
    command: CommandLine,
    capabilities: Capabilities,
    guest: GuestProfile,
    wishes: Wishes,
    read_file: ReadFile | None,
) -> Verdict:
    """Judge and mend once."""
    view = CommandView.of(command, arch=capabilities.target, read_file=read_file)
    scene = Scene(command, view, capabilities, guest, wishes)
    sides = HostSides(scene)
    flaws: list[Flaw] = list(sides.flaws())
    if scene.platform is not None:
        devices = Devices(scene, sides.adopted)
        flaws += devices.flaws()
        flaws += Places(scene, devices.moved).flaws()
    else:
        flaws += unplanned(scene)
    done = mended(scene, flaws)
    return Verdict(tuple(flaws), tuple(done.changes), done.command, tuple(done.unmended))
