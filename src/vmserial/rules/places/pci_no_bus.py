"""A device for PCI, or for virtio-mmio, on a machine that has none."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.machines import WITHOUT_PCI, WITHOUT_VIRTIO_MMIO
from vmserial.model import PCI_UARTS, Finding, Repair, Severity
from vmserial.rules.base import PLACES, Rule
from vmserial.sources.command import DeviceEntry
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the serial devices and their controllers that find no bus."""
    yield from _mmio(ctx)
    if not _without_pci(ctx):
        return
    for device in ctx.made:
        if not ((_carries(device) and ctx.is_pci(device)) or device.driver == "virtio-serial"):
            continue
        names = tuple(port.name for port in ctx.ports if port.option is device.option)
        yield RULE.finding(
            f"{device.option}: No 'PCI' bus found for device '{device.type_name}'",
            device.option, names, _repairs(ctx, device),
        )  # fmt: skip


def _repairs(ctx: RuleContext, device: DeviceEntry) -> tuple[Repair, ...]:
    """Return what brings the bus, where a property of the board does and the device lives there."""
    board = ctx.platform
    if board is None or board.unseen or not ctx.view.machine_options:
        return ()
    if "pcie" not in dict(board.options) or device.driver in PCI_UARTS:
        return ()
    return (EditOptions((SetKey(ctx.view.machine_options[-1], "pcie", True),), "pcie=on"),)


def _mmio(ctx: RuleContext) -> Iterator[Finding]:
    if ctx.platform is not None:
        lacks = not ctx.platform.virtio_mmio
    else:
        lacks = ctx.machine_type in WITHOUT_VIRTIO_MMIO
    for device in ctx.made if lacks else ():
        if device.driver == "virtio-serial-device" and not device.params.get("bus"):
            instead = ctx.platform.virtio_serial if ctx.platform else ""
            yield RULE.finding(
                f"{device.option}: No 'virtio-bus' bus found for device '{device.driver}'",
                device.option,
                fix=f"use {instead}" if instead else "use another machine type, such as virt",
            )


def _without_pci(ctx: RuleContext) -> bool:
    if ctx.platform is not None:
        return not ctx.platform.root_bus
    return ctx.board in WITHOUT_PCI


def _carries(device: DeviceEntry) -> bool:
    controller = device.is_virtio_serial or device.is_usb_controller
    return controller or device.driver.startswith("pci-serial")


RULE = Rule("pci-no-bus", Severity.FAILS, PLACES, check)
