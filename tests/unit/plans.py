"""Small makers of machines, binaries and guests for the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vmserial import chardevs
from vmserial.model import (
    Capabilities,
    DeviceType,
    GuestProfile,
    Machine,
    MachineType,
    Plan,
    SerialPort,
)
from vmserial.planning import planner
from vmserial.qemu import binary as qemu_binary

ARM_DEVICES = (
    "usb-serial qemu-xhci pci-serial pci-serial-2x pci-serial-4x virtserialport virtconsole "
    "virtio-serial-pci pcie-root-port virtio-blk-pci virtio-scsi-pci scsi-hd scsi-cd "
    "virtio-net-pci usb-ehci usb-tablet usb-kbd virtio-gpu-pci virtio-balloon-pci virtio-rng-pci "
    "pci-bridge pcie-pci-bridge ich9-ahci ide-hd ich9-intel-hda hda-duplex"
).split()
X86_DEVICES = [
    *ARM_DEVICES,
    *"isa-serial vmgenid ide-cd VGA virtio-vga piix3-usb-uhci e1000 lsi53c895a".split(),
]

DEBIAN_12_ARM64 = GuestProfile("debian-12-arm64", "Debian 12", kernel=(6, 1))
ROOMY = GuestProfile("roomy", "a test", nr_uarts=64, runtime_uarts=64, kernel=(6, 12))


def binary(
    target: str = "aarch64", version: tuple[int, int, int] = (7, 2, 0), uarts: int = 1
) -> Capabilities:
    """Return capabilities like those of Debian's packages."""
    names = X86_DEVICES if target == "x86_64" else ARM_DEVICES
    return Capabilities(
        version,
        target,
        devices={name: DeviceType(name) for name in names},
        onboard_uarts={"virt": uarts} if target == "aarch64" else {},
    )


def remembered(directory: Path) -> Path:
    """Make a program for which the cache has the answers of a QEMU 7.2; it answers nothing."""
    path = directory / "bin" / "qemu-system-aarch64"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    machines = qemu_binary.by_name([MachineType("virt-7.2", "virt")])
    known = replace(binary(), binary=str(path), machines=machines)
    qemu_binary._Cache(str(path)).store(known)
    return path


def machine(arch: str = "aarch64", ports: int = 4, kind: str = "auto", **more: Any) -> Machine:
    """Return a VM whose serial0 is ``console`` and whose further ports are ``kind``."""
    console = more.pop("console", "auto")
    hotplug = more.pop("hotplug", False)
    made = tuple(
        SerialPort(
            n,
            chardevs.parse(f"socket=/run/t/serial{n}"),
            kind=kind if n else console,
            hotplug=hotplug and n > 0,
        )
        for n in range(ports)
    )
    return replace(Machine(arch=arch, ports=made), **more)


def planned(
    arch: str = "aarch64",
    ports: int = 4,
    kind: str = "auto",
    *,
    version: tuple[int, int, int] = (7, 2, 0),
    uarts: int = 1,
    guest: GuestProfile = DEBIAN_12_ARM64,
    control: bool = False,
    **more: Any,
) -> Plan:
    """Plan :func:`machine` on :func:`binary`."""
    made = machine(arch, ports, kind, **more)
    return planner.plan(made, binary(made.arch, version, uarts), guest, control=control)


def kinds(plan: Plan) -> list[str]:
    """Return the kinds by port."""
    return [assignment.kind for assignment in plan.assignments]


def refusals(plan: Plan) -> set[str]:
    """Return the ids of what was refused."""
    return {refusal.id for refusal in plan.refusals}
