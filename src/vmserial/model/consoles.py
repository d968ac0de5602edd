"""What a kernel's command line says of its consoles, and which of them stay silent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmserial.records import record

_CONSOLE = re.compile(r"(?<!\S)console=(tty[A-Za-z]*|hvc|sclp_line)(\d+)")

ONE_EACH = ("ttyS", "ttyAMA")
"""Drivers with one console in all: of two ``console=`` the first registers, and that was it
(Linux 6.12: kernel/printk/printk.c, the first entry of the driver's name that matches)."""


@record(frozen=True)
class SilentConsole:
    """A ``console=`` on which the kernel may say nothing.

    Attributes:
        driver, number: of its node.
        first: the console that its driver has instead; empty: that is not the cause.
        late: its driver comes long after the consoles.
    """

    driver: str
    number: int
    first: str = ""
    late: bool = False

    @property
    def node(self) -> str:
        """``ttyS1``."""
        return f"{self.driver}{self.number}"

    def why(self, port: str = "", guest: str = "most kernels", ports: int | None = None) -> str:
        """Return the sentence of it, of a plan and of a command alike.

        Args:
            port: its name, where the node is a port's for certain.
            guest: what the kernel is called.
            ports: how many of the VM's ports can be nodes of the driver; None: none is this one.
        """
        if self.first:
            silent = f"{port} ({self.node})" if port else self.node
            return (f"a driver of Linux has one console, and {self.first} is it: {silent} gets no "
                    "kernel message and no login")  # fmt: skip
        if self.late:
            return (f"usb-serial is a module of {guest}, or found long after the consoles: the "
                    "kernel says nothing on it")  # fmt: skip
        counted = "" if ports is None else (
            f"of this VM's ports {ports} can be a {self.driver}, from 0: "
        )  # fmt: skip
        return f"{counted}no port of this VM is {self.node}: the kernel says nothing on it"


def consoles(append: str) -> list[tuple[str, int]]:
    """Return the driver and the number of each ``console=`` with a number, in order."""
    return [(found[1], int(found[2])) for found in _CONSOLE.finditer(append)]


def in_question(append: str) -> Iterator[SilentConsole]:
    """Yield each console that stays silent, and each that does unless a port is its node.

    Those that stay silent have ``first`` or ``late``: the second of its driver, or usb-serial.
    """
    first: dict[str, str] = {}
    for driver, number in dict.fromkeys(consoles(append)):
        node = f"{driver}{number}"
        winner = first.setdefault(driver, node) if driver in ONE_EACH else node
        yield SilentConsole(driver, number, winner if winner != node else "", driver == "ttyUSB")
