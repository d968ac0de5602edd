"""Disks, network cards and the boot order of a PVE configuration, as a Machine has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_pve_machine import bare, read, said

from vmserial.model import Disk, Nic

DISKS = [
    ("scsi0: /dev/vg/a", Disk("scsi", 0, "/dev/vg/a")),
    ("scsi30: file=/x/a.qcow2", Disk("scsi", 30, "/x/a.qcow2", "qcow2")),
    ("scsi0: volume=/x/a.raw", Disk("scsi", 0, "/x/a.raw")),
    ("virtio1: /x/a.QCOW2", Disk("virtio", 1, "/x/a.QCOW2", "qcow2")),
    ("virtio1: /x/a.qcow2,format=raw", Disk("virtio", 1, "/x/a.qcow2", "raw")),
    ("virtio1: /x.qcow2/a", Disk("virtio", 1, "/x.qcow2/a", "raw")),
    ("ide2: none,media=cdrom", Disk("ide", 2, "", cdrom=True)),
    ("cdrom: none", Disk("ide", 2, "", cdrom=True)),
    ("cdrom: cdrom", Disk("ide", 2, "/dev/cdrom", cdrom=True)),
    ("sata5: /x/i.iso,media=cdrom", Disk("sata", 5, "/x/i.iso", cdrom=True)),
    ("scsi1: /x/a,ro=1,cache=writeback,discard=on,ssd=1,serial=a%20b",
     Disk("scsi", 1, "/x/a", readonly=True, cache="writeback", discard=True, ssd=True,
          serial="a b")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), DISKS, ids=[row[0] for row in DISKS])
def test_each_form_of_a_disk(text: str, wanted: Disk) -> None:
    (disk,) = read(text).disks
    assert bare(replace(disk, boot_index=0)) == wanted
    assert str(disk.where) == "100.conf:3"


NO_DISKS = [
    ("scsi0: local-lvm:vm-100-disk-0,size=8G", "untranslated: scsi0: the storage volume"),
    ("scsi0: disk.raw", "untranslated: scsi0: the storage volume"),
    ("ide2: local-lvm:vm-100-cloudinit,media=cdrom", "untranslated: ide2: the storage volume"),
    ("scsi0: /x/a.vmdk", "untranslated: scsi0: images of format vmdk"),
    ("scsi0: media=disk", "warning: scsi0: no file is named"),
    ("scsi0: /x,ssd=maybe", "warning: scsi0: ssd is neither on nor off"),
    ("scsi0: /x,cache=fast", "warning: scsi0: cache is none of"),
    ("scsi0: /x,ssd=1,ssd=0", "warning: scsi0: ssd is given twice"),
    ("scsi0: /x,=1", "warning: scsi0: '=1' is not key=value"),
    ("virtio0: /x,media=cdrom", "warning: virtio0: virtio has no optical drives"),
    ("scsi31: /x", "untranslated: scsi31 is not a key that PVE knows"),
    ("ide4: /x", "untranslated: ide4 is not a key that PVE knows"),
    ("scsi00: /x", "untranslated: scsi00 is not a key that PVE knows"),
]


@pytest.mark.parametrize(("text", "note"), NO_DISKS, ids=[row[0] for row in NO_DISKS])
def test_what_is_no_disk_is_named(text: str, note: str) -> None:
    made = read(text)
    assert made.disks == ()
    assert [line for line in said(made) if line.startswith(note)]
    assert all(str(n.where) == "100.conf:3" for n in made.notes)


NICS = [
    ("net0: virtio", Nic(0)),
    ("net31: e1000=AA:BB:CC:DD:EE:FF", Nic(31, "e1000", "AA:BB:CC:DD:EE:FF")),
    ("net0: model=rtl8139,macaddr=aa:bb:cc:dd:ee:ff", Nic(0, "rtl8139", "aa:bb:cc:dd:ee:ff")),
    ("net2: virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0,queues=4,mtu=1400,link_down=1",
     Nic(2, "virtio", "AA:BB:CC:DD:EE:FF", "tap", "vmbr0", "tap100i2", 4, 1400, True)),
    ("net0: virtio,mtu=1", Nic(0)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), NICS, ids=[row[0] for row in NICS])
def test_each_form_of_a_network_card(text: str, wanted: Nic) -> None:
    (nic,) = read(text).nics
    assert bare(replace(nic, boot_index=0)) == wanted


@pytest.mark.parametrize(
    "text",
    ["net0: bridge=vmbr0", "net0: virtio=xx", "net0: virtio,bridge=a;b", "net0: fast",
     "net32: virtio", "net0: ne2k_isa", "net0: virtio,queues=65"],
)  # fmt: skip
def test_what_is_no_network_card_is_named(text: str) -> None:
    made = read(text)
    assert made.nics == ()
    assert any(text.split(":")[0] in line for line in said(made))


ORDERS = [
    ("boot: order=scsi0;net0", {"scsi0": 1, "net0": 2}),
    ("boot: order=net0;scsi0;ide2", {"net0": 1, "scsi0": 2, "ide2": 3}),
    ("boot: order=scsi0;scsi0", {"scsi0": 1}),
    ("boot: order=virtio9;net0", {"net0": 1}),
    ("boot: cdn\nbootdisk: scsi0", {"scsi0": 1, "ide2": 2, "net0": 3, "net1": 4}),
    ("boot: legacy=nc\nbootdisk: virtio0", {"net0": 1, "net1": 2, "virtio0": 3}),
    ("boot: c\nbootdisk: scsi0", {"scsi0": 1}),
    ("boot: c", {}),
    ("", {"ide2": 1, "net0": 2, "net1": 3}),
    ("bootdisk: scsi0", {"scsi0": 1, "ide2": 2, "net0": 3, "net1": 4}),
    ("boot: order=scsi0\nbootdisk: virtio0", {"scsi0": 1}),
    ("boot: xyz", {"ide2": 1, "net0": 2, "net1": 3}),
]


@pytest.mark.parametrize(("text", "wanted"), ORDERS, ids=[ascii(row[0]) for row in ORDERS])
def test_the_boot_order(text: str, wanted: dict[str, int]) -> None:
    made = read(
        "scsi0: /dev/a\nvirtio0: /dev/b\nide2: none,media=cdrom\nnet0: virtio\nnet1: virtio\n"
        + text
    )
    found = {f"{d.bus}{d.index}": d.boot_index for d in made.disks}
    found |= {f"net{n.index}": n.boot_index for n in made.nics}
    assert {name: place for name, place in found.items() if place} == wanted
    places = [place for place in found.values() if place]
    assert len(places) == len(set(places))


def test_disks_stand_in_the_order_of_pve() -> None:
    made = read("sata0: /dev/a\nvirtio1: /dev/a\nscsi10: /dev/a\nscsi2: /dev/a\nide0: /dev/a\n")
    assert [f"{d.bus}{d.index}" for d in made.disks] == [
        "ide0", "scsi2", "scsi10", "virtio1", "sata0",
    ]  # fmt: skip
