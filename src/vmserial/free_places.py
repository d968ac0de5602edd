"""The PCI places that Proxmox VE leaves free, on each of its boards; data alone.

PVE has a fixed map of addresses (:mod:`vmserial.sources.pve.map`).  What is put
where its map has nothing stays where it is, whatever PVE adds to the VM later.
The emulator shim places ports here, too: nothing of PVE's own files is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vmserial.limits import PCI_SLOTS
from vmserial.model.machine import Machine

PVE_BRIDGE = "pci.2"
PVE_SLOTS = tuple(range(0x19, PCI_SLOTS))
"""What no configuration fills: PVE always has this bridge, on every board.

Bus 0's slot 0x1d is not among them: PVE puts the USB controllers of pve-usb.cfg
there, where an older VM on i440fx has a ``usbN`` without ``usb3``."""

PVE_SOCKETS = "/var/run/qemu-server/"
"""Where PVE's own lines put the sockets of a VM."""

_PATH: Mapping[str, str] = {"pc": "1f.0/", "virt": "1f.0/", "q35": "1e.0/03.0/"}
"""The slots and functions that lead to that bridge, by the machine type's platform."""

_ROOT_PORTS: Mapping[str, tuple[int, ...]] = {"virt": (0x1D,), "q35": (0x8, 0x7, 0x6, 0x5)}
"""Slots of ``pcie.0`` that nothing of PVE's takes; what has no address of PVE's own
(virtio-iommu, virtiofs) takes the lowest ones."""


def on_pve(machine: Machine, platform: str) -> Machine:
    """Return a machine whose ports may use only what PVE's map leaves free.

    Args:
        machine: any machine.
        platform: its machine type's: ``pc``, ``q35`` or ``virt``.
    """
    return replace(
        machine, free_bus=PVE_BRIDGE, free_slots=PVE_SLOTS, free_path=_PATH.get(platform, ""),
        root_port_slots=_ROOT_PORTS.get(platform, ()),
    )  # fmt: skip
