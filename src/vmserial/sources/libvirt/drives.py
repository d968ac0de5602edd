"""Where libvirt puts the disks of a domain that sit behind a controller.  Pure.

Facts of libvirt 9.0, seen in what it makes of domains.
"""

from __future__ import annotations

from vmserial.sources.libvirt.chardevice import whole
from vmserial.sources.libvirt.elements import Element

_SCSI_DISKS, _SATA_DISKS, _IDE_DISKS, _IDE_UNITS = 7, 6, 4, 2
"""Disks of one controller, and of one channel of an IDE controller."""

_BUS = {"vd": "virtio", "hd": "ide", "sd": "scsi"}

Place = tuple[int, int, int, int]
"""Controller, bus, target and unit."""


def drive_bus(element: Element) -> str:
    """Return the bus of a ``<disk>``; where none is said, its name tells."""
    target = element.child("target")
    if target is None:
        return ""
    return target.get("bus") or _BUS.get(target.get("dev")[:2], "")


def drive_number(name: str) -> int:
    """Return the number of a disk by the letters of its name, such as ``vdb``; -1 for none."""
    letters = name[2:]
    if not letters or not letters.isascii() or not letters.isalpha():
        return -1
    number = 0
    for letter in letters.lower():
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def drive_place(element: Element) -> Place | None:
    """Return the place of a ``<disk>`` behind a controller: as it is stated, or by its name."""
    address, bus = element.child("address"), drive_bus(element)
    if bus not in {"scsi", "sata", "ide"}:
        return None
    if address is not None and address.get("type") == "drive":
        controller, channel, target, unit = (
            whole(address.get(key)) for key in ("controller", "bus", "target", "unit")
        )
        return controller, channel, target, unit
    named = element.child("target")
    index = drive_number(named.get("dev")) if named is not None else -1
    if index < 0:
        return None
    if bus == "ide":
        channel = index % _IDE_DISKS // _IDE_UNITS
        return index // _IDE_DISKS, channel, 0, index % _IDE_UNITS
    size = _SCSI_DISKS if bus == "scsi" else _SATA_DISKS
    return index // size, 0, 0, index % size
