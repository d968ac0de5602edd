"""PVE's keys that have no part in the command, and why: data for the reader and the docs.

Keys are written with ``N`` for a number.  Every key of qemu-server 9.2.6 is either
here or translated by :mod:`vmserial.sources.pve.machine`.
"""

from __future__ import annotations

from collections.abc import Mapping

from vmserial.limits import PVE_KEYS

MANAGEMENT = frozenset(
    "affinity allow-ksm autostart cpulimit cpuunits digest hookscript lock meta "
    "migrate_downtime migrate_speed onboot parent protection running-nets-host-mtu runningcpu "
    "runningmachine shares snapstate snaptime startup tags template unusedN vmstate "
    "vmstatestorage".split()
)
"""Keys that concern PVE's own management of the VM; the guest never sees them."""

UNTRANSLATED: Mapping[str, str] = {
    "amd-sev": "the guest's memory is not encrypted",
    "audio0": "the VM has no sound card; add one with args",
    "cicustom": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "cipassword": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "citype": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "ciupgrade": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "ciuser": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "freeze": "the VM starts at once; add -S to args to keep it paused",
    "hostpciN": "the host's device is not passed through; add -device vfio-pci to args",
    "hotplug": "memory and CPUs are all there from the start",
    "hugepages": "memory comes from normal pages",
    "intel-tdx": "the guest's memory is not encrypted",
    "ipconfigN": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "ivshmem": "there is no shared memory; add it with args",
    "keephugepages": "memory comes from normal pages",
    "keyboard": "the layout is that of PVE's VNC server, which is not started here",
    "nameserver": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "numa": "the guest sees no NUMA nodes",
    "numaN": "the guest sees no NUMA nodes",
    "parallelN": "the parallel port is left out; add it with args",
    "reboot": "a reboot of the guest does not end QEMU; add -no-reboot to args",
    "searchdomain": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "spice_enhancements": "there is no SPICE server here",
    "sshkeys": "PVE makes the cloud-init drive from it; attach a ready one by its path",
    "startdate": "the clock starts at the host's time; add -rtc base=… to args",
    "tdf": "the clock is QEMU's default; add -global kvm-pit.lost_tick_policy=slew to args",
    "tpmstate0": "the VM has no TPM",
    "usbN": "the host's device is not passed through; add -device usb-host to args",
    "virtiofsN": "the directory is not shared",
    "watchdog": "the VM has no watchdog; add -device i6300esb to args",
}
"""Keys that change the VM but that the model does not hold, each with what it means."""

NEUTRAL: Mapping[str, str] = {
    "freeze": "0",
    "hotplug": "(?!.*(cpu|memory)).*",
    "keephugepages": "0",
    "numa": "0",
    "reboot": "1",
    "startdate": "now",
    "tdf": "0",
}
"""Values of those keys, as patterns, that say what happens anyway: nothing to tell."""

TRANSLATED = frozenset(
    "acpi agent arch args balloon bios boot bootdisk cdrom cores cpu delete description efidisk0 "
    "ideN kvm localtime machine memory name netN ostype rng0 sataN scsiN scsihw serialN smbios1 "
    "smp sockets tablet vcpus vga virtioN vmgenid".split()
)
"""Keys that become part of the machine."""

DISK_MANAGEMENT = frozenset({"backup", "replicate", "shared", "size", "pre-enrolled-keys",
                             "ms-cert"})  # fmt: skip
"""Parts of a disk's line that concern PVE's management."""

AGENT_MANAGEMENT = frozenset({"freeze-fs", "freeze-fs-on-backup", "fstrim_cloned_disks"})
"""Parts of ``agent`` that concern what PVE asks the agent for."""

PLAIN_STRINGS = frozenset("arch bios hugepages keyboard ostype scsihw startdate vmgenid".split())
"""Keys from whose value PVE takes a pair of double quotes off."""

NET_MODELS = (
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b",
    "i82559er", "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
)  # fmt: skip

SCSI_CONTROLLERS = ("lsi", "lsi53c810", "megasas", "pvscsi", "virtio-scsi-pci",
                    "virtio-scsi-single")  # fmt: skip

VGA_KINDS = ("cirrus", "none", "qxl", "qxl2", "qxl3", "qxl4", "serial0", "serial1", "serial2",
             "serial3", "std", "virtio", "virtio-gl", "vmware")  # fmt: skip


def known(key: str) -> str:
    """Return the table's name of ``key`` (``scsi12`` is ``scsiN``); empty if PVE has no such."""
    if key in TRANSLATED or key in MANAGEMENT or key in UNTRANSLATED:
        return key
    stem = key.rstrip("0123456789")
    digits = key[len(stem) :]
    name = f"{stem}N"
    if not digits or (len(digits) > 1 and digits[0] == "0"):
        return ""
    if stem in PVE_KEYS and (len(digits) > 3 or int(digits) >= PVE_KEYS[stem]):
        return ""
    return name if name in TRANSLATED or name in MANAGEMENT or name in UNTRANSLATED else ""
