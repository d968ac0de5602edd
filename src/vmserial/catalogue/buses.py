"""Places: USB, virtio, PCI and ISA buses, their ports and slots."""

from __future__ import annotations

from vmserial.catalogue.base import ALL, Effect, Entry, Text

_RUN = "run with QEMU 5.2, 7.2, 10.0 and 11.1"
_OWN = ("libvirt", "QEMU")

ENTRIES = (
    Entry(
        "usb-no-bus",
        "a usb-serial without a USB controller",
        Effect.FAILS,
        "QEMU does not start.",
        "There is no USB controller, or it stands after the device on the command line.",
        (
            "add `-device qemu-xhci,id=xhci` before it",
            "libvirt: `<controller type='usb' model='qemu-xhci' ports='15'/>`",
        ),
        _RUN,
        (
            Text("No 'usb-bus' bus found for device 'usb-<serial>'"),
            Text("Error: no usb bus to attach usbdevice"),
            Text("USB support not enabled"),
        ),
        see=("usb-speed", "libvirt-no-usb"),
    ),
    Entry(
        "libvirt-no-usb",
        "libvirt says that USB is disabled",
        Effect.FAILS,
        "libvirt refuses the domain.",
        "The XML has a USB device and no USB controller (or one of model 'none').",
        ("add `<controller type='usb' model='qemu-xhci' ports='15'/>`",),
        "run with libvirt 9.0",
        (Text("USB is disabled", "libvirt 9.0"),),
        ("libvirt",),
        ("usb-no-bus",),
    ),
    Entry(
        "usb-speed",
        "a usb-serial on a controller of another speed",
        Effect.FAILS,
        "QEMU does not start; over QMP the device is refused. It calls itself a warning.",
        "usb-serial is a full-speed device; usb-ehci alone takes high speed only. PVE on aarch64 "
        "has usb-ehci.",
        (
            "a usb-serial needs an xhci controller: add `-device qemu-xhci,id=xhci` and "
            "`bus=xhci.0`",
            "PVE: put both into `args:`; `vmserial showcmd 142.conf --pretty` has them",
            "libvirt: `<controller type='usb' model='qemu-xhci' ports='15'/>`",
        ),
        _RUN,
        (Text("speed mismatch trying to attach usb device"),),
        see=("usb-no-bus",),
    ),
    Entry(
        "usb-port-taken",
        "a USB port that is taken or not there",
        Effect.FAILS,
        "QEMU does not start.",
        "qemu-xhci has four ports by default (15 at most, more are cut silently), piix3-uhci two.",
        ("give the controller more ports: `-device qemu-xhci,id=xhci,p2=15,p3=15`",),
        _RUN,
        (
            Text("usb port <9> (bus <xhci.0>) not found (in use?)"),
            Text("to a bus with no free ports"),
        ),
        see=("xhci-slots",),
    ),
    Entry(
        "usb-hub",
        "a USB hub that is too deep or too wide",
        Effect.FAILS,
        "QEMU does not start.",
        "Hubs stand at most five deep and have at most eight ports.",
        ("use a second controller: `-device qemu-xhci,id=xhci1,p2=15,p3=15`",),
        _RUN,
        (
            Text("usb hub chain too deep"),
            Text("num_ports (<9>) out of range (1..8)"),
        ),
        _OWN,
    ),
    Entry(
        "usbdevice-gone",
        "-usbdevice serial",
        Effect.FAILS,
        "QEMU does not start.",
        "-usbdevice took a backend until QEMU 5.1.",
        (
            "write `-device qemu-xhci -chardev …,id=serial0 -device "
            "usb-serial,chardev=serial0,always-plugged=on`",
        ),
        _RUN,
        (
            Text("usbdevice parameters are not supported anymore", "QEMU 7.2 to 11.1"),
            Text("could not add USB device 'serial:<null>'"),
            Text("'-usbdevice' is deprecated", "QEMU 5.2"),
        ),
        ("QEMU",),
    ),
    Entry(
        "virtio-no-bus",
        "a virtio port without a controller",
        Effect.FAILS,
        "QEMU does not start.",
        "virtserialport and virtconsole sit on a virtio-serial controller.",
        ("add `-device virtio-serial-pci,id=virtio-serial0` before it",),
        _RUN,
        (Text("No 'virtio-serial-bus' bus found for device"),),
        see=("bus-missing",),
    ),
    Entry(
        "virtio-port-range",
        "more virtio ports than the controller has",
        Effect.FAILS,
        "QEMU does not start: 30 virtserialports, or 31 with a virtconsole at 0, fit max_ports=31.",
        "A controller has max_ports=31 by default, numbered 0 to 30, and 0 is for a virtconsole. "
        "A higher max_ports (511 at most) does not help: the control queue overflows.",
        (
            "use a further controller, with at most 15 ports each: `-device "
            "virtio-serial-pci,id=virtio-serial1`; `vmserial plan --arch x86_64 --ports 40 --type "
            "virtio` places them",
            "libvirt: a second `<controller type='virtio-serial' index='1'/>`, and each "
            "`<address type='virtio-serial' controller='1'/>`",
        ),
        _RUN,
        (Text("Out-of-range port id specified, max. allowed: <30>"),),
        see=("virtio-queue-overflow", "virtio-port-zero"),
    ),
    Entry(
        "virtio-port-zero",
        "a virtserialport with nr=0",
        Effect.FAILS,
        "QEMU does not start.",
        "Port 0 of a controller is for a virtconsole.",
        ("give nr=1 or more",),
        _RUN,
        (Text("Port number 0 on virtio-serial devices reserved for virtconsole devices"),),
        see=("virtio-port-range",),
    ),
    Entry(
        "virtio-port-taken",
        "one number or name for two virtio ports",
        Effect.FAILS,
        "QEMU does not start; over QMP the port is refused.",
        "nr and name are there once on a controller; after device_del they are free only after "
        "DEVICE_DELETED.",
        ("give another nr= or name=, or leave nr away",),
        _RUN,
        (
            Text("virtio-serial-bus: A port already exists by name <serial0>"),
            Text("virtio-serial-bus: A port already exists at id <1>"),
        ),
    ),
    Entry(
        "virtio-max-ports",
        "a max_ports that no controller has",
        Effect.FAILS,
        "QEMU does not start.",
        "max_ports goes from 1 to 511.",
        ("leave it away and use several controllers",),
        _RUN,
        (
            Text("maximum ports supported: <511>"),
            Text("Maximum number of serial ports not specified"),
        ),
        _OWN,
        ("virtio-queue-overflow",),
    ),
    Entry(
        "bus-missing",
        "a device on a bus that is not there",
        Effect.FAILS,
        "QEMU does not start; over QMP the device is refused.",
        "The bus is misspelt, its controller stands later on the command line, or it is one that "
        "only PVE's own command line makes (pci.0, pci.1, pci.2).",
        (
            "name a bus that is there (`info qtree` in the monitor lists them), and put its "
            "controller before the device; a controller's bus is its id and .0: xhci.0",
            "PVE: on aarch64 bus 0 is pcie.0",
        ),
        _RUN,
        (Text("Bus '<pci.2>' not found"),),
    ),
    Entry(
        "bus-wrong",
        "a device on a bus of another kind",
        Effect.FAILS,
        "QEMU does not start.",
        "pci-serial goes on PCI, usb-serial on USB, virtserialport on a virtio-serial controller.",
        ("name a bus of the right kind, or leave bus= away",),
        _RUN,
        (Text("Device '<pci-serial>' can't go on <usb-bus> bus"),),
        _OWN,
    ),
    Entry(
        "pci-slot-taken",
        "two devices at one PCI address",
        Effect.FAILS,
        "QEMU does not start; over QMP the device is refused.",
        "The address was given twice, or a device without addr= was put there before one with it. "
        "In a PVE VM `args:` without addresses collide with PVE's own later ones.",
        (
            "two devices have the same PCI address; give another one (`info pci` in the monitor "
            "shows what is taken)",
            "PVE: free are slot 0x1d on bus 0 and 0x19 to 0x1f on pci.2",
        ),
        _RUN,
        (
            Text("PCI: slot <5> function <0> not available for <pci-serial>, in use by"),
            Text("PCI: slot <5> function <0> not available for <pci-serial>, reserved"),
        ),
        see=("pci-function",),
    ),
    Entry(
        "pci-function",
        "several functions in one slot",
        Effect.FAILS,
        "QEMU does not start; over QMP the device is refused.",
        "Function 0 must say multifunction=on, and when it is plugged, the others must already "
        "be there.",
        (
            "write `-device pci-serial,addr=5.0,multifunction=on,…` and `-device "
            "pci-serial,addr=5.1,…`",
        ),
        _RUN,
        (
            Text("PCI: single function device can't be populated in function <5.1>"),
            Text("PCI: <5>.0 indicates single function, but <5.1> is already populated"),
            Text("new func <pci-serial> cannot be exposed to guest", ALL + ", over QMP"),
        ),
        _OWN,
        ("pci-slot-taken",),
    ),
    Entry(
        "pci-full",
        "no PCI place is left",
        Effect.FAILS,
        "QEMU does not start.",
        "A bus has 32 slots, and some are the board's.",
        (
            "ask for fewer ports, or use `--type usb` or `virtio`, which carry many ports on one "
            "function; pci-serial goes eight to a slot with multifunction=on",
        ),
        _RUN,
        (Text("PCI: no slot/function available for <pci-serial>, all in use or reserved"),),
    ),
    Entry(
        "pci-no-bus",
        "a machine without PCI",
        Effect.FAILS,
        "QEMU does not start.",
        "microvm and small boards have no PCI bus.",
        ("use another machine type (q35, pc, virt), or a virtio-serial-device on virtio-mmio",),
        _RUN,
        (Text("No 'PCI' bus found for device"),),
        _OWN,
    ),
    Entry(
        "pci-bridge-slot",
        "slot 0 of a bridge",
        Effect.FAILS,
        "QEMU does not start.",
        "A bridge's slot 0 is its own hot-plug controller's.",
        ("give addr=1 to addr=0x1f",),
        _RUN,
        (Text("Unsupported PCI slot <0> for standard hotplug controller"),),
        _OWN,
    ),
    Entry(
        "pci-chassis",
        "two root ports or bridges with one chassis number",
        Effect.FAILS,
        "QEMU does not start.",
        "Each root port has a chassis and slot of its own, each bridge a chassis_nr above 0.",
        ("number them: `-device pcie-root-port,id=rp1,chassis=1`, `…,id=rp2,chassis=2`",),
        _RUN,
        (
            Text("Can't add chassis slot, error -16"),
            Text("Bridge chassis not specified. Each bridge is required to be assigned"),
        ),
        _OWN,
    ),
)
