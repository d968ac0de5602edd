"""Which number Linux gives a port's node when a guest first boots with all ports plugged.

A port is known by its identity; the number is what people type.  It follows from the order
in which Linux finds things, where that order is fixed: the 8250 driver's lines by PCI address,
usb by the port of one controller, hvc by the port number of one controller.  Where two
controllers are looked at side by side, or something else takes numbers, none is said.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vmserial.allocator import Allocator
from vmserial.limits import HVC_NODE, ISA_SERIAL_PORTS
from vmserial.model import PCI_UARTS, Assignment, GuestProfile


def numbered(allocator: Allocator, assignments: Sequence[Assignment]) -> list[Assignment]:
    """Return the assignments with the node of a first boot, where it is certain."""
    plugged = [a for a in assignments if a.port.state == "plugged"]
    nodes = {a.port.name: a.node for a in plugged if "*" not in a.node}
    if len(plugged) == len(assignments):
        nodes.update(_uarts(allocator, plugged))
        nodes.update(_usb(allocator, plugged))
        nodes.update(_consoles(allocator, plugged))
    return [replace(a, at_boot=nodes.get(a.port.name, "")) for a in assignments]


# ------------------------------------------------------------------ 8250


def _uarts(allocator: Allocator, assignments: Sequence[Assignment]) -> Iterator[tuple[str, str]]:
    """Yield the ttyS of ports behind PCI: lines are given out in the order of addresses."""
    on_pci = [a for a in assignments if a.identity.kind == "pci" and a.device is not None]
    fixed = {
        int(a.node.removeprefix("/dev/ttyS"))
        for a in assignments
        if a.node.startswith("/dev/ttyS") and "*" not in a.node
    }
    uart = allocator.platform.uart
    if uart is not None and uart.is_8250:
        if uart.is_late(allocator.machine.machine_options):
            # It comes after those on PCI, or never: that depends on the kernel.
            return
        # They are there whether a -serial is connected to them or not.
        fixed |= set(range(allocator.uarts_used + allocator.uarts_left))
    cards = {a.device.id: a.device.driver for a in on_pci if a.device is not None}
    if allocator.uarts_8250 != len(fixed) + sum(PCI_UARTS[d] for d in cards.values()):
        # Others of the user's own are among them.
        return
    lines = _lines(allocator.guest, fixed, legacy=allocator.platform.isa)
    given: dict[tuple[str, int], int] = {}
    for path, driver in sorted(
        {(_function(a), a.device.driver) for a in on_pci if a.device is not None}, key=_as_scanned
    ):
        # All UARTs of a card get a line, used or not.
        for number in range(PCI_UARTS[driver]):
            given[path, number] = next(lines, -1)
    for a in on_pci:
        line = given[_function(a), int(a.identity.value.partition("#")[2])]
        if line >= 0:
            yield a.port.name, f"/dev/ttyS{line}"


def _function(assignment: Assignment) -> str:
    """Return the path of a port's PCI function: ``1d.2/00.0``."""
    return assignment.identity.value.partition("#")[0]


def _as_scanned(function: tuple[str, str]) -> tuple[tuple[bool, str], ...]:
    """Return the order in which Linux finds PCI functions.

    It takes a whole bus by slot and function, then what is behind each of its bridges
    (``pci_scan_child_bus_extend()``, drivers/pci/probe.c).
    """
    steps = function[0].split("/")
    return tuple((number < len(steps) - 1, step) for number, step in enumerate(steps))


def _lines(guest: GuestProfile, taken: set[int], *, legacy: bool) -> Iterator[int]:
    """Yield the 8250 driver's free lines in the order in which it gives them out.

    First those that no port ever had, and on a PC the four classic ones count as had
    (``serial8250_find_match_or_unused()``, drivers/tty/serial/8250/8250_core.c); from
    Linux 6.5 on past RUNTIME_UARTS when these are used up.
    """
    ready = guest.nr_uarts_parameter
    if ready is None:
        ready = guest.runtime_uarts
    ready = min(ready, guest.nr_uarts)
    classic = ISA_SERIAL_PORTS if legacy else 0
    order = [*range(classic, ready), *range(min(classic, ready)), *range(ready, guest.uarts_8250)]
    yield from (line for line in order if line not in taken)


# ------------------------------------------------------------------ ttyUSB, hvc


def _usb(allocator: Allocator, assignments: Sequence[Assignment]) -> Iterator[tuple[str, str]]:
    """Yield the ttyUSB of ports on one controller: its hub is gone through port by port."""
    mine = [a for a in assignments if a.identity.kind == "usb"]
    if len({a.bus for a in mine}) > 1 or allocator.ttyusb != len(mine):
        return
    mine.sort(key=lambda a: _number(a, "port"))
    yield from ((a.port.name, f"/dev/ttyUSB{number}") for number, a in enumerate(mine))


def _consoles(allocator: Allocator, assignments: Sequence[Assignment]) -> Iterator[tuple[str, str]]:
    """Yield the hvc of virtconsoles on one controller; a board's own come first."""
    mine = [a for a in assignments if a.kind == "virtconsole"]
    first = sum(a.kind == "uart" and a.node.startswith(HVC_NODE) for a in assignments)
    if len({a.bus for a in mine}) > 1 or allocator.hvc != first + len(mine):
        return
    mine.sort(key=lambda a: _number(a, "nr"))
    for number, a in enumerate(mine, first):
        yield a.port.name, f"{HVC_NODE}{number}"


def _number(assignment: Assignment, name: str) -> tuple[int, ...]:
    """Return a device's place on its bus; of a port behind a hub its whole path."""
    properties = dict(assignment.device.properties) if assignment.device is not None else {}
    return tuple(int(step) for step in str(properties.get(name, 0)).split("."))
