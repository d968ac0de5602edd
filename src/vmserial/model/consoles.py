"""What a kernel's command line says of its consoles, and which of them stay silent."""

from __future__ import annotations

import re

_CONSOLE = re.compile(r"(?<!\S)console=(tty[A-Za-z]*|hvc|sclp_line)(\d+)")

ONE_EACH = ("ttyS", "ttyAMA")
"""Drivers with one console in all: of two ``console=`` the first registers, and that was it
(Linux 6.12: kernel/printk/printk.c, the first entry of the driver's name that matches)."""


def consoles(append: str) -> list[tuple[str, int]]:
    """Return the driver and the number of each ``console=`` with a number, in order."""
    return [(found[1], int(found[2])) for found in _CONSOLE.finditer(append)]


def second_ones(append: str) -> list[tuple[str, str]]:
    """Return each console that stays silent as a second one of its driver, and the first one."""
    first: dict[str, str] = {}
    silent = []
    for driver, number in consoles(append):
        node = f"{driver}{number}"
        if driver in ONE_EACH and first.setdefault(driver, node) != node:
            silent.append((node, first[driver]))
    return list(dict.fromkeys(silent))
