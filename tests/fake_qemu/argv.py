"""The fake's own reading of a QEMU command line; it shares no code with the product."""

from __future__ import annotations

from dataclasses import dataclass, field

ALONE = frozenset(
    {"-S", "-nodefaults", "-no-reboot", "-no-shutdown", "-no-user-config", "-nographic"}
)
"""Flags without a value."""


@dataclass
class CommandLine:
    """What the fake acts on; options that it has no part for are kept in ``others``."""

    chardevs: list[dict[str, str]] = field(default_factory=list)
    devices: list[dict[str, str]] = field(default_factory=list)
    serials: list[str] = field(default_factory=list)
    monitors: list[dict[str, str]] = field(default_factory=list)
    paused: bool = False
    append: str = ""
    machine: str = ""
    others: list[tuple[str, str]] = field(default_factory=list)


def pairs(text: str, head: str) -> dict[str, str]:
    """Return ``HEAD,key=value,…`` as a dict, the head under the key ``head``."""
    result: dict[str, str] = {}
    for part in text.replace(",,", "\0").split(","):
        key, equals, value = part.replace("\0", ",").partition("=")
        if equals:
            result[key] = value
        elif head not in result:
            result[head] = key
        else:
            result[key] = "on"
    return result


def parse(words: list[str]) -> CommandLine:
    """Return what ``words`` (without the program's name) ask for."""
    line = CommandLine()
    rest = iter(words)
    for flag in rest:
        if flag in ALONE:
            line.paused = line.paused or flag == "-S"
            continue
        value = next(rest)
        if flag == "-chardev":
            line.chardevs.append(pairs(value, "backend"))
        elif flag == "-device":
            line.devices.append(pairs(value, "driver"))
        elif flag == "-serial":
            line.serials.append(value)
        elif flag == "-mon":
            line.monitors.append(pairs(value, "chardev"))
        elif flag == "-qmp":
            line.monitors.append({"chardev": value.removeprefix("chardev:")})
        elif flag == "-append":
            line.append = value
        elif flag in ("-machine", "-M"):
            line.machine = pairs(value, "type")["type"]
        else:
            line.others.append((flag, value))
    return line
