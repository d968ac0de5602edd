"""usb-serial: an FTDI FT232BM on an xhci of ours."""

from __future__ import annotations

from vmserial.allocator import Allocator
from vmserial.devices.base import DeviceKind, without_pci
from vmserial.limits import TTYUSB_NODES, USB_PORT_KIB
from vmserial.model import Assignment, Device, Finding, NodeIdentity, SerialPort, Severity


class UsbSerialKind(DeviceKind):
    """``usb``: a real tty, hot-pluggable, 15 to a controller, no PCI slot of its own."""

    name = "usb"
    driver = "usb-serial"
    title = "an FTDI converter on xhci; a real tty, hot-pluggable, 15 to a controller"
    hot_pluggable = True
    guest_kib = USB_PORT_KIB
    cautions = (
        "usb-serial blocks migration and snapshots with RAM",
        # Run on 5.2, 7.2 and 10.0: device_del with a client that keeps sending.
        "before it is unplugged its client must be disconnected: QEMU (5.2 to 11.1) dies by "
        "SIGSEGV when input arrives while a usb-serial is taken out",
        "a connected client that stops reading hangs the whole guest and QMP: whoever holds its "
        "chardev must always drain it",
    )

    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        missing = self.missing_driver(allocator, port, self.driver, "qemu-xhci")
        if missing:
            return missing
        if not allocator.guest.usb_serial:
            return self.refuse(
                port,
                "guest-driver-missing",
                f"the guest {allocator.guest.name} has no ftdi_sio or xhci driver "
                f"({allocator.guest.source})",
                "use --type pci or virtio",
                Severity.DEAD,
            )
        if allocator.ttyusb >= TTYUSB_NODES:
            return self.refuse(
                port,
                "ttyusb-limit",
                f"Linux has {TTYUSB_NODES} ttyUSB nodes and all are taken",
                "use --type virtio for the rest",
                Severity.DEAD,
            )
        if problem := without_pci(self, allocator, port):
            return problem
        if not any(c.free for c in allocator.usb) and not allocator.pci_functions_left():
            return self.refuse(
                port,
                "pci-full",
                "all USB ports are taken and the PCI root bus has no place for another xhci",
                "ask for fewer ports, or free a PCI slot",
            )
        return None

    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        taken = allocator.usb_port()
        assert taken is not None
        controller, number = taken
        allocator.ttyusb += 1
        bus = f"{controller.device.id}.0"
        name = port.name
        return Assignment(
            port=port,
            kind=self.name,
            chardev_id=name,
            device=Device(
                self.driver,
                f"usbserial{port.index}",
                (
                    ("bus", bus),
                    ("port", str(number)),
                    ("chardev", name),
                    # Without it the device is absent from the guest until a client connects.
                    ("always-plugged", True),
                    ("serial", name),
                ),
            ),
            bus=bus,
            address=f"port {number}",
            identity=NodeIdentity("usb", name),
            node="/dev/ttyUSB*",
            hot_pluggable=True,
            reason=reason,
            cautions=self.cautions,
        )


KINDS = (UsbSerialKind(),)
