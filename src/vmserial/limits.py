"""The numbers of QEMU, Linux, Proxmox VE and libvirt that decide what a serial port can be.

Each stands here once, with its source; nothing is imported.  What a machine type or a
guest's kernel has of its own (on-board UARTs, 8250 ports) is in :mod:`vmserial.machines`
and in the guest's profile; PVE's fixed map of PCI slots is in its rooms.
"""

from __future__ import annotations

# ------------------------------------------------------------------ QEMU

ISA_SERIAL_PORTS = 4
"""isa-serial devices of a VM: MAX_ISA_SERIAL_PORTS (QEMU: include/hw/char/serial.h)."""

ISA_SERIAL_PLACES = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))
"""I/O base and IRQ of isa-serial by its index (QEMU: hw/char/serial-isa.c)."""

MUX_FRONTENDS = 4
"""Users of one chardev with ``mux=on``, monitors among them: MAX_MUX (QEMU:
chardev/chardev-internal.h)."""

PARALLEL_PORTS = 3
"""-parallel of a VM: MAX_PARALLEL_PORTS (QEMU: include/hw/char/parallel.h)."""

XHCI_PORTS = 15
"""USB ports of one qemu-xhci or nec-xhci; a larger ``p2`` is silently clamped (QEMU:
hw/usb/hcd-xhci.h)."""

XHCI_DEFAULT_PORTS = 4
"""USB 2 ports of an xhci that names no ``p2`` (QEMU: hw/usb/hcd-xhci.c)."""

EHCI_PORTS = 6
"""USB ports of an EHCI controller (QEMU: NB_PORTS in hw/usb/hcd-ehci.h)."""

OHCI_PORTS = 3
"""USB ports of a pci-ohci that names no ``num-ports`` (QEMU: hw/usb/hcd-ohci-pci.c)."""

UHCI_PORTS = 2
"""USB ports of a UHCI controller (QEMU: NB_PORTS in hw/usb/hcd-uhci.h)."""

VIRTIO_SERIAL_PORTS = 31
"""Ports of a virtio-serial controller that names no ``max_ports``, number 0 among them
(QEMU: hw/virtio/virtio-serial-pci.c)."""

VIRTIO_SERIAL_MOST_PORTS = 511
"""The largest ``max_ports``: VIRTIO_QUEUE_MAX / 2 - 1 (QEMU: hw/char/virtio-serial-bus.c)."""

VIRTIO_CONTROL_QUEUE = 32
"""Entries of a virtio-serial controller's control queue (QEMU: hw/char/virtio-serial-bus.c)."""

VIRTIO_CONTROL_MESSAGES = VIRTIO_CONTROL_QUEUE - 1
"""Messages about its ports that a starting controller brings through: the sum of the answers to
each port, one of the queue's entries being taken back only after each answer (measured)."""

VIRTIO_SERIAL_SAFE_PORTS = 15
"""Ports with clients that one virtio-serial carries through a guest's start; number 0 is kept
for the first console.

Its bus carries 31.  But while a guest's driver starts, QEMU sends it two messages
for a named port that has a client, besides the one that adds it, through the control
queue that the driver refills one by one.  What does not fit is dropped without a word
(``send_control_msg`` in hw/char/virtio-serial-bus.c), and what is dropped last is
the client's presence: the guest's writer then waits for ever.
"""

VIRTIO_PORT_KIB = 570
"""Memory of the guest for each virtio port: it fills a queue of 128 entries with a page each
(measured on QEMU 7.2: 566 on aarch64, 572 on x86_64)."""

VIRTIO_PORT_KIB_10 = 4300
"""The same on QEMU 10, whose queues have 1024 entries (measured on 10.0)."""

PCI_SLOTS = 32
"""Slots of a PCI bus (PCI Local Bus Specification 3.0, 3.2.2.3.2: five bits of device number)."""

PCI_FUNCTIONS = 8
"""Functions of a PCI slot (the same, three bits of function number)."""

GICV2_CPUS = 8
"""CPUs of an ARM GICv2, the default of ``virt`` under TCG (QEMU: hw/arm/virt.c)."""

UARTS_MEASURED = 8
"""On-board UARTs that :func:`vmserial.qemu.binary.probe` looks for: it stands for 8 or more
(measured)."""

USB_HUB_PORTS = 8
"""Ports of a usb-hub that names no number (QEMU: hw/usb/dev-hub.c)."""

VNC_PORT = 5900
"""The TCP port of VNC's screen 0; that of screen N is N more (QEMU: ui/vnc.c)."""

PCIE_CHASSIS = 256
"""Chassis numbers of root ports and switches: one byte (QEMU: hw/pci/pcie_port.c)."""

# ------------------------------------------------------------------ Linux

USB_PORT_KIB = 230
"""Memory of the guest for each usb-serial (measured: 174 on aarch64, 229 on x86_64)."""

GUEST_LEAST_MIB = 128
"""Memory that a distribution's kernel, its initramfs and a shell need besides its ports
(an estimate; 1,000 virtio ports in 512 MiB, 557 of them needed, were seen to end in a panic)."""

CHAR_MAJORS = 149
"""Character majors that Linux gives to drivers on demand: 254 to 234, then 511 to 384 (Linux:
include/linux/fs.h, fs/char_dev.c)."""

VIRTIO_SERIAL_CONTROLLERS = CHAR_MAJORS - 16
"""virtio-serial controllers of a guest: virtio_console takes a character major for each (Linux:
register_chrdev in drivers/char/virtio_console.c), and 16 are left to other drivers.  Booted:
Debian 12 arm64 (Linux 6.1) bound 133 of 154."""

SUN_PATH_MAX = 107
"""Bytes of a unix socket's path: ``sun_path`` holds 108 with the final NUL (unix(7))."""

HVC_NODES = 8
"""``/dev/hvc0`` to ``hvc7``: MAX_NR_HVC_CONSOLES, which is HVC_ALLOC_TTY_ADAPTERS (Linux:
drivers/tty/hvc/hvc_console.h)."""

HVC_NODE = "/dev/hvc"
"""The nodes of virtconsole, and of pseries' spapr-vty, without their number (Linux:
drivers/tty/hvc/hvc_console.c)."""

TTYUSB_NODES = 512
"""``/dev/ttyUSB*``: USB_SERIAL_TTY_MINORS (Linux: drivers/usb/serial/usb-serial.c)."""

AUTO_USB_PORTS = 60
"""How many usb ports ``auto`` gives before it goes on: four xhci, measured on a real guest."""

# ------------------------------------------------------------------ Proxmox VE

PVE_SERIAL_PORTS = 4
"""PVE has the lines serial0 to serial3: $MAX_SERIAL_PORTS (qemu-server 9.2:
PVE/QemuServer.pm)."""

PVE_ARCHITECTURES = ("x86_64", "aarch64")
"""What PVE takes as ``arch:`` (the schema of qemu-server 9.2.6)."""

PVE_KEYS = {
    "ide": 4, "sata": 6, "scsi": 31, "virtio": 16, "net": 32, "usb": 14, "hostpci": 16,
    "parallel": 3, "numa": 8, "virtiofs": 10, "ipconfig": 32, "unused": 256,
}  # fmt: skip
"""How many of a numbered key PVE knows, from 0 on (qemu-server 9.2: PVE/QemuServer/*.pm)."""

# ------------------------------------------------------------------ libvirt

LIBVIRT_VIRTIO_LAST_PORT = 30
"""The last port of a virtio-serial controller, unless its ``ports=`` says fewer (libvirt 9.0:
run)."""

LIBVIRT_VIRTIO_CONSOLES = 30
"""Ports of the one virtio-serial controller that libvirt gives all its virtio consoles (libvirt
9.0: run)."""
