"""Which node of a guest is which port: by identity, from what sysfs says.

The guest's side (``farend.sh``) sends what it read as events; here they become
:class:`~vmserial.model.NodeIdentity`.  No order and no count decides anything,
but where the kernel's own rule is one (:class:`HvcSlots`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vmserial.model import NodeIdentity

_UART_SIZE = 8
_IO_SPACE = 1 << 16

_SCLP = {"ttysclp0": "sclpconsole", "sclp_line0": "sclplmconsole"}
"""Which of s390x' consoles Linux serves by which tty (drivers/s390/char: sclp_vt220.c,
sclp_tty.c)."""

# A directory of sysfs that is a PCI function: domain:bus:slot.function.
_FUNCTION = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:([0-9a-f]{2}\.[0-7])\Z")
_ROOT_BUS = re.compile(r"pci[0-9a-f]{4,}:[0-9a-f]{2}\Z")
# Linux 6.5 put "NAME:0" and below it "NAME:0.0" (serial-base) between a device and its UART.
_SERIAL_BASE = re.compile(r"[:.]\d+\Z")


@dataclass(frozen=True, slots=True)
class Node:
    """A serial port as the guest has it.

    Attributes:
        identity: by what it is known.
        path: the node to open, such as ``/dev/ttyUSB0``.
        name: the kernel's name, such as ``ttyUSB0`` or ``vport0p1``.
        seen: the guest's uptime when it was first seen, in seconds (10 ms steps).
    """

    identity: NodeIdentity
    path: str
    name: str
    seen: float


def number(text: str) -> int | None:
    """Return a number of sysfs (``0x3F8``, ``16``), or None for ``-`` and other text."""
    try:
        return int(text, 0)
    except ValueError:
        return None


def pci_path(sysfs: str) -> str:
    """Return the slot.function pairs of a device's own PCI function, empty if it is none.

    ``…/pci0000:00/0000:00:1c.0/0000:01:00.0`` is ``1c.0/00.0``.  Bus numbers
    are dropped: firmware and kernel number buses as they like.  A device that
    only sits somewhere below a PCI function (a UART behind an LPC bridge) is none.
    """
    parts = sysfs.split("/")
    while len(parts) > 1 and _SERIAL_BASE.match(_beyond(parts[-1], parts[-2])):
        parts.pop()
    path: list[str] = []
    while parts and (match := _FUNCTION.match(parts[-1])):
        path.insert(0, match.group(1))
        parts.pop()
    return "/".join(path) if parts and _ROOT_BUS.match(parts[-1]) else ""


def _beyond(name: str, parent: str) -> str:
    """Return what a name has more than its parent's; empty if it does not begin with it."""
    return name.removeprefix(parent) if name.startswith(parent) else ""


def tty_node(text: str) -> Node | None:
    """Read the event ``n``: NAME UPTIME TYPE PORT IOMEM BAR SYSFS-PATH [SERIAL].

    Returns None for a tty that has no identity, such as a USB converter
    without a serial string.
    """
    fields = text.split(" ", 7)
    if len(fields) < 7:
        return None
    name, seen, _, port_text, iomem_text, bar_text, sysfs = fields[:7]
    serial = fields[7].strip() if len(fields) > 7 else ""
    bus, _, place = sysfs.removeprefix("/devices/").partition("/")
    identity: NodeIdentity | None
    if bus == "vio":
        identity = NodeIdentity("vio", f"{int(place, 16):#x}")
    elif bus == "sclp":
        identity = NodeIdentity("sclp", _SCLP[place]) if place in _SCLP else None
    elif name.startswith("ttyUSB"):
        identity = NodeIdentity("usb", serial) if serial else None
    else:
        identity = _uart(sysfs, number(port_text), number(iomem_text), number(bar_text))
    if identity is None:
        return None
    return Node(identity, f"/dev/{name}", name, float(seen))


def _uart(sysfs: str, port: int | None, iomem: int | None, bar: int | None) -> NodeIdentity | None:
    path = pci_path(sysfs)
    if path:
        if port and bar is not None and bar <= port:
            # ppc64 puts the ports of each host bridge 64 KiB further than the device has them.
            return NodeIdentity("pci", f"{path}#{(port - bar) % _IO_SPACE // _UART_SIZE}")
        # A UART in memory space; its functions have one each.
        return NodeIdentity("pci", f"{path}#0")
    if iomem:
        return NodeIdentity("mmio", f"{iomem:#x}")
    if port:
        return NodeIdentity("io", f"{port:#x}")
    return None


class HvcSlots:
    """Which hvc belongs to which virtconsole, as far as the kernel's rule tells.

    sysfs does not say; debugfs gives each console port's ``console_vtermno``.
    Linux gives a new console the next vtermno (newer kernels: the lowest that is
    free) and then, in ``hvc_alloc()``, the lowest hvc that is free.  So a
    console that is seen coming alone has the lowest free hvc.  Of several that
    came together (at the first look), the rule tells only if

    * their vtermno are 1 to n without a gap: then no console below n ever went,
      and each found all lower hvc taken; and
    * they are on one controller: two controllers introduce their consoles at the
      same time, and vtermno and hvc can be taken in different order (seen on
      6.12); up to 6.1 two consoles can even get one vtermno, and one is dead.

    Otherwise :meth:`add` says that it is not sure, and they must be probed.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._fresh = True

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def looked(self) -> None:
        """All consoles of the first look were told: what comes from now on is seen coming."""
        self._fresh = False

    def add(self, terms: Mapping[str, int]) -> dict[str, tuple[int, bool]]:
        """Place new consoles (port name to vtermno); return each one's hvc and certainty."""
        together = len({name.partition("p")[2].partition("p")[0] for name in terms}) == 1
        gapless = sorted(terms.values()) == list(range(1, len(terms) + 1))
        sure = together and gapless if self._fresh else len(terms) == 1
        placed: dict[str, tuple[int, bool]] = {}
        for name in sorted(terms, key=lambda name: terms[name]):
            used = set(self._taken.values())
            slot = next(slot for slot in range(len(used) + 1) if slot not in used)
            self._taken[name] = slot
            placed[name] = (slot, sure)
        return placed

    def take(self, name: str, hvc: int) -> None:
        """Note that a tty that is no virtconsole has an hvc: pseries' spapr-vty."""
        self._taken[name] = hvc

    def correct(self, name: str, hvc: int) -> None:
        """Take what a probe found instead of the rule's guess."""
        self._taken[name] = hvc

    def remove(self, name: str) -> None:
        """Give back a console's hvc."""
        self._taken.pop(name, None)
