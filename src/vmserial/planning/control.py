"""The harness's own port: a virtserialport on a controller that no other port shares."""

from __future__ import annotations

from vmserial.allocator import Allocator
from vmserial.model import Assignment, Chardev, Device, NodeIdentity, SerialPort, UnixSocket

CONTROL_NAME = "vmserial.control"
CONTROL_CHARDEV = "vmserial-control"
CONTROLLER = "vmserial-ctl"
"""The id of its controller."""


def control_port(allocator: Allocator) -> Assignment | None:
    """Place the harness's own port; None where the root bus has no place for its controller."""
    controller = allocator.new_virtio(CONTROLLER)
    if controller is None:
        return None
    bus = f"{controller.device.id}.0"
    params = (("bus", bus), ("nr", 1), ("chardev", CONTROL_CHARDEV), ("name", CONTROL_NAME))
    return control_assignment(bus, Device("virtserialport", f"{CONTROLLER}-port", params))


def control_assignment(bus: str, device: Device | None) -> Assignment:
    """Return the harness's own port on a bus that is all its own.

    Args:
        bus: of its controller.
        device: None where its option is made elsewhere.
    """
    return Assignment(
        port=SerialPort(-1, Chardev(UnixSocket("")), kind="virtio"),
        kind="virtio",
        chardev_id=CONTROL_CHARDEV,
        device=device,
        bus=bus,
        address="nr 1",
        identity=NodeIdentity("virtio", CONTROL_NAME),
        node=f"/dev/virtio-ports/{CONTROL_NAME}",
        hot_pluggable=False,
        reason="the harness's own channel",
    )
