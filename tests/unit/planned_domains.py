"""A domain's plan beside what libvirt makes of the domain: what is elsewhere, and what may be."""

from __future__ import annotations

from libvirt_native import Native, places
from test_judge_domain import judged

from vmserial.model import Severity
from vmserial.sources.libvirt import Document

DISK = ("<disk type='file' device='{}'><source file='/{}'/><target dev='{}' bus='{}'/>"
        "</disk>").format  # fmt: skip
EMPTY = "<disk type='file' device='cdrom'><target dev='hdd' bus='ide'/></disk>"


def _many(bus: str, names: str = "abcdefghi") -> str:
    return "".join(DISK("disk", name, f"sd{name}", bus) for name in names)


DRIVES = {
    "scsi": ("x86_64", "pc", "<controller type='scsi' index='0' model='virtio-scsi'/>"
             + _many("scsi") + DISK("cdrom", "x", "hdc", "ide") + EMPTY),
    "sata": ("x86_64", "pc", _many("sata") + DISK("disk", "z", "sdz", "scsi")),
    "sata-q35": ("x86_64", "q35", _many("sata") + DISK("disk", "z", "sdp", "scsi")),
    "scsi-aarch64": ("aarch64", "virt", DISK("disk", "v", "vda", "virtio")
                     + DISK("cdrom", "c", "sdb", "scsi") + _many("scsi", "a")),
    "stated": ("x86_64", "pc", "<disk type='file'><source file='/a'/><target dev='sda' "
               "bus='scsi'/><address type='drive' controller='1' bus='0' target='0' unit='3'/>"
               "</disk>"),
}  # fmt: skip
"""Domains with drives behind controllers, those too that libvirt adds."""

OF_THE_HOST = frozenset({"usb-host", "vfio-pci", "vhost-vsock", "virtio-9p", "usb-storage"})
"""Devices that need something of the domain's own host, and disks that are none: both named."""


def elsewhere(real: Native, mine: Native) -> dict[str, tuple[object, object]]:
    """Return the devices that a plan has at another place than libvirt, or does not have."""
    theirs, ours = places(real), places(mine)
    return {id: (place, ours.get(id)) for id, place in theirs.items() if ours.get(id) != place}


def named(document: Document) -> set[str]:
    """Return what libvirt calls the ports that would not live where it puts them."""
    wrong = [
        name for finding in judged(document).findings for name in finding.ports
        if finding.severity in {Severity.FAILS, Severity.DEAD} and finding.id != "usb-not-plugged"
    ]  # fmt: skip
    return {id for name in wrong for id in (name, f"-serial chardev:char{name}")}


def unexplained(document: Document, real: Native, mine: Native) -> dict[str, object]:
    """Return what is elsewhere, and nobody says why."""
    known = named(document)
    return {
        id: both for id, both in elsewhere(real, mine).items()
        if id not in known and id.replace("ua-first", "serial0") not in known
        and not any(str(both[0]).find(each) >= 0 for each in OF_THE_HOST)
    }  # fmt: skip
