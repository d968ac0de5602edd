"""The drives and network cards of a PVE VM: their controllers, places and boot indexes.

What is behind a drive (its volume, its node, its limits) only PVE's storages know:
it is left out and named as a gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from vmserial.limits import PVE_KEYS
from vmserial.options import Scalar
from vmserial.sources.pve.emission import Emission, without_empty
from vmserial.sources.pve.keys import NET_MODELS
from vmserial.sources.pve.reading import Reading, on

_BUSES = ("ide", "scsi", "virtio", "sata")
"""In PVE's order."""

_LSI_DISKS = 7
"""Disks of one lsi controller."""

_SCRIPTS = "/usr/libexec/qemu-server"
_DIGITS = re.compile(r"[1-9][0-9]{0,5}\Z")
_LETTERS = re.compile(r"[acdn]{1,4}\Z")
_SCSI_CONTROLLERS = {"lsi": "lsi", "lsi53c810": "lsi53c810", "megasas": "megasas",
                     "pvscsi": "pvscsi"}  # fmt: skip


@dataclass(frozen=True)
class Drive:
    """One drive's line: its bus, its number, its parts."""

    bus: str
    number: int
    parts: dict[str, str]

    @property
    def name(self) -> str:
        """The setting's key."""
        return f"{self.bus}{self.number}"

    @property
    def volume(self) -> str:
        """The volume or path; ``none`` for an empty drive."""
        return self.parts.get("file") or self.parts.get("volume", "")

    @property
    def cloudinit(self) -> bool:
        """It is the drive that PVE makes for cloud-init."""
        return re.search(r"(?:\A|[:/])(?:vm-[0-9]+-)?cloudinit(?:[.,]|\Z)", self.volume) is not None

    @property
    def cdrom(self) -> bool:
        """It is an optical drive, full or empty."""
        return self.parts.get("media") == "cdrom" or self.volume in {"none", "cdrom"}


def drives(reading: Reading) -> list[Drive]:
    """Return the drives in PVE's order."""
    found = []
    for bus in _BUSES:
        for number in reading.numbered(bus):
            parts = reading.props(f"{bus}{number}", "file")
            if parts is not None and number < PVE_KEYS[bus]:
                found.append(Drive(bus, number, parts))
    return found


@dataclass
class BootOrder:
    """Which boot index a drive or card gets.

    Attributes:
        named: those of ``boot: order=``.
        legacy: the next index by letter: c a disk, d a CD, n a card.
        bootdisk: the only disk that gets one by letter.
    """

    named: dict[str, int] = field(default_factory=dict)
    legacy: dict[str, int] = field(default_factory=dict)
    bootdisk: str = ""

    @classmethod
    def of(cls, reading: Reading) -> BootOrder:
        """Read ``boot`` and ``bootdisk``; an empty ``boot:`` boots from nothing."""
        parts = reading.props("boot", "legacy")
        if parts is not None and "order" in parts:
            names = dict.fromkeys(n for n in re.split(r"[;\s]+", parts["order"]) if n)
            return cls({name: 100 + place for place, name in enumerate(names)})
        letters = "cdn" if parts is None else parts.get("legacy", "")
        if letters and not _LETTERS.match(letters):
            reading.reject("boot")
            letters = "cdn"
        legacy = {letter: 100 * place for place, letter in enumerate(dict.fromkeys(letters), 1)}
        return cls({}, legacy, reading.text("bootdisk"))

    def drive(self, drive: Drive) -> Iterator[tuple[str, Scalar]]:
        """Yield the index of a drive, if it has one."""
        yield from self._given(drive.name)
        letter = "d" if drive.cdrom and not drive.cloudinit else "c"
        if letter in self.legacy:
            if letter == "d" or drive.name == self.bootdisk:
                yield "bootindex", self.legacy[letter]
            self.legacy[letter] += 1

    def card(self, name: str) -> Iterator[tuple[str, Scalar]]:
        """Yield the index of a network card, if it has one."""
        yield from self._given(name)
        if "n" in self.legacy:
            yield "bootindex", self.legacy["n"]
            self.legacy["n"] += 1

    def _given(self, name: str) -> Iterator[tuple[str, Scalar]]:
        if name in self.named:
            yield "bootindex", self.named[name]


def iothreads(to: Emission, found: list[Drive]) -> None:
    """Append the threads that drives ask for."""
    single = to.reading.text("scsihw") == "virtio-scsi-single"
    for drive in found:
        if on(drive.parts, "iothread") and (drive.bus == "virtio" or single):
            name = f"virtioscsi{drive.number}" if drive.bus == "scsi" else drive.name
            if drive.bus in {"virtio", "scsi"}:
                role = "controller" if drive.bus == "scsi" else "disk"
                to.put("-object", "iothread", ("id", f"iothread-{name}"),
                       by=to.reading.settings[drive.name], role=role)  # fmt: skip


def attached(to: Emission, found: list[Drive], boot: BootOrder) -> None:
    """Append each drive's controller, at its first drive, and the drive."""
    hardware = to.reading.one_of(
        "scsihw", (*_SCSI_CONTROLLERS, "virtio-scsi-pci", "virtio-scsi-single"), "lsi"
    )
    made: set[str] = set()
    for drive in found:
        by = to.reading.settings[drive.name]
        to.gap("disks", "what is behind each drive only PVE's storages know: it is left out", by)
        index = tuple(boot.drive(drive))
        if drive.bus == "scsi":
            _scsi_controller(to, drive, hardware, made)
        elif drive.bus == "sata" and "ahci0" not in made:
            made.add("ahci0")
            to.device("ahci", ("id", "ahci0"), ("multifunction", True), place="ahci0", by=by,
                      role="controller")  # fmt: skip
        place = tuple(_drive_place(to, drive, hardware))
        back = () if drive.volume == "none" else (("drive", f"drive-{drive.name}"),)
        end = (*back, ("id", drive.name), *index)
        if drive.bus == "virtio":
            thread = on(drive.parts, "iothread")
            threads = (("iothread", f"iothread-{drive.name}"),) if thread else ()
            to.device("virtio-blk-pci", *back, ("id", drive.name), place=drive.name,
                      after=(*threads, *index), by=by, role="disk")  # fmt: skip
        else:
            stem = "scsi" if drive.bus == "scsi" else "ide"
            kind = "cd" if drive.cdrom or drive.cloudinit else "hd"
            if on(drive.parts, "scsiblock") and stem == "scsi":
                kind = "block"
            to.put("-device", f"{stem}-{kind}", *place, *end, by=by, role="disk")


def _scsi_controller(to: Emission, drive: Drive, hardware: str, made: set[str]) -> None:
    by = to.reading.settings[drive.name]
    if hardware == "virtio-scsi-single":
        name = f"virtioscsi{drive.number}"
        threads = (("iothread", f"iothread-{name}"),) if on(drive.parts, "iothread") else ()
        driver = "virtio-scsi-pci"
    else:
        name, threads = f"scsihw{_lsi_number(drive, hardware)}", ()
        driver = hardware
    if name not in made:
        made.add(name)
        to.device(driver, ("id", name), place=name, after=threads, by=by, role="controller")


def _lsi_number(drive: Drive, hardware: str) -> int:
    return drive.number // _LSI_DISKS if hardware in {"lsi", "lsi53c810"} else 0


def _drive_place(to: Emission, drive: Drive, hardware: str) -> Iterator[tuple[str, Scalar]]:
    number = drive.number
    if drive.bus == "ide":
        if to.board == "q35":
            yield "bus", f"ide.{(0, 2, 1, 3)[number]}"
            yield "unit", 0
        else:
            yield "bus", f"ide.{number // 2}"
            yield "unit", number % 2
    elif drive.bus == "sata":
        yield "bus", f"ahci0.{number}"
    elif drive.bus == "scsi":
        if hardware in {"lsi", "lsi53c810"}:
            yield "bus", f"scsihw{_lsi_number(drive, hardware)}.0"
            yield "scsi-id", number % _LSI_DISKS
        elif hardware == "pvscsi":
            yield "bus", "scsihw0.0"
            yield "scsi-id", number
        else:
            single = hardware == "virtio-scsi-single"
            yield "bus", f"virtioscsi{number}.0" if single else "scsihw0.0"
            yield "channel", 0
            yield "scsi-id", 0
            yield "lun", number


def cards(to: Emission, boot: BootOrder) -> None:
    """Append the network cards and their back ends."""
    reading = to.reading
    for number in reading.numbered("net"):
        name = f"net{number}"
        parts = reading.props(name, "model", NET_MODELS, "macaddr")
        model = (parts or {}).get("model", "")
        if parts is None or model not in NET_MODELS or number >= PVE_KEYS["net"]:
            continue
        by = reading.settings[name]
        queues = parts.get("queues", "")
        many = [("queues", queues)] if model == "virtio" and _DIGITS.match(queues) else []
        if parts.get("bridge"):
            host: list[tuple[str, Scalar]] = [("vhost", True)] * (model == "virtio" and to.kvm)
            to.put(
                "-netdev", "", ("type", "tap"), ("id", name), ("ifname", f"tap{to.vmid}i{number}"),
                ("script", f"{_SCRIPTS}/pve-bridge"), ("downscript", f"{_SCRIPTS}/pve-bridgedown"),
                *host, *many, by=by, role="net",
            )  # fmt: skip
        else:
            to.put("-netdev", "", ("type", "user"), ("id", name),
                   ("hostname", reading.text("name", f"vm{to.vmid}")), by=by,
                   role="net")  # fmt: skip
        driver = "virtio-net-pci" if model == "virtio" else model
        vectors = [("vectors", 2 * int(queues) + 2), ("mq", True)] if many else []
        mac = without_empty(("mac", parts.get("macaddr", "")))
        to.device(driver, *mac, ("netdev", name), place=name,
                  after=(("id", name), *vectors, *boot.card(name)), by=by, role="net")  # fmt: skip
