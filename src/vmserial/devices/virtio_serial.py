"""virtio-serial: virtserialport (a byte stream by name) and virtconsole (hvc)."""

from __future__ import annotations

from vmserial.allocator import MMIO_SERIAL, Allocator
from vmserial.devices.base import DeviceKind
from vmserial.limits import (
    HVC_NODES,
    VIRTIO_CONTROL_QUEUE,
    VIRTIO_PORT_KIB,
    VIRTIO_PORT_KIB_10,
    VIRTIO_SERIAL_CONTROLLERS,
    VIRTIO_SERIAL_SAFE_PORTS,
)
from vmserial.model import (
    MMIO_WORDS,
    Assignment,
    Capabilities,
    Device,
    Finding,
    NodeIdentity,
    SerialPort,
    Severity,
    refusal,
)


def no_controller(allocator: Allocator, port: SerialPort | None = None) -> Finding:
    """Return the refusal of a port for whose virtio-serial controller there is no place."""
    ports = (port.name,) if port is not None else ()
    where = port.where if port is not None else None
    what = "all virtio ports are taken" if port is not None else "the harness has a port of its own"
    board = allocator.platform
    if board.virtio_serial == MMIO_SERIAL:
        return refusal(
            "virtio-mmio-full",
            f"{what}, and so are the {board.virtio_mmio} virtio-mmio transports of {board.name}, "
            "one for each virtio-serial controller",
            "ask for fewer ports",
            ports=ports,
            where=where,
        )
    return refusal(
        "pci-full",
        f"{what} and the PCI root bus has no place for another virtio-serial controller",
        "ask for fewer ports, or free a PCI slot",
        ports=ports,
        where=where,
    )


class VirtioKind(DeviceKind):
    """``virtio``: virtserialport; the fastest, 15 to a controller; not a tty."""

    name = "virtio"
    driver = "virtserialport"
    title = (
        "a virtio port known by its name; the fastest, "
        f"{VIRTIO_SERIAL_SAFE_PORTS} to a controller, not a tty"
    )
    hot_pluggable = True
    cautions = (
        "the guest's writer blocks while nobody is connected on the host",
        f"virtio's control queue holds {VIRTIO_CONTROL_QUEUE} entries and overflows silently: at "
        f"most {VIRTIO_SERIAL_SAFE_PORTS} ports to a "
        "controller, or a starting guest misses that a client is there; hot-adds are paced",
    )
    messages = 2
    """What QEMU answers when a starting guest takes this port: its name, and its client."""

    def memory_kib(self, capabilities: Capabilities) -> int:
        """See :meth:`DeviceKind.memory_kib`."""
        return VIRTIO_PORT_KIB_10 if capabilities.version[:1] == (10,) else VIRTIO_PORT_KIB

    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        missing = self.missing_driver(
            allocator, port, self.driver, allocator.platform.virtio_serial
        )
        if missing:
            return missing
        if not allocator.guest.virtio_console:
            return self.refuse(
                port,
                "guest-driver-missing",
                f"the guest {allocator.guest.name} has no virtio_console driver "
                f"({allocator.guest.source})",
                "use --type usb or pci",
                Severity.DEAD,
            )
        if allocator.platform.unseen and not allocator.guest.has(MMIO_WORDS):
            return self.refuse(
                port, "acpi-off", f"{port.name}: {allocator.platform.unseen}",
                "leave acpi=off away, or use --type isa", Severity.DEAD,
            )  # fmt: skip
        if allocator.virtio_room(self.messages) is not None:
            return None
        # One is kept: for the port over which `verify` has its shell.
        if allocator.virtio_controllers_left() <= 1:
            return self.refuse(
                port,
                "guest-major-limit",
                f"the guest's kernel takes {VIRTIO_SERIAL_CONTROLLERS} virtio-serial controllers, "
                "each with a character major of its own, and all are taken",
                f"ask for at most {(VIRTIO_SERIAL_CONTROLLERS - 1) * VIRTIO_SERIAL_SAFE_PORTS} "
                "virtio ports, or use --type usb for some",
                Severity.DEAD,
            )
        return None if allocator.virtio_places_left() else no_controller(allocator, port)

    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        taken = allocator.virtio_port(self.messages)
        assert taken is not None
        controller, number = taken
        bus = f"{controller.device.id}.0"
        return Assignment(
            port=port,
            kind=self.name,
            chardev_id=port.name,
            device=Device(
                self.driver,
                f"{self.driver}.{port.index}",
                (("bus", bus), ("nr", number), ("chardev", port.name), ("name", port.name)),
            ),
            bus=bus,
            address=f"nr {number}",
            identity=NodeIdentity("virtio", port.name),
            node=self.node(port),
            hot_pluggable=True,
            reason=reason,
            cautions=self.cautions,
        )

    def node(self, port: SerialPort) -> str:
        """Return the node that the guest will show."""
        return f"/dev/virtio-ports/{port.name}"


class VirtconsoleKind(VirtioKind):
    """``virtconsole``: an hvc tty; eight to a guest; loses silently under pressure."""

    name = "virtconsole"
    driver = "virtconsole"
    title = "a virtio console (hvc); a tty, eight to a guest"
    cautions = (
        "virtconsole loses output silently when a connected client reads too slowly",
        f"Linux has {HVC_NODES} hvc nodes",
    )
    messages = 3
    """As above, and that it is a console."""

    def obstacle(self, allocator: Allocator, port: SerialPort) -> Finding | None:
        """See :meth:`DeviceKind.obstacle`."""
        if allocator.hvc >= HVC_NODES:
            return self.refuse(
                port,
                "hvc-limit",
                f"Linux has {HVC_NODES} hvc nodes (hvc0 to hvc{HVC_NODES - 1}) and all are taken; "
                f"{port.name} would have no node",
                "use --type virtio (virtserialport) for the rest",
                Severity.DEAD,
            )
        return super().obstacle(allocator, port)

    def place(self, allocator: Allocator, port: SerialPort, reason: str) -> Assignment:
        """See :meth:`DeviceKind.place`."""
        allocator.hvc += 1
        return super().place(allocator, port, reason)

    def node(self, port: SerialPort) -> str:
        """Return ``/dev/hvc*``: the kernel chooses the number."""
        del port
        return "/dev/hvc*"


KINDS = (VirtioKind(), VirtconsoleKind())
