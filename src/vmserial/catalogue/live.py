"""A running VM: plugging and unplugging over QMP, migration."""

from __future__ import annotations

from vmserial.catalogue.base import ALL, Effect, Entry, Text

_RUN = "run with QEMU 5.2, 7.2, 10.0 and 11.1"
_QMP = ALL + ", over QMP"
_OWN = ("libvirt", "QEMU")

ENTRIES = (
    Entry(
        "not-hot-pluggable",
        "a bus that takes no device while the VM runs",
        Effect.REFUSED,
        "The command is refused; the VM runs on.",
        "pcie.0 of q35 and virt, the ISA bus, virtio-mmio, spapr-vio and sclp take devices before "
        "the start only; a pcie-root-port itself cannot be plugged either.",
        (
            "plan it ahead: `vmserial plan --arch aarch64 --ports 4 --hotplug` puts ports where "
            "they can be plugged",
            "libvirt: have spare `<controller type='pci' model='pcie-root-port'/>` in the XML",
            "PVE: there is no hot-plug of serial ports; over QMP pci.2 takes a pci-serial",
        ),
        _RUN,
        (
            Text("Bus '<pcie.0>' does not support hotplugging", _QMP),
            Text("Device '<isa-serial>' does not support hotplugging", _QMP),
            Text("' can not be hotplugged on this machine", _QMP),
        ),
    ),
    Entry(
        "chardev-busy",
        "a chardev that is still attached",
        Effect.REFUSED,
        "The command is refused.",
        "A device has it, or QEMU 7.2 to 10.0 have not let go yet for a moment after device_del.",
        ("`device_del`, wait for DEVICE_DELETED, then `chardev-remove`; retry for a second",),
        _RUN,
        (Text("Chardev '<serial1>' is busy", _QMP),),
        _OWN,
        ("chardev-in-use",),
    ),
    Entry(
        "device-missing",
        "no device of that id",
        Effect.REFUSED,
        "The command is refused.",
        "The id is misspelt, or the device was made without one.",
        ("give devices an id: `-device usb-serial,id=usbserial1,…`",),
        _RUN,
        (Text("Device '<serial1>' not found", _QMP),),
        _OWN,
    ),
    Entry(
        "unplug-pending",
        "a device that is being unplugged already",
        Effect.REFUSED,
        "The command is refused.",
        "The guest was asked and has not answered: it is not up yet, has no hot-plug driver "
        "(pciehp, shpchp), or has the port open.",
        ("wait for DEVICE_DELETED or DEVICE_UNPLUG_GUEST_ERROR; a stopped guest never answers",),
        _RUN,
        (Text("is already in the process of unplug", _QMP),),
        _OWN,
    ),
    Entry(
        "chardev-hotswap",
        "chardev-change on a device that cannot",
        Effect.REFUSED,
        "The command is refused; the port stays as it was.",
        "isa-serial, pci-serial, usb-serial (from QEMU 11) and virtio ports can change their "
        "backend while they run, others cannot.",
        ("unplug the device, remove the chardev, make both anew",),
        _RUN + " (usb-serial: 11.1 takes it)",
        (Text("Chardev user does not support chardev hotswap", "QEMU 5.2 to 10.0, over QMP"),),
        _OWN,
    ),
    Entry(
        "command-unknown",
        "a QMP command that is not there",
        Effect.REFUSED,
        "The command is refused.",
        "It is misspelt, of a newer QEMU, or of the human monitor.",
        ("`query-commands` lists them",),
        _RUN,
        (Text("The command <chardev-add> has not been found", _QMP),),
        _OWN,
    ),
    Entry(
        "migration-blocked",
        "usb-serial blocks migration",
        Effect.REFUSED,
        "Migration, and a snapshot with RAM, are refused.",
        "usb-serial's state cannot be carried over.",
        ("unplug it before (it is hot-pluggable), or use `--type pci` or `virtio`",),
        _RUN,
        (Text("State blocked by non-migratable device '<0000:00:01.0/1/usb-serial>'", _QMP),),
    ),
)
