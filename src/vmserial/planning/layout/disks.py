"""Disks and their controllers, at the places that PVE gives them."""

from __future__ import annotations

import re

from vmserial.model import Disk, refusal
from vmserial.options import Scalar
from vmserial.planning.layout.base import Params, Section

SCSI_DRIVERS = {
    "lsi": "lsi53c895a",
    "lsi53c810": "lsi53c810",
    "megasas": "megasas",
    "pvscsi": "pvscsi",
    "virtio-scsi-pci": "virtio-scsi-pci",
    "virtio-scsi-single": "virtio-scsi-pci",
}
LSI_DISKS = 7
"""Disks of one lsi controller; further ones get another, as in PVE."""


class Disks(Section):
    """The disks' part of a layout."""

    def disks(self, chosen: tuple[Disk, ...] | None = None) -> None:
        """Add controllers and drives; what the board has no bus for moves to scsi.

        Args:
            chosen: add only these.
        """
        sata_ready = False
        scsi_used = {disk.index for disk in self.allocator.machine.disks if disk.bus == "scsi"}
        for disk in self.allocator.machine.disks if chosen is None else chosen:
            bus, index = disk.bus, disk.index
            name = f"{bus}{index}"
            if bus == "ide" and not self.allocator.platform.ide:
                index = next(n for n in range(256) if n not in scsi_used)
                scsi_used.add(index)
                self.note(
                    f"{name}: there is no IDE on {self.allocator.architecture.name}: it becomes "
                    f"scsi{index}",
                    f"the guest must have the driver of {self.scsi_driver}",
                    disk.where,
                )
                bus = "scsi"
            node = f"drive-{name}"
            device: list[tuple[str, Scalar]] = [("id", name)]
            if disk.path:
                self.block(node, disk)
                device.append(("drive", node))
            if disk.boot_index:
                device.append(("bootindex", disk.boot_index))
            if disk.serial:
                device.append(("serial", disk.serial))
            if bus == "virtio":
                driver = "virtio-blk-pci"
                slot = 0xA + index if index < 6 else 0x1F
                device[1:1] = self.at(slot)
            elif bus == "scsi":
                driver = "scsi-cd" if disk.cdrom else "scsi-hd"
                device[1:1] = self.scsi_place(index)
            elif bus == "sata":
                if not sata_ready:
                    if not self.need("ich9-ahci", name, disk.where, "use scsi or virtio"):
                        continue
                    self.add("-device", "ich9-ahci", ("id", "ahci0"), *self.at(7), role="disk")
                    sata_ready = True
                driver = "ide-cd" if disk.cdrom else "ide-hd"
                device[1:1] = [("bus", f"ahci0.{index}"), ("unit", 0)]
            else:
                driver = "ide-cd" if disk.cdrom else "ide-hd"
                if self.allocator.platform.ide == "six-ports":
                    device[1:1] = [("bus", f"ide.{index}"), ("unit", 0)]
                else:
                    device[1:1] = [("bus", f"ide.{index // 2}"), ("unit", index % 2)]
            device += self.properties(disk, driver)
            if self.need(driver, name, disk.where, "use scsi or virtio"):
                self.add("-device", driver, *device, role="disk")

    def properties(self, disk: Disk, driver: str) -> Params:
        """Return what a drive's line says of it beside its place and its medium."""
        name = f"{disk.bus}{disk.index}"
        found: list[tuple[str, Scalar]] = []
        if disk.ssd and driver in {"ide-hd", "scsi-hd"}:
            found.append(("rotation_rate", 1))
        elif disk.ssd:
            self.left_out(f"{name}: ssd", f"{driver} has no such property", disk.where)
        if disk.cache in {"writethrough", "directsync"} and not disk.cdrom:
            # -blockdev cannot say it; -drive would set the same property.
            found.append(("write-cache", False))
        if disk.readonly and driver == "ide-hd":
            self.refusals.append(
                refusal(
                    "disk-readonly",
                    f"{name}: QEMU has no read-only disks on {disk.bus}",
                    "use scsi or virtio, or media=cdrom",
                    where=disk.where,
                )
            )
        return tuple(found)

    def block(self, node: str, disk: Disk) -> None:
        """Append ``-blockdev``: unlike -drive, no value of it can name a protocol."""
        cache: list[tuple[str, Scalar]] = []
        if disk.cache in {"none", "directsync", ""} and not disk.cdrom:
            cache.append(("cache.direct", True))
        if disk.cache == "unsafe":
            cache.append(("cache.no-flush", True))
        file: list[tuple[str, Scalar]] = [
            ("file.driver", _file_driver(disk)),
            ("file.filename", disk.path),
            *((f"file.{key}", value) for key, value in cache),
        ]
        self.add(
            "-blockdev",
            "",
            ("driver", disk.format),
            ("node-name", node),
            ("read-only", disk.cdrom or disk.readonly),
            ("discard", "unmap" if disk.discard else "ignore"),
            *cache,
            *file,
            role="disk",
        )

    @property
    def scsi_driver(self) -> str:
        """The SCSI controller's driver, replaced where the binary lacks it."""
        wanted = SCSI_DRIVERS.get(self.allocator.machine.scsi_controller, "virtio-scsi-pci")
        return wanted if self.has(wanted) else "virtio-scsi-pci"

    def scsi_place(self, index: int) -> Params:
        """Return the place of ``scsi<index>``, adding its controller where it is the first."""
        # An lsi's bus has ids 0 to 7, one of them its own.
        size = LSI_DISKS if self.scsi_driver.startswith("lsi") else 256
        number, unit = divmod(index, size)
        name = f"scsihw{number}"
        if name not in self._scsi:
            self._scsi.add(name)
            self.scsi_controller(number, name)
        if self.scsi_driver == "virtio-scsi-pci":
            return (("bus", f"{name}.0"), ("channel", 0), ("scsi-id", 0), ("lun", unit))
        return (("bus", f"{name}.0"), ("scsi-id", unit))

    def scsi_controller(self, number: int, name: str) -> None:
        """Add a SCSI controller."""
        wanted = self.allocator.machine.scsi_controller
        driver = self.scsi_driver
        if number == 0 and driver != SCSI_DRIVERS.get(wanted, ""):
            self.note(
                f"scsihw {wanted} is not in this QEMU: virtio-scsi-pci is used",
                "set scsihw: virtio-scsi-pci",
                self.allocator.machine.place_of("scsi_controller"),
            )
        if number == 0 and wanted == "virtio-scsi-single":
            self.note(
                "scsihw virtio-scsi-single: one controller carries all scsi disks",
                "nothing to do: the guest sees the same disks",
                self.allocator.machine.place_of("scsi_controller"),
            )
        self.add("-device", driver, ("id", name), *self.at(5 + number), role="disk")


def _file_driver(disk: Disk) -> str:
    """Return QEMU's driver for the path; its kind is told by the name, nothing is looked at."""
    path = disk.path
    if disk.cdrom and re.match(r"/dev/(?:cdrom|dvd|sr[0-9])", path):
        # Unlike host_device it opens a drive without a medium.
        return "host_cdrom"
    return "host_device" if re.match(r"/dev/(?!shm/)", path) else "file"
