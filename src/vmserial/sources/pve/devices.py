"""Disks, network cards and the boot order of a PVE configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from vmserial.model import Disk, Firmware, Nic
from vmserial.sources.pve import keys as pve_keys
from vmserial.sources.pve.document import Setting, url_decoded
from vmserial.sources.pve.values import Properties, Rejected
from vmserial.sources.pve.view import View

BUSES = ("ide", "scsi", "virtio", "sata")
"""In the order in which PVE walks its drives (it decides the legacy boot order)."""

CACHES = ("none", "writethrough", "writeback", "unsafe", "directsync")

_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\Z")
_BRIDGE = re.compile(r"[A-Za-z0-9._-]{1,15}\Z")
_DRIVE = re.compile(r"(ide|scsi|virtio|sata)(0|[1-9][0-9]?)\Z")
_NET = re.compile(r"net(0|[1-9][0-9]?)\Z")


# ------------------------------------------------------------------ disks


def disks(view: View) -> tuple[Disk, ...]:
    """Take all drives on absolute paths, in PVE's order; others are named in notes."""
    found: dict[tuple[str, int], Disk] = {}
    for key in list(view.settings):
        match = _DRIVE.match(key)
        if match is None or not pve_keys.known(key):
            continue
        bus, index = match.group(1), int(match.group(2))
        disk = view.accepted(key, partial(_disk, view, bus, index), None)
        if disk is not None:
            found[bus, index] = disk
    return tuple(found[bus, index] for bus, index in sorted(found, key=_drive_order))


def _drive_order(place: tuple[str, int]) -> tuple[int, int]:
    return BUSES.index(place[0]), place[1]


def _disk(view: View, bus: str, index: int, setting: Setting) -> Disk | None:
    props = Properties(setting.value, "file")
    volume = props.text("file") or props.text("volume")
    if not volume:
        raise Rejected("no file is named", hint="write a path or none")
    media = props.one_of("media", ("cdrom", "disk"), "disk")
    cdrom = media == "cdrom" or volume in {"none", "cdrom"}
    if cdrom and bus == "virtio":
        raise Rejected("virtio has no optical drives", hint="use ide, sata or scsi")
    if (path := _path(view, setting, volume)) is None:
        return None
    format = _format(props, path)
    disk = Disk(
        bus,
        index,
        path,
        format=format,
        cdrom=cdrom,
        readonly=props.flag("ro"),
        cache=props.one_of("cache", CACHES),
        discard=props.one_of("discard", ("ignore", "on")) == "on",
        ssd=props.flag("ssd"),
        serial=url_decoded(props.text("serial")),
        where=view.where(setting.line),
    )
    # It is PVE's own command that says which thread a drive gets.
    props.flag("iothread")
    view.printable(disk.serial, setting.key, setting.line)
    if format not in {"raw", "qcow2"}:
        view.note(
            "untranslated",
            setting.line,
            f"{setting.key}: images of format {format} are not translated; the disk is left out",
            "convert it with qemu-img to raw or qcow2",
        )
        return None
    if path and not path.startswith("/dev/"):
        view.note(
            "warning",
            setting.line,
            f"{setting.key}: PVE takes paths only below /dev and drops this line",
            "in PVE's own file, name a storage volume",
        )
    view.leftovers(setting, props, pve_keys.DISK_MANAGEMENT)
    return disk


def _format(props: Properties, path: str) -> str:
    """Return the image's format: as said, else by the name; never by the content."""
    formats = ("raw", "qcow2", "qcow", "qed", "vmdk", "cloop")
    suffix = path.rpartition("/")[2].rpartition(".")[2].lower()
    return props.one_of("format", formats, suffix if suffix in formats else "raw")


def _path(view: View, setting: Setting, volume: str) -> str | None:
    """Return the path that a volume names; None if only PVE's storage layer knows it."""
    if volume == "none":
        return ""
    if volume == "cdrom":
        return "/dev/cdrom"
    if volume.startswith("/"):
        return volume
    if "cloudinit" in volume:
        hint = "it is the cloud-init drive that PVE makes; attach a ready one by its path"
    else:
        hint = (
            f"on the PVE host, 'pvesm path {volume if ':' in volume else 'STORAGE:VOLUME'}' gives "
            "the path to write here"
        )
    view.note(
        "untranslated",
        setting.line,
        f"{setting.key}: the storage volume {volume!r} cannot be resolved without PVE; "
        "the drive is left out",
        hint,
    )
    return None


def efi_variables(view: View, firmware: Firmware, aarch64: bool) -> Firmware:
    """Take ``efidisk0`` and return the firmware with its variable store."""

    def translate(setting: Setting) -> Firmware:
        props = Properties(setting.value, "file")
        volume = props.text("file") or props.text("volume")
        if not volume:
            raise Rejected("no file is named", hint="write a path")
        if firmware.kind != "ovmf" and not aarch64:
            view.note(
                "untranslated",
                setting.line,
                "efidisk0 is only used with 'bios: ovmf', as in PVE",
                "set bios: ovmf, or remove it",
            )
            return firmware
        path = _path(view, setting, volume)
        if not path:
            return firmware
        format = _format(props, path)
        if format not in {"raw", "qcow2"}:
            raise Rejected(f"format {format} cannot be a flash image", hint="convert it to raw")
        code = ""
        if props.one_of("efitype", ("2m", "4m"), "2m") == "2m" and not aarch64:
            code = "/usr/share/OVMF/OVMF_CODE.fd"
            view.note(
                "warning",
                setting.line,
                f"efidisk0 has the old layout of 2 MiB: {code} is used",
                "newer distributions have only the 4 MiB build: set efitype=4m on a new disk",
            )
        view.leftovers(setting, props, pve_keys.DISK_MANAGEMENT)
        return Firmware(firmware.kind, code, path, format)

    return view.accepted("efidisk0", translate, firmware)


# ------------------------------------------------------------------ network


def nics(view: View) -> tuple[Nic, ...]:
    """Take all network cards, by number."""
    found: dict[int, Nic] = {}
    for key in list(view.settings):
        match = _NET.match(key)
        if match is None or not pve_keys.known(key):
            continue
        index = int(match.group(1))
        nic = view.accepted(key, partial(_nic, view, index), None)
        if nic is not None:
            found[index] = nic
    return tuple(found[index] for index in sorted(found))


def _nic(view: View, index: int, setting: Setting) -> Nic | None:
    props = Properties(setting.value, "model", (pve_keys.NET_MODELS, "macaddr"))
    model = props.one_of("model", pve_keys.NET_MODELS)
    if not model:
        raise Rejected("no model is named", hint="write virtio=MAC")
    mac = props.text("macaddr")
    if mac and not _MAC.match(mac):
        raise Rejected(f"{mac!r} is not a MAC address", hint="write AA:BB:CC:DD:EE:FF")
    bridge = props.text("bridge")
    if bridge and not _BRIDGE.match(bridge):
        raise Rejected(f"{bridge!r} is not the name of a bridge", hint="write vmbr0 or the like")
    nic = Nic(
        index,
        model=model,
        mac=mac,
        mode="tap" if bridge else "user",
        bridge=bridge,
        ifname=f"tap{view.vmid}i{index}" if bridge else "",
        queues=props.number("queues", 0, 64),
        mtu=props.number("mtu", 1, 65520),
        link_down=props.flag("link_down"),
        where=view.where(setting.line),
    )
    if nic.mtu == 1:
        view.note(
            "untranslated",
            setting.line,
            f"{setting.key}: mtu=1 (the bridge's own) is not translated",
            "write the bridge's MTU as a number",
        )
        nic = replace(nic, mtu=0)
    if model == "ne2k_isa":
        view.note(
            "untranslated",
            setting.line,
            f"{setting.key}: the model ne2k_isa has no place on PCI; the card is left out",
            "use model virtio or ne2k_pci",
        )
        return None
    view.leftovers(setting, props)
    return nic


# ------------------------------------------------------------------ boot order


def boot_order(
    view: View, all_disks: tuple[Disk, ...], all_nics: tuple[Nic, ...]
) -> tuple[tuple[Disk, ...], tuple[Nic, ...]]:
    """Take ``boot`` and ``bootdisk`` and return disks and cards with their boot index."""
    names: list[str] = []
    legacy = "cdn"

    def translate(setting: Setting) -> bool:
        nonlocal legacy
        if not setting.value:
            # 'boot: ' with nothing behind it boots from nothing.
            return True
        props = Properties(setting.value, "legacy")
        letters = props.text("legacy", legacy)
        if not re.fullmatch("[acdn]{1,4}", letters):
            raise Rejected(f"{letters!r} is not a boot order", hint="write order=scsi0;net0")
        legacy = letters
        order = props.text("order")
        names.extend(filter(None, re.split(r"[;\s]+", order)))
        view.leftovers(setting, props)
        return bool(order)

    line = view.settings["boot"].line if "boot" in view.settings else 0
    ordered = view.accepted("boot", translate, False)
    bootdisk = view.take("bootdisk")
    if not ordered:
        wanted = bootdisk.value if bootdisk is not None else ""
        names = _legacy(legacy, wanted, all_disks, all_nics)
    elif bootdisk is not None:
        view.note(
            "untranslated",
            bootdisk.line,
            "bootdisk has no meaning beside 'boot: order=', as in PVE",
            "remove it",
        )
    present = {f"{d.bus}{d.index}" for d in all_disks} | {f"net{n.index}" for n in all_nics}
    place: dict[str, int] = {}
    for name in names:
        if name in present:
            place.setdefault(name, len(place) + 1)
        else:
            view.note(
                "warning",
                line,
                f"boot: {name!r} is not a drive or card of this plan and is left out of the order",
                "its own line, or a note above, says why",
            )
    return _placed(all_disks, all_nics, place)


def _legacy(
    letters: str, bootdisk: str, all_disks: tuple[Disk, ...], all_nics: tuple[Nic, ...]
) -> list[str]:
    """Return the devices that PVE's letters mean: c is bootdisk only, d and n are all."""
    names: list[str] = []
    for letter in dict.fromkeys(letters):
        if letter == "c" and bootdisk:
            names.append(bootdisk)
        elif letter == "d":
            names += [f"{d.bus}{d.index}" for d in all_disks if d.cdrom]
        elif letter == "n":
            names += [f"net{nic.index}" for nic in all_nics]
    return names


def _placed(
    all_disks: tuple[Disk, ...], all_nics: tuple[Nic, ...], place: Mapping[str, int]
) -> tuple[tuple[Disk, ...], tuple[Nic, ...]]:
    return (
        tuple(replace(d, boot_index=place.get(f"{d.bus}{d.index}", 0)) for d in all_disks),
        tuple(replace(n, boot_index=place.get(f"net{n.index}", 0)) for n in all_nics),
    )
