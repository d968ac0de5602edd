"""A lowered command as the QEMU of this machine takes it; pure.

What PVE or libvirt start is for the QEMU of their own host.  Where this machine's is older,
or is not PVE's, a versioned machine type may be unknown to it: the same board of its own
version has the same buses and ports.
"""

from __future__ import annotations

from dataclasses import replace

from vmserial.errors import UsageError
from vmserial.machines import architecture
from vmserial.model import Capabilities
from vmserial.model.origin import LoweredCommand
from vmserial.options import Option
from vmserial.sources.command import CommandLine


def adapted(lowered: LoweredCommand, capabilities: Capabilities) -> tuple[CommandLine, list[str]]:
    """Return a lowered command as words, and what had to be changed for this binary.

    Args:
        lowered: what its owner starts.
        capabilities: of the binary that is to run it; one without machines knows all.
    """
    notes: list[str] = []
    words = [lowered.program]
    for each in lowered.options:
        option = each.option
        if option.flag in {"-machine", "-M"} and capabilities.machines:
            option = _known(option, capabilities, notes)
        words += option.argv()
    return CommandLine.from_words(words, lowered.name or "command line"), notes


def _known(option: Option, capabilities: Capabilities, notes: list[str]) -> Option:
    """Return -machine with a type that the binary has."""
    wanted = option.head or str(dict(option.params).get("type", ""))
    name = wanted.partition("+pve")[0]
    if not name or name in capabilities.machines:
        return option
    try:
        platform = architecture(capabilities.target).platform(name)
    except UsageError:
        platform = None
    if platform is None or platform.name not in capabilities.machines:
        return option
    notes.append(f"QEMU {capabilities.version_text} has no {name}: {platform.name} is taken")
    if option.head:
        return replace(option, head=platform.name)
    params = tuple((key, platform.name if key == "type" else v) for key, v in option.params)
    return replace(option, params=params)
