"""isa-serial: the PC's four classic ports."""

from __future__ import annotations

from vmserial.allocator import Allocator
from vmserial.devices.base import DeviceKind, guest_8250_full
from vmserial.limits import ISA_SERIAL_PLACES, ISA_SERIAL_PORTS
from vmserial.model import Assignment, Device, Finding, NodeIdentity, SerialPort, Severity


class IsaSerialKind(DeviceKind):
    """``isa``: 16550A at 3f8, 2f8, 3e8, 2e8; x86 only; its limit is the index, four."""

    name = "isa"
    driver = "isa-serial"
    title = "a 16550A on the ISA bus; x86 only, four at most"
    hot_pluggable = False

    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        if allocator.platform.unseen_isa:
            return self.refuse(
                port,
                "isa-serial-dead",
                f"isa-serial on {allocator.architecture.name} {allocator.platform.name}: "
                f"{allocator.platform.unseen_isa}",
                "use --type auto, uart, usb, pci or virtio",
                Severity.DEAD,
            )
        if not allocator.platform.isa:
            return self.refuse(
                port,
                "kind-not-on-arch",
                f"'isa-serial' is not a valid device model name: {allocator.architecture.name} "
                f"{allocator.platform.name} has no ISA bus",
                "use --type auto, usb, pci or virtio",
            )
        if not allocator.isa_free:
            return self.refuse(
                port,
                "isa-limit",
                f"Max. supported number of ISA serial ports is {ISA_SERIAL_PORTS}, and all four "
                "are taken",
                "use --type auto, usb, pci or virtio for it",
            )
        return self.missing_driver(allocator, port, self.driver) or guest_8250_full(
            self, allocator, port
        )

    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        # serialN is COM N+1 where that is free, as PVE and every PC user expect.
        own = port.index if port.com is None else port.com
        wanted = allocator.isa_at.get(port.name, own)
        index = wanted if wanted in allocator.isa_free else allocator.isa_free[0]
        allocator.isa_free.remove(index)
        allocator.uarts_8250 += 1
        base, irq = ISA_SERIAL_PLACES[index]
        return Assignment(
            port=port,
            kind=self.name,
            chardev_id=port.name,
            device=Device(
                self.driver,
                f"isaserial{port.index}",
                (("index", index), ("chardev", port.name)),
            ),
            bus="isa.0",
            address=f"{base:#x} irq {irq}",
            identity=NodeIdentity("io", f"{base:#x}"),
            node=f"/dev/ttyS{index}",
            hot_pluggable=False,
            reason=reason,
            cautions=self.cautions,
        )


KINDS = (IsaSerialKind(),)
