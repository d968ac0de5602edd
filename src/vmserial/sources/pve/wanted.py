"""Which ports a configuration asks for that its command does not have, or has otherwise.

A ``#vmserial`` line, a line for ``serial4`` and beyond, and what the user asks for by
options are no part of PVE's command.  They are compared with it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from vmserial import chardevs
from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.model import Machine, SerialPort
from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.options import parts_of
from vmserial.sources.command.legacy import chardev_of
from vmserial.sources.pve import edits
from vmserial.sources.pve.document import Document, Setting
from vmserial.sources.pve.lower import ArgsSpan
from vmserial.sources.pve.own import own_line
from vmserial.sources.pve.raise_args import concerns, without_ports
from vmserial.sources.pve.values import quoted

DIRECTIVE_ONLY = "pve-directive-only"
STALE = "pve-args-stale"
LIMIT = "pve-serial-limit"
UNKNOWN = "pve-backend-unknown"

_HOT = re.compile(r"vmserial-rp[0-9]+\Z")


@dataclass(frozen=True)
class Wish:
    """A port that is to be otherwise than PVE starts it.

    Attributes:
        port: as it is to be.
        id: of the finding that says so.
        chardev: its back end is missing, or another one.
        device: its device is missing, or another one.
    """

    port: SerialPort
    id: str
    chardev: bool
    device: bool


@dataclass(frozen=True)
class _There:
    """What a command has of a port."""

    chardev: LoweredOption | None = None
    device: LoweredOption | None = None


def wishes(lowered: LoweredCommand, machine: Machine, kinds: Mapping[str, str]) -> list[Wish]:
    """Return the ports that are to be otherwise, by index.

    Args:
        lowered: the command of the configuration.
        machine: what the configuration, and the user's options, ask for.
        kinds: the kind of each serial device, by its driver.
    """
    there = dict(_there(lowered, {port.name for port in machine.ports}))
    found = []
    for port in sorted(machine.ports, key=lambda port: port.index):
        if port.state != "plugged":
            # It is not there at the start: nothing for a configuration to say.
            continue
        have = there.get(port.name, _There())
        chardev = have.chardev is None or not _same_back_end(have.chardev, port)
        device = _other_device(have, port, kinds)
        if chardev or device:
            found.append(Wish(port, _id(machine, port), chardev, device))
    return found


def _there(lowered: LoweredCommand, names: set[str]) -> Iterator[tuple[str, _There]]:
    chardevs_of: dict[str, LoweredOption] = {}
    devices: dict[str, LoweredOption] = {}
    for each in lowered.options:
        option = each.option
        if option.flag == "-chardev":
            name = dict(_pairs(each)).get("id", "")
            if name in names:
                chardevs_of.setdefault(name, each)
        elif option.flag == "-serial":
            devices.setdefault((option.value() or "").removeprefix("chardev:"), each)
        elif option.flag == "-device":
            for key, value in _pairs(each):
                if key.startswith("chardev") and value in names:
                    devices.setdefault(value, each)
    for name in names:
        yield name, _There(chardevs_of.get(name), devices.get(name))


def _pairs(each: LoweredOption) -> tuple[tuple[str, str], ...]:
    return parts_of(each.option)[1]


def _head(each: LoweredOption) -> str:
    return parts_of(each.option)[0]


def _same_back_end(each: LoweredOption, port: SerialPort) -> bool:
    handle = each.origin.handle
    if isinstance(handle, Setting) and handle.key == port.name:
        return own_line(port) == handle.value
    params = dict(_pairs(each))
    params.pop("id", None)
    have = chardev_of(_head(each), params)
    return have is not None and chardevs.text(have) == chardevs.text(port.chardev)


def _other_device(have: _There, port: SerialPort, kinds: Mapping[str, str]) -> bool:
    """Tell whether a port's device is not the one that is asked for.

    A chardev alone is no difference where no kind is asked for: what is wrong with it
    the judge says.
    """
    if have.device is None:
        return have.chardev is None
    option = have.device.option
    kind = "uart" if option.flag == "-serial" else kinds.get(_head(have.device), "")
    if port.kind not in {"auto", kind}:
        return True
    if not port.hotplug or kind != "pci":
        return port.hotplug and kind in {"uart", "isa"}
    params = dict(_pairs(have.device))
    alone = "multifunction" not in params and params.get("addr", "").endswith(".0")
    return _HOT.match(params.get("bus", "")) is None and not alone


def _id(machine: Machine, port: SerialPort) -> str:
    line = next((line for line in machine.pve_serials if line.index == port.index), None)
    if line is not None and port.index >= PVE_SERIAL_PORTS:
        return LIMIT
    if line is not None and refused_by_pve(line.value):
        return UNKNOWN
    return STALE if port.index in machine.pve_args_ports else DIRECTIVE_ONLY


def refused_by_pve(value: str) -> bool:
    """Tell whether PVE refuses to start a VM with this value of a serial line."""
    return value != "socket" and re.fullmatch(r"/dev/[^,]+", value) is None


def put_into_args(
    document: Document, lowered: LoweredCommand, wish: Wish, version: tuple[int, int, int]
) -> Document:
    """Ask for a port by its chardev in ``args:``; whoever judges it gives it a device.

    Args:
        document: the configuration.
        lowered: its command.
        wish: the port.
        version: of QEMU, for the form of the chardev.
    """
    name = wish.port.name
    in_args = any(
        isinstance(each.origin.handle, ArgsSpan) and concerns(each.option, (name,))
        for each in lowered.options
    )
    if in_args:
        if not wish.chardev:
            return without_ports(document, lowered, (name,), "device")
        document = without_ports(document, lowered, (name,), "" if wish.device else "chardev")
    document = edits.remove(document, name)
    option = chardevs.option(name, wish.port.chardev, version)
    words = " ".join(map(quoted, option.argv()))
    setting = document.main.values.get("args")
    text = setting.value if setting is not None else ""
    return edits.put(document, "args", f"{text} {words}".strip())


def logged(machine: Machine, directory: str) -> Machine:
    """Return a VM with a log for each port that keeps none.

    Args:
        machine: the VM.
        directory: where the logs are, as ``<VMID>.<port>.log``; empty: nothing is changed.
    """
    if not directory:
        return machine
    ports = tuple(
        port if port.chardev.logfile else replace(port, chardev=replace(
            port.chardev, logfile=f"{directory}/{machine.vmid}.{port.name}.log", logappend=True
        ))
        for port in machine.ports
    )  # fmt: skip
    return replace(machine, ports=ports)
