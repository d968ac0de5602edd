"""A property that a serial device lacks; mostly ``chardev,digi`` for ``chardev=digi``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmserial.context import EditOptions, RuleContext
from vmserial.context.chardevs import qom_name
from vmserial.context.ports import bare_chardev
from vmserial.model import Finding, Severity
from vmserial.rules.base import USES, Rule
from vmserial.sources.command import DeviceEntry
from vmserial.sources.command.edits import RemoveKey, SetKey
from vmserial.sources.command.view import SERIAL_DRIVERS


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the ports that QEMU reads as having two properties without a value."""
    for port in ctx.ports:
        meant = bare_chardev(port)
        if meant is None or port.device is None:
            continue
        says = f"write chardev={meant}" if meant in ctx.chardevs else "write chardev=ID"
        yield RULE.of_port(
            port, f"Property '{qom_name(port.driver)}.chardev' can't find value 'on'; QEMU reads "
            f"'chardev' and '{meant}' as two properties that are on", fix=says,
        )  # fmt: skip
    yield from _of_the_board(ctx)
    yield from _others(ctx)


_SUGAR = frozenset({"type", "accel", "kernel-irqchip", "kvm-shadow-mem", "igd-passthru",
                    "pflash0", "pflash1"})  # fmt: skip
"""What ``-machine`` takes and hands on; a board without flash drives has lost its pflashN when
it is asked (QEMU: hw/i386/pc_sysfw.c)."""


def _of_the_board(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the first key of ``-machine`` that the board does not have."""
    kind = ctx.machine_type or ctx.capabilities.default_machine
    there = ctx.capabilities.board_properties.get(kind)
    if not there or ctx.owner != "user":
        return
    known = ctx.capabilities.machines.get(kind)
    name_of = known.name if known is not None else kind
    for key in ctx.view.machine:
        # smp.cpus is part of smp (hw/core/machine.c).
        name = key.replace("_", "-").partition(".")[0]
        if name not in _SUGAR and not {name, key} & there and not name.startswith("x-"):
            yield RULE.finding(
                f"-machine {kind}: Property '{name_of}-machine.{key}' not found",
                next(iter(ctx.view.machine_options), None),
                fix=f"leave {key} away, or see what there is: "
                f"qemu-system-{ctx.arch} -machine {kind},help",
            )
            return


_OF_ALL = frozenset({"driver", "id", "bus"})
"""Keys of -device itself."""

_NOT_WRITABLE = frozenset({"hotpluggable", "hotplugged", "parent_bus", "realized", "type"})
"""What every device has and device-list-properties leaves out; setting it has other words."""

_PCI = frozenset(
    "acpi-index addr busnr failover_pair_id multifunction rombar romfile romsize sriov-pf".split()
)

_PROPERTIES: Mapping[str, frozenset[str]] = {
    "isa-serial": frozenset({"baudbase", "chardev", "index", "iobase", "irq", "wakeup"}),
    "pci-serial": _PCI | {"baudbase", "chardev", "prog_if", "wakeup"},
    "pci-serial-2x": _PCI | {"chardev1", "chardev2", "prog_if"},
    "pci-serial-4x": _PCI | {"chardev1", "chardev2", "chardev3", "chardev4", "prog_if"},
    "usb-serial": frozenset(
        "always-plugged attached chardev full-path msos-desc pcap port serial".split()
    ),
    "virtserialport": frozenset({"chardev", "name", "nr"}),
    "virtconsole": frozenset({"chardev", "name", "nr"}),
    "spapr-vty": frozenset({"chardev", "reg"}),
    "sclpconsole": frozenset({"chardev"}),
    "sclplmconsole": frozenset({"chardev", "echo", "write_errors"}),
}
"""The properties of serial devices where no binary was asked: all of QEMU 5.2 to 11.1."""


def _others(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the first key of each serial device and controller that it does not have."""
    bare = {id(port.option) for port in ctx.ports if bare_chardev(port) is not None}
    known: dict[str, frozenset[str]] = {}
    for device in ctx.made:
        driver, values = device.driver, device.option.params.values
        there = known.get(driver)
        if there is None:
            there = known[driver] = _known(ctx, device)
        if not there or there.issuperset(values) or id(device.option) in bare:
            continue
        for key in values:
            if key in there or key.startswith(("x-", "legacy-")) or _is_cards(device, key):
                continue
            yield RULE.finding(
                f"{device.option}: Property '{device.type_name}.{key}' not found", device.option,
                ctx.ports_at(device.option, ""), _named_rightly(ctx, device, key),
                fix=f"leave {key} away, or see what there is: -device {device.driver},help",
            )  # fmt: skip
            break


def _known(ctx: RuleContext, device: DeviceEntry) -> frozenset[str]:
    """Return the keys that a device takes; nothing where that is not known."""
    ours = device.driver in SERIAL_DRIVERS or device.is_virtio_serial or device.is_usb_controller
    asked = ctx.capabilities.devices.get(device.driver)
    found = asked.properties if asked else _PROPERTIES.get(device.driver, frozenset())
    return found | _OF_ALL | _NOT_WRITABLE if ours and found else frozenset()


def _is_cards(device: DeviceEntry, key: str) -> bool:
    """Tell whether it is the chardev of a card, which has several: rule pci-card-chardev."""
    return key == "chardev" and key not in SERIAL_DRIVERS.get(device.driver, (key,))


def _named_rightly(ctx: RuleContext, device: DeviceEntry, key: str) -> tuple[EditOptions, ...]:
    """Return how a ``chardev1=`` of a device with one chardev becomes its ``chardev=``."""
    value = device.get(key)
    alone = SERIAL_DRIVERS.get(device.driver) == ("chardev",) and not device.get("chardev")
    if not (alone and key.startswith("chardev") and value in ctx.chardevs):
        return ()
    option = device.option
    edits = (RemoveKey(option, key), SetKey(option, "chardev", value))
    return (EditOptions(edits, f"{ctx.port_at(option, '')}: chardev={value}"),)


RULE = Rule("property-unknown", Severity.FAILS, USES, check)
