"""What mends a finding, and what the owner of a VM prefers where there is a choice."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from itertools import count

from vmserial.context.ports import Port
from vmserial.model import Repair
from vmserial.records import record
from vmserial.sources.command import CommandOption, Edit


@dataclass(frozen=True)
class RepairPolicy:
    """What the owner prefers where there is a choice.

    Attributes:
        kind: the device kind of a port that needs another one; ``auto``: the first that fits.
        hotplug: every port but the first must be hot-pluggable.
        logs: a directory; each chardev of a port without a log gets one there.
        cautious: repair only what QEMU itself shows to be wrong: nothing that rests on an
            assumed guest, and no host side (:attr:`vmserial.model.Finding.assumed`).  The
            shim asks for it: nobody sees what it does.
        kinds: the device kinds that are asked for of single ports, by the port's name.
        hotplugs: the names of single ports that must be hot-pluggable.
        avoid: kinds that no port gets unasked.
        assumed_guest: what an assumed guest has no room for is a reason to move a port; else
            it is only said.
    """

    kind: str = "auto"
    hotplug: bool = False
    logs: str = ""
    cautious: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)
    hotplugs: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()
    assumed_guest: bool = True


@record(frozen=True)
class Relocate(Repair):
    """Give a port a device and a place of its own.

    Attributes:
        port: the port.
        kind: the device kind; empty: what the owner prefers.
        keep: its device stays what it is and only gets another place.
    """

    port: Port
    kind: str = ""
    keep: bool = False


@record(frozen=True)
class MovePci(Repair):
    """Give a PCI device another address on the root bus."""

    option: CommandOption
    name: str


@record(frozen=True)
class EditOptions(Repair):
    """Change options of the command line.

    Attributes:
        edits: the changes.
        text: what they are, for people.
    """

    edits: tuple[Edit, ...]
    text: str


def stays_as_it_is(port: Port) -> Relocate:
    """Return how a port gets another place, while its device stays what it is."""
    kinds = {"usb-serial": "usb", "virtconsole": "virtconsole"}
    return Relocate(port, kind=kinds.get(port.driver, "virtio"), keep=True)


def fresh(id: str, taken: Container[str]) -> str:
    """Return the first of ``ID-2``, ``ID-3``, … that nothing has."""
    return next(new for number in count(2) if (new := f"{id}-{number}") not in taken)
