"""A Machine's serial part as lines of a PVE configuration.

What PVE itself cannot say (serial4 and more, a pty, a device kind) becomes a
description line, ``#vmserial serial4: pty``, which PVE keeps.
"""

from __future__ import annotations

import re

from vmserial import chardevs
from vmserial.convert.losses import Loss, lost
from vmserial.formats.pve_serial import PVE_PORTS
from vmserial.model import Chardev, HostTty, Machine, SerialPort, UnixSocket

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})\Z")


def write(machine: Machine, vmid: int) -> tuple[str, tuple[Loss, ...]]:
    """Return the lines, and what is lost.

    Args:
        machine: the VM.
        vmid: its number in PVE, for the sockets' paths.
    """
    losses: list[Loss] = []
    directives: list[str] = []
    plain: list[str] = []
    for port in machine.ports:
        line, directive = _port(port, vmid)
        if any(char in chardevs.text(port.chardev) for char in "\n\r"):
            losses.append(
                lost(port, "its backend", "a line of a configuration holds no line break")
            )
            continue
        if line:
            plain.append(f"{port.name}: {line}")
        if directive:
            directives.append(f"#vmserial {port.name}: {_escaped(directive)}")
    settings = [f"arch: {machine.arch}"]
    if machine.topology.vcpus > 1:
        settings.append(f"cores: {machine.topology.vcpus}")
    if machine.accel != "auto":
        settings.append(f"kvm: {int(machine.accel == 'kvm')}")
    if machine.machine_type:
        settings.append(f"machine: {machine.machine_type}")
    settings.append(f"memory: {machine.memory_mib}")
    if _NAME.match(machine.name):
        settings.append(f"name: {machine.name}")
    if machine.boot is not None:
        losses.append(Loss("", "a kernel that QEMU loads itself",
                           "PVE boots from disks; write -kernel into args"))  # fmt: skip
    return "\n".join([*directives, *settings, *plain]) + "\n", tuple(losses)


def _port(port: SerialPort, vmid: int) -> tuple[str, str]:
    """Return the value of PVE's own line, and that of the directive; either may be empty."""
    backend = port.chardev.backend
    own = []
    if port.kind != "auto":
        own.append(f"type={port.kind}")
    if port.hotplug:
        own.append("hotplug=on")
    if port.state != "plugged":
        own.append(f"state={port.state}")
    pves = Chardev(UnixSocket(f"/var/run/qemu-server/{vmid}.{port.name}"))
    plain = ""
    if port.index < PVE_PORTS and port.chardev == pves:
        plain = "socket"
    elif port.index < PVE_PORTS and isinstance(backend, HostTty) and not port.chardev.logfile:
        plain = "" if "," in backend.path or not _stands_alone(backend.path) else backend.path
    if plain:
        return plain, ",".join(own)
    text = "socket" if port.chardev == pves else chardevs.text(port.chardev)
    return "", ",".join([text, *own])


def _stands_alone(path: str) -> bool:
    return path.strip() == path and re.match(r"/dev/[^,]+\Z", path) is not None


def _escaped(text: str) -> str:
    """Return a description line's text: PVE decodes ``%XX`` in it."""
    return text.replace("%", "%25")
