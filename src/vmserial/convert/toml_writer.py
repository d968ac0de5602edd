"""A Machine's serial part as our own TOML: everything about a port can be said there."""

from __future__ import annotations

import json
import re

from vmserial import chardevs
from vmserial.convert.losses import Loss, lost
from vmserial.model import Machine

_PLACEHOLDER = re.compile(r"\{[a-z_]*\}")


def write(machine: Machine) -> tuple[str, tuple[Loss, ...]]:
    """Return the TOML, and what is lost: only a name that would be a placeholder there."""
    losses = []
    lines = [f"arch = {text(machine.arch)}", f"name = {text(machine.name)}"]
    if machine.machine_type:
        lines.append(f"machine_type = {text(machine.machine_type)}")
    if machine.accel != "auto":
        lines.append(f"accel = {text(machine.accel)}")
    lines.append(f"memory = {machine.memory_mib}")
    if machine.machine_options:
        lines += ["", "[machine_options]"]
        lines += [f"{text(key)} = {text(value)}" for key, value in machine.machine_options]
    if machine.cpu.model:
        lines += ["", "[cpu]", f"model = {text(machine.cpu.model)}"]
        if machine.cpu.flags:
            lines.append(f"flags = [{', '.join(map(text, machine.cpu.flags))}]")
    if machine.topology.vcpus > 1:
        topology = machine.topology
        lines += ["", "[topology]", f"vcpus = {topology.vcpus}"]
        lines += [f"sockets = {topology.sockets}", f"cores = {topology.cores}"]
    if machine.boot is not None:
        lines += ["", "[boot]", f"kernel = {text(machine.boot.kernel)}"]
        if machine.boot.initrd:
            lines.append(f"initrd = {text(machine.boot.initrd)}")
        if machine.boot.append:
            lines.append(f"append = {text(machine.boot.append)}")
    for port in machine.ports:
        if _PLACEHOLDER.search(chardevs.text(port.chardev)):
            why = "in TOML a word in braces stands for the port's number or the VM's name"
            losses.append(lost(port, "its backend", why))
            continue
        lines += ["", "[[port]]", f"index = {port.index}"]
        lines.append(f"backend = {text(chardevs.text(port.chardev))}")
        if port.kind != "auto":
            lines.append(f"type = {text(port.kind)}")
        if port.hotplug:
            lines.append("hotplug = true")
        if port.state != "plugged":
            lines.append(f"state = {text(port.state)}")
    return "\n".join(lines) + "\n", tuple(losses)


def text(value: str) -> str:
    """Return a TOML string; JSON's form is TOML's but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
