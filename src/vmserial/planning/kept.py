"""The ports of a libvirt domain: each device as libvirt has it, where it is alive there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from vmserial import chardevs
from vmserial.allocator import Allocator
from vmserial.devices import KINDS
from vmserial.errors import UsageError
from vmserial.limits import HVC_NODES, ISA_SERIAL_PLACES
from vmserial.model import Assignment, Device, NodeIdentity, SerialPort
from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.options import Scalar
from vmserial.placing import Placer
from vmserial.values import integer

_KIND = {
    "isa-serial": "isa", "usb-serial": "usb", "pci-serial": "pci", "virtserialport": "virtio",
    "virtconsole": "virtconsole", "spapr-vty": "uart", "sclpconsole": "uart",
    "sclplmconsole": "uart",
}  # fmt: skip
_ADDRESS = re.compile(r"0x([0-9a-f]+)(?:\.0x([0-7]))?\Z")
_HOT = frozenset({"usb", "virtio", "virtconsole"})
"""What can be unplugged where it is; a pci-serial's slot is not one of its own."""

_REASON = "where libvirt has it"
_ROOTS = frozenset({"pci.0", "pcie.0", "pci"})


class KeptPorts:
    """Places the ports that libvirt starts.

    A port that would be dead, or would keep QEMU from starting, is left to the planner.  An
    assumed limit of the guest's is no reason to move one: it is there.

    Attributes:
        lowered: what libvirt starts.
    """

    def __init__(self, allocator: Allocator, lowered: LoweredCommand) -> None:
        self.allocator, self.lowered = allocator, lowered
        self._used: set[tuple[str, str]] = set()
        self._numbers: dict[str, set[int]] = {}
        self._paths = pci_paths(lowered)

    def place(self, ports: list[SerialPort], placer: Placer) -> list[Assignment]:
        """Place them, and keep the others off what libvirt's devices take."""
        allocator, lowered = self.allocator, self.lowered
        hosts = {
            str(dict(o.option.params).get("id")): o.option for o in lowered.options
            if o.option.flag == "-chardev"
        }  # fmt: skip
        wanted = {
            id: port for id, index in lowered.numbers.items() for port in ports
            if port.index == index and id in hosts
        }  # fmt: skip
        kept: list[Assignment] = []
        for each in lowered.options:
            id = chardev_of(each)
            if (port := wanted.get(id)) is None:
                self._take_root(each)
                continue
            if (made := self._kept(each, port, id)) is None:
                continue
            try:
                name, version = port.name, allocator.capabilities.version
                placer.chardevs[name] = chardevs.option(id, port.chardev, version)
            except UsageError as error:
                placer.refuse(port, "bad-value", error.message, error.hint)
            self._take_root(each)
            kept.append(made)
        if any(made.kind == "uart" for made in kept):
            # A further -serial would be counted among libvirt's.
            allocator.avoid = frozenset({"uart"})
        return kept

    def _take_root(self, each: LoweredOption) -> None:
        """Take a device's slot of the root bus."""
        params = dict(each.option.params)
        match = _ADDRESS.match(str(params.get("addr", "")))
        if each.option.flag == "-device" and match and params.get("bus") in _ROOTS:
            self.allocator.take(int(match[1], 16))

    def _kept(self, each: LoweredOption, port: SerialPort, id: str) -> Assignment | None:
        """Return a port at its place; None where it would not live there."""
        option = each.option
        kind = "uart" if option.flag == "-serial" else _KIND.get(option.head, "")
        asked = port.kind in {"auto", kind} and port.state == "plugged"
        if not kind or not asked or (port.hotplug and kind not in _HOT):
            return None
        if option.flag == "-serial":
            return self._onboard(port, id)
        params = dict(option.params)
        where = self._where(kind, option.head, params)
        if where is None:
            return None
        bus, address, identity, node = where
        if (bus, address) in self._used or not self._room(kind, params):
            return None
        self._used.add((bus, address))
        properties: list[tuple[str, Scalar]] = [
            (key, _number(params, key, 0) if key == "index" else value)
            for key, value in option.params if key != "id"
        ]  # fmt: skip
        if kind == "usb" and "always-plugged" not in params and not self._plugged():
            # Without it the device is absent from the guest until a client connects.
            properties.append(("always-plugged", True))
        device = Device(option.head, str(params.get("id", "")), tuple(properties))
        cautions = KINDS[kind].cautions
        if kind == "uart" and self.allocator.platform.uart is not None:
            cautions = self.allocator.platform.uart.cautions
        return Assignment(
            port=port, kind=kind, chardev_id=id, device=device, bus=bus, address=address,
            identity=identity, node=node,
            hot_pluggable=kind in _HOT, reason=_REASON,
            cautions=cautions,
        )  # fmt: skip

    def _onboard(self, port: SerialPort, id: str) -> Assignment | None:
        if not self.allocator.uarts_left:
            return None
        made = KINDS["uart"].place(self.allocator, port, _REASON)
        return replace(made, chardev_id=id)

    def _plugged(self) -> bool:
        """Tell whether the user's own words keep each usb-serial plugged in."""
        return any("usb-serial.always-plugged" in word for word in self.allocator.machine.args)

    def _room(self, kind: str, params: Mapping[str, Scalar]) -> bool:
        """Take what a kind has a number of; False where that is used up."""
        allocator = self.allocator
        if kind == "isa":
            index = _number(params, "index", -1)
            if index not in allocator.isa_free:
                return False
            allocator.isa_free.remove(index)
        elif kind == "virtconsole":
            if allocator.hvc >= HVC_NODES:
                return False
            allocator.hvc += 1
        allocator.uarts_8250 += kind in {"isa", "pci"}
        allocator.pci_uarts += kind == "pci"
        allocator.ttyusb += kind == "usb"
        return True

    def _where(
        self, kind: str, driver: str, params: Mapping[str, Scalar]
    ) -> tuple[str, str, NodeIdentity, str] | None:
        """Return bus, address, what the node is known by, and the node; None: it has no place."""
        bus = str(params.get("bus", ""))
        if kind == "isa":
            index = _number(params, "index", -1)
            if not 0 <= index < len(ISA_SERIAL_PLACES):
                return None
            base, irq = ISA_SERIAL_PLACES[index]
            base, irq = _number(params, "iobase", base), _number(params, "irq", irq)
            identity = NodeIdentity("io", f"{base:#x}")
            return "isa.0", f"{base:#x} irq {irq}", identity, f"/dev/ttyS{index}"
        if kind == "usb":
            if "port" not in params:
                return None
            address = f"port {params['port']}"
            serial = str(params.get("serial", "")) or f"{bus} {address}"
            return bus, address, NodeIdentity("usb", serial), "/dev/ttyUSB*"
        if kind == "pci":
            match = _ADDRESS.match(str(params.get("addr", "")))
            if match is None or bus not in self._paths:
                return None
            address = _text(match)
            path = f"{self._paths[bus]}{address}#0"
            return bus, address, NodeIdentity("pci", path), "/dev/ttyS*"
        if kind in {"virtio", "virtconsole"}:
            bus = bus or newest_virtio_bus(self.lowered)
            address = f"nr {self._number(kind, bus, params)}"
            name = str(params.get("name", "")) or f"{bus} {address}"
            node = "/dev/hvc*"
            if kind == "virtio":
                node = f"/dev/virtio-ports/{name}" if "name" in params else "/dev/vport*"
            return bus, address, NodeIdentity("virtio", name), node
        return self._of_the_board(driver, params)

    def _number(self, kind: str, bus: str, params: Mapping[str, Scalar]) -> int:
        """Return a virtio port's number: QEMU gives one where none is said.

        0 is kept for the first console (hw/char/virtio-serial-bus.c).
        """
        taken = self._numbers.setdefault(bus, set())
        if not taken:
            found = (dict(each.option.params) for each in self.lowered.options)
            taken |= {
                _number(each, "nr", 0) for each in found if each.get("bus") == bus and "nr" in each
            }
        if "nr" in params:
            return _number(params, "nr", 0)
        first = 0 if kind == "virtconsole" and 0 not in taken else 1
        number = next(n for n in count(first) if n not in taken)
        taken.add(number)
        return number

    def _of_the_board(
        self, driver: str, params: Mapping[str, Scalar]
    ) -> tuple[str, str, NodeIdentity, str]:
        uart = self.allocator.platform.uart
        node = f"{uart.node}*" if uart is not None else "/dev/tty*"
        if driver == "spapr-vty":
            reg = hex(_number(params, "reg", 0))
            return "spapr-vio", reg, NodeIdentity("vio", reg), node
        return "sclp", driver, NodeIdentity("sclp", driver), node


def with_their_bus(assignment: Assignment, lowered: LoweredCommand) -> Assignment:
    """Return a virtio port on the bus that QEMU gives it, whatever is added.

    One that names no bus QEMU puts on the newest that has room.
    """
    device = assignment.device
    no_bus = device is not None and "bus" not in dict(device.properties)
    if device is None or not no_bus or assignment.kind not in {"virtio", "virtconsole"}:
        return assignment
    bus: tuple[str, Scalar] = ("bus", newest_virtio_bus(lowered))
    return replace(assignment, device=replace(device, properties=(*device.properties, bus)))


def newest_virtio_bus(lowered: LoweredCommand) -> str:
    """Return the bus on which QEMU puts a virtio port that names none."""
    found = [
        str(dict(each.option.params).get("id")) for each in lowered.options
        if each.option.head.startswith("virtio-serial")
    ]  # fmt: skip
    return f"{found[-1] if found else 'virtio-serial0'}.0"


def chardev_of(each: LoweredOption) -> str:
    """Return the id of the host's end of a device or a ``-serial``; empty if there is none."""
    option = each.option
    if each.origin.owner == "user":
        return ""
    if option.flag == "-serial":
        return (option.raw or "").removeprefix("chardev:")
    return str(dict(option.params).get("chardev", "")) if option.flag == "-device" else ""


def pci_paths(lowered: LoweredCommand) -> dict[str, str]:
    """Return the slots and functions that lead to each PCI bus, ``01.0/``."""
    found = dict.fromkeys(_ROOTS, "")
    left = [dict(each.option.params) for each in lowered.options if each.option.flag == "-device"]
    # A bridge may stand before the one that it is behind.
    while True:
        ready = [params for params in left if str(params.get("bus")) in found]
        if not ready:
            return found
        left = [params for params in left if str(params.get("bus")) not in found]
        for params in ready:
            if match := _ADDRESS.match(str(params.get("addr", ""))):
                path = f"{found[str(params['bus'])]}{_text(match)}/"
                found.setdefault(str(params.get("id", "")), path)


def _number(params: Mapping[str, Scalar], key: str, default: int) -> int:
    """Return a property's number; an override may have made it anything."""
    return integer(str(params.get(key, "")), default) or 0


def _text(match: re.Match[str]) -> str:
    return f"{int(match[1], 16):02x}.{match[2] or 0}"
