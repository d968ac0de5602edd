"""Where the planned devices really are: what QEMU and the guest say, compared with the plan.

Bytes pass just as well through a device of another model, or at another place; but the
planned model, bus and address are part of what was promised.  So they are read back: of
QEMU from its object tree, of the guest from the links of its sysfs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmserial.errors import MonitorError, ShellError
from vmserial.guests.nodes import pci_path
from vmserial.machines import architecture
from vmserial.model import VIRTIO_PORTS, Assignment, Device, Plan
from vmserial.options import Option, Scalar
from vmserial.qemu.monitor import Monitor
from vmserial.values import integer, is_on
from vmserial.verify.results import Check, Fault, FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.wire.transfer import Line

MODE = "place"
"""The mode of a check that says that a port is not what, or not where, it was planned to be."""

PERIPHERAL = "/machine/peripheral"
"""Where QEMU's object tree has the devices that have an id."""

_PLACES = frozenset({"addr", "port", "nr"})
_OTHERS = frozenset(
    {"name", "serial", "chardev", "chardev1", "chardev2", "chardev3", "chardev4", "always-plugged"}
)
"""Properties that are read back: those that say where a device is, and those that say whose."""

_ALIASES = {"virtio-serial": ("virtio-serial-pci", "virtio-serial-ccw", "virtio-serial-device")}
"""Names of models that QEMU itself replaces, by its bus."""

_DOMAIN = re.compile(r".*/pci([0-9a-f]{4,}):00/[0-9a-f]{4,}:00:00\.0\Z")
_USB = re.compile(r"(.*)/usb\d+/(?:.*/)?\d+-([\d.]+)/[^/]+/ttyUSB\d+\Z")
_VIRTIO = re.compile(r"(.*)/virtio\d+\Z")
_VPORT = re.compile(r"vport\d+p(\d+)\Z")


@dataclass(frozen=True, slots=True)
class GuestPlace:
    """Where a port is in the guest: QEMU's own numbers, and none that the guest gives.

    Attributes:
        pci: slots and functions from the root bus to its controller (``1d.0/00.0``); where each
            function is alone in a domain, its number (``domain 2``).
        leaf: its place there: ``port 3`` of USB, ``nr 5`` of virtio-serial.
    """

    pci: str
    leaf: str

    def __str__(self) -> str:
        return f"{self.leaf} of the controller at PCI {self.pci}"


def guest_place(name: str, sysfs: str, *, own_domains: bool = False) -> GuestPlace | None:
    """Return where a node is; None for one whose identity is its place.

    Args:
        name: such as ``ttyUSB0`` or ``vport0p1``.
        sysfs: the path of its device, with the root bus in it.
        own_domains: each PCI function is alone in a domain of its own.
    """
    number = _VPORT.match(name)
    if found := _USB.match(sysfs):
        leaf = f"port {found[2]}"
    elif number and (found := _VIRTIO.match(sysfs)):
        leaf = f"nr {number[1]}"
    else:
        return None
    if own_domains and (alone := _DOMAIN.match(found[1])):
        return GuestPlace(_domain(int(alone[1], 16)), leaf)
    return GuestPlace(pci_path(found[1]), leaf)


def _domain(number: int) -> str:
    return f"domain {number:x}"


def devfn(address: Scalar) -> int | None:
    """Return a PCI address (``1d.2``, ``0x1e``) as QEMU's number for it; None if it is none."""
    slot, _, function = str(address).partition(".")
    try:
        return int(slot, 16) << 3 | int(function or "0", 16)
    except ValueError:
        return None


class Promise:
    """What a plan promises of its devices.

    Args:
        plan: made by the planner.

    Attributes:
        own_domains: each PCI function is alone in a domain of the guest.
    """

    def __init__(self, plan: Plan) -> None:
        self._controllers = {
            device.id: device
            for device in map(_device, plan.options)
            if device is not None and device.id
        }
        board = architecture(plan.machine.arch).planned_on(plan.machine)
        self.own_domains = board is not None and board.own_domains
        on_pci = [
            device.id
            for device in self._controllers.values()
            if board is not None and dict(device.properties).get("bus") == board.root_bus
        ]
        self._domains = {id: number for number, id in enumerate(on_pci, 1)}

    def chain(self, assignment: Assignment) -> tuple[Device, ...]:
        """Return a port's device and the planned controllers above it, up to the root bus."""
        found: list[Device] = []
        device = assignment.device
        while device is not None and device.id and device not in found:
            found.append(device)
            bus = str(dict(device.properties).get("bus", ""))
            device = self._controllers.get(bus) or self._controllers.get(bus.rpartition(".")[0])
        return tuple(found)

    def in_guest(self, assignment: Assignment) -> GuestPlace | None:
        """Return where the guest must have a port; None where its identity says so already."""
        device, *above = self.chain(assignment) or (None,)
        if device is None or not above:
            return None
        own = dict(device.properties)
        if device.driver == "usb-serial" and above[0].driver.endswith("-xhci") and "port" in own:
            leaf = f"port {own['port']}"
        elif device.driver in VIRTIO_PORTS and "nr" in own:
            leaf = f"nr {own['nr']}"
        else:
            return None
        if self.own_domains and len(above) == 1 and above[0].id in self._domains:
            return GuestPlace(_domain(self._domains[above[0].id]), leaf)
        places = []
        for one in reversed(above):
            number = devfn(dict(one.properties).get("addr", ""))
            if number is None:
                # A controller that is on no PCI bus, such as one on virtio-mmio.
                return None
            places.append(f"{number >> 3:02x}.{number & 7}")
        return GuestPlace("/".join(places), leaf)


def _device(option: Option) -> Device | None:
    if option.flag != "-device" or not option.head:
        return None
    params = dict(option.params)
    return Device(option.head, str(params.pop("id", "")), tuple(params.items()))


# ------------------------------------------------------------------ QEMU


async def of_qemu(
    monitor: Monitor, promise: Promise, assignments: Iterable[Assignment]
) -> dict[str, tuple[Fault, ...]]:
    """Return, by port, what QEMU has otherwise than planned; ports without fault are left out.

    Raises:
        LostVMError: QEMU does not answer.
    """
    known: dict[str, tuple[Fault, ...]] = {}
    found: dict[str, tuple[Fault, ...]] = {}
    for assignment in assignments:
        faults: list[Fault] = []
        for device in promise.chain(assignment):
            if device.id not in known:
                known[device.id] = tuple(await _wrong(monitor, device))
            faults += known[device.id]
        if faults:
            found[assignment.port.name] = tuple(faults)
    return found


async def _wrong(monitor: Monitor, device: Device) -> list[Fault]:
    path = f"{PERIPHERAL}/{device.id}"
    try:
        model = str(await monitor.execute("qom-get", path=path, property="type"))
    except MonitorError as error:
        detail = f"QEMU has no device {device.id}: {error.message}"
        return [Fault(FaultKind.WRONG_DEVICE, detail)]
    faults = []
    if model not in (device.driver, *_ALIASES.get(device.driver, ())):
        detail = f"{device.id} is a {model}, not the planned {device.driver}"
        faults.append(Fault(FaultKind.WRONG_DEVICE, detail))
    for key, planned in device.properties:
        name = "parent_bus" if key == "bus" else key
        if key != "bus" and key not in _PLACES | _OTHERS:
            continue
        try:
            told = await monitor.execute("qom-get", path=path, property=name)
        except MonitorError:
            # Another model has other properties: that is said already.
            continue
        if not _same(key, planned, told):
            kind = FaultKind.WRONG_DEVICE if key in _OTHERS else FaultKind.WRONG_PLACE
            said = _words(key, told)
            detail = f"{device.id} has {key}={said}, not the planned {_words('', planned)}"
            faults.append(Fault(kind, detail))
    return faults


def _same(key: str, planned: Scalar, told: object) -> bool:
    if key == "addr":
        return devfn(planned) == (told if isinstance(told, int) else devfn(str(told)))
    if key == "bus":
        return str(planned) == str(told).rpartition("/")[2]
    if isinstance(told, bool):
        return told is (planned if isinstance(planned, bool) else is_on(str(planned)))
    if isinstance(told, int):
        return integer(str(planned)) == told
    return str(planned) == str(told)


def _words(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if key == "addr" and isinstance(value, int):
        return f"{value >> 3:x}.{value & 7}"
    return str(value).rpartition("/")[2] if key == "bus" else str(value)


# ------------------------------------------------------------------ the guest


_LIST = "ls -ld /sys/class/tty/ttyUSB* /sys/class/virtio-ports/* 2>/dev/null; :"
"""One process for all ports; each line ends with a link's name and where it leads."""


async def of_guest(
    session: Session, promise: Promise, lines: Sequence[Line]
) -> dict[str, tuple[Fault, ...]]:
    """Return, by port, where the guest has it otherwise than planned.

    Raises:
        LostVMError: the guest does not answer.
    """
    wanted = {line.name: promise.in_guest(line.assignment) for line in lines if line.node}
    if not any(wanted.values()):
        return {}
    try:
        listing = await session.shell.run(_LIST, session.limits.command)
    except ShellError:
        return {}
    pairs = (text.rstrip().partition(" -> ") for text in listing.split("\n"))
    links = {name.rpartition("/")[2]: target for name, arrow, target in pairs if arrow}
    found: dict[str, tuple[Fault, ...]] = {}
    for line in lines:
        place = wanted.get(line.name)
        if place is None or line.node is None:
            continue
        # ../../devices/pci0000:00/0000:00:1f.0/virtio0/virtio-ports/vport0p1
        target = links.get(line.node.name, "").rpartition("/")[0].rpartition("/")[0]
        seen = guest_place(line.node.name, target, own_domains=promise.own_domains)
        if seen is not None and seen != place:
            detail = f"the guest has {line.name} at {seen}, not at the planned {place}"
            found[line.name] = (Fault(FaultKind.WRONG_PLACE, detail),)
    return found


async def told_by_qemu(session: Session, lines: Sequence[Line]) -> dict[str, tuple[Fault, ...]]:
    """Return what :func:`of_qemu` says of a VM that was started as the planner has it.

    Raises:
        LostVMError: QEMU does not answer.
    """
    if not session.made.planned:
        return {}
    assignments = [line.assignment for line in lines]
    return await of_qemu(session.vm.monitor, Promise(session.made.plan), assignments)


async def compare(
    session: Session, check_of: Callable[[Line], Check], lines: Sequence[Line],
    told: Mapping[str, tuple[Fault, ...]],
) -> None:  # fmt: skip
    """Decide a check of each port that is not what, or not where, it was planned to be.

    Args:
        session: with the ports' nodes.
        check_of: gives a port's check, without its verdict.
        lines: the ports.
        told: by :func:`told_by_qemu`.

    Raises:
        LostVMError: the guest does not answer.
    """
    if not session.made.planned:
        return
    wrong = dict(told)
    for name, faults in (await of_guest(session, Promise(session.made.plan), lines)).items():
        wrong[name] = (*wrong.get(name, ()), *faults)
    for line in lines:
        if faults := wrong.get(line.name, ()):
            session.registry.decide(
                check_of(line), verdict=Verdict.FAIL, faults=faults,
                detail="; ".join(dict.fromkeys(fault.detail for fault in faults)),
                node=line.node.path if line.node is not None else "",
            )  # fmt: skip
