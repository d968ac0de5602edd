"""What is wrong with a configuration: what fails to start, what is silently dead, and why.

Two questions are asked.  For a PVE configuration: what would PVE itself do with
it (qemu-server 9.2; its rules as facts in docs/guide.md)?  For every input: what
can this binary and this guest not carry (the plan's refusals)?  Pure: the host's
own files are looked at by :mod:`vmserial.host`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from vmserial.limits import ISA_SERIAL_PORTS, PVE_SERIAL_PORTS
from vmserial.machines import architecture
from vmserial.model import (
    Capabilities,
    Finding,
    GuestProfile,
    Machine,
    Plan,
    PveSerial,
    Severity,
    worst_first,
)
from vmserial.planning import planner

__all__ = ["Finding", "Severity", "diagnose", "of_plan"]

_ISA_ERROR = (
    f"kvm: -device isa-serial,…: Max. supported number of ISA serial ports is {ISA_SERIAL_PORTS}."
)


def diagnose(
    machine: Machine, capabilities: Capabilities, guest: GuestProfile
) -> tuple[Finding, ...]:
    """Return everything that is wrong, the worst first.

    Raises:
        UsageError: as :func:`vmserial.planning.planner.plan`.
    """
    found: list[Finding] = []
    if machine.origin == "pve":
        found += _pve(machine)
    found += of_plan(planner.plan(machine, capabilities, guest))
    return worst_first(found)


def of_plan(made: Plan) -> Iterator[Finding]:
    """Yield the findings that a plan holds."""
    for refused in made.refusals:
        why = "the limit was read from the binary, the machine type or the guest's kernel"
        yield replace(refused, why=refused.why or why)
    for warning in made.warnings:
        yield Finding("caution", Severity.NOTE, warning, "a property of the device", "know it")


# ------------------------------------------------------------------ what PVE does


def _pve(machine: Machine) -> Iterator[Finding]:
    """Yield what PVE 9.2 itself would make of this configuration."""
    arm = architecture(machine.arch).name == "aarch64"
    isa_ports: list[PveSerial] = []
    for line in machine.pve_serials:
        finding = _pve_line(line, arm)
        if finding is not None:
            yield finding
        elif not (arm and line.index == 0):
            isa_ports.append(line)
    yield from _pve_agent(machine, arm, isa_ports)
    yield from _pve_isa_args(machine, arm, isa_ports)
    if arm:
        yield from _pve_arm(machine)


def _pve_line(line: PveSerial, arm: bool) -> Finding | None:
    """Return what PVE would make of one ``serialN:`` line; None if it works."""
    name = f"serial{line.index}"
    device = re.fullmatch(r"/dev/[^,]+", line.value) is not None
    if line.index >= PVE_SERIAL_PORTS:
        return Finding(
            "pve-serial-limit",
            Severity.LOST,
            f"{name} never reaches PVE's command line, and the line '{name}:' is gone at PVE's "
            "next write of this file",
            f"PVE knows serial0 to serial{PVE_SERIAL_PORTS - 1} (isa-serial allows four)",
            f"'vmserial fix' puts it into args:, which PVE keeps; or ask for it in a description "
            f"line, '#vmserial {name}: socket', and start the VM with 'vmserial run'",
            (name,),
            line.where,
        )
    if line.value != "socket" and not device:
        return Finding(
            "pve-backend-unknown",
            Severity.FAILS,
            f"{name}: PVE reads the line, and at start it fails: no such serial device",
            "PVE takes everything but 'socket' for the path of a character device",
            f"write '{name}: socket', and the rest in a description line '#vmserial {name}: …'",
            (name,),
            line.where,
        )
    if arm and (line.index > 0 or device):
        error = f"-device isa-serial,chardev={name}: 'isa-serial' is not a valid device model name"
        return Finding(
            "pve-isa-on-aarch64",
            Severity.FAILS,
            f"kvm: {error}; the VM does not start (QEMU exited with code 1)",
            "PVE gives the on-board UART to serial0 only, and only for 'socket'; every other "
            "port becomes isa-serial, and aarch64 has no ISA bus, so its QEMU has no such device",
            f"'vmserial fix' gives {name} a device that aarch64 has (usb-serial by default; --type "
            "pci or virtio), in PVE's args: or by the shim; 'vmserial run' starts it, too",
            (name,),
            line.where,
        )
    return None


def _pve_agent(machine: Machine, arm: bool, isa_ports: list[PveSerial]) -> Iterator[Finding]:
    agent = machine.agent
    if agent is None or agent.kind != "isa":
        return
    if arm:
        yield Finding(
            "pve-agent-isa-on-aarch64",
            Severity.FAILS,
            "kvm: -device isa-serial,chardev=qga0: 'isa-serial' is not a valid device model name",
            "agent type=isa becomes isa-serial on every architecture, and aarch64 has no ISA bus",
            "write 'agent: 1' (virtio)",
            where=agent.where,
        )
    elif len(isa_ports) >= PVE_SERIAL_PORTS:
        yield Finding(
            "pve-isa-limit",
            Severity.FAILS,
            _ISA_ERROR,
            f"{len(isa_ports)} serial ports and agent type=isa are five isa-serial devices; the "
            "limit is isa-serial's index, an own iobase does not help",
            "write 'agent: 1' (virtio), or remove a serial port",
            tuple(f"serial{line.index}" for line in isa_ports),
            agent.where,
        )


def _pve_isa_args(machine: Machine, arm: bool, isa_ports: list[PveSerial]) -> Iterator[Finding]:
    """Yield what the user's isa-serial devices do to PVE's, which come first and name no index."""
    agent = machine.agent is not None and machine.agent.kind == "isa"
    made = len(isa_ports) + agent
    if arm or not isa_ports:
        return
    names = tuple(f"serial{line.index}" for line in isa_ports)
    for flag, value in pairwise(machine.args):
        if flag.lstrip("-") != "device" or not re.match(r"(?:driver=)?isa-serial(?:,|\Z)", value):
            continue
        index = re.search(r",index=([0-3])(?:,|\Z)", value)
        if index is None and made >= PVE_SERIAL_PORTS:
            yield Finding(
                "pve-isa-limit",
                Severity.FAILS,
                _ISA_ERROR,
                f"PVE makes {made} isa-serial devices before the one of args; the limit is "
                "isa-serial's index, an own iobase does not help",
                "take the isa-serial out of args, or remove a serial port",
                names,
                machine.args_where,
            )
        elif index is not None and int(index[1]) < made:
            yield Finding(
                "isa-clash",
                Severity.DEAD,
                f"the isa-serial in args has index {index[1]}, which one of PVE's has: the VM "
                "starts, and one of the two ports is dead",
                f"PVE's isa-serial devices name no index and take 0 to {made - 1}",
                "give it the index after those, or take it out of args"
                if made < PVE_SERIAL_PORTS
                else "take it out of args, or remove a serial port",
                names[int(index[1]) :][:1],
                machine.args_where,
            )
        made += 1


def _pve_arm(machine: Machine) -> Iterator[Finding]:
    if machine.vmgenid:
        yield Finding(
            "pve-vmgenid-on-aarch64",
            Severity.FAILS,
            "kvm: -device vmgenid,…: 'vmgenid' is not a valid device model name",
            "QEMU has vmgenid only for x86",
            "remove vmgenid: from the configuration",
            where=machine.place_of("vmgenid"),
        )
    for disk in machine.disks:
        if disk.bus == "ide":
            driver = "ide-cd" if disk.cdrom else "ide-hd"
            yield Finding(
                "pve-ide-on-aarch64",
                Severity.FAILS,
                f"kvm: -device {driver},…: the ide{disk.index} drive has no bus to sit on",
                "aarch64's virt board has no IDE controller",
                f"move ide{disk.index} to scsi or virtio",
                where=disk.where,
            )
