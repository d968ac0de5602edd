"""What PVE's own lines and its own command say of a port; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from vmserial.model import HostTty, SerialPort, UnixSocket

_DEVICE = re.compile(r"/dev/[^,]+\Z")


def own_line(port: SerialPort) -> str:
    """Return the value of PVE's own line for a port's backend; empty if it has none."""
    backend = port.chardev.backend
    if isinstance(backend, HostTty) and _DEVICE.match(backend.path):
        return backend.path
    if isinstance(backend, UnixSocket):
        pve = rf"/var/run/qemu-server/[0-9]+\.serial{port.index}\Z"
        plain = replace(backend, path="") == UnixSocket("")
        return "socket" if plain and re.match(pve, backend.path) else ""
    return ""


def has_isa(words: Iterable[str]) -> bool:
    """Tell whether a command's words make an isa-serial."""
    return any(
        flag.lstrip("-") == "device" and re.match(r"(?:driver=)?isa-serial(?:,|\Z)", value)
        for flag, value in pairwise(words)
    )


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """Return the options of words that are all flag and value."""
    return list(zip(words[::2], words[1::2], strict=True))


def concerns(pair: tuple[str, str], name: str) -> bool:
    """Tell whether an option is about the chardev of this name."""
    return re.search(rf"(?:=|:){name}(?:,|\Z)", pair[1]) is not None
