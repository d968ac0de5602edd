"""Domains for libvirt: on every architecture, with character devices of all kinds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

MACHINES = {
    "x86_64-pc": ("x86_64", "pc"),
    "x86_64-q35": ("x86_64", "q35"),
    "i686-pc": ("i686", "pc"),
    "aarch64-virt": ("aarch64", "virt"),
    "armv7l-virt": ("armv7l", "virt"),
    "armv7l-vexpress": ("armv7l", "vexpress-a9"),
    "riscv64-virt": ("riscv64", "virt"),
    "ppc64-pseries": ("ppc64", "pseries"),
    "s390x-ccw": ("s390x", "s390-ccw-virtio"),
    "loongarch64-virt": ("loongarch64", "virt"),
}
_NO_PCI = ("s390x-ccw", "armv7l-vexpress")
_NO_USB = ("s390x-ccw", "armv7l-vexpress")
_TYPED = {
    "x86_64": ("isa-serial", "isa-serial"), "i686": ("isa-serial", "isa-serial"),
    "ppc64": ("spapr-vio-serial", "spapr-vty"), "s390x": ("sclp-serial", "sclpconsole"),
    "aarch64": ("system-serial", "pl011"), "armv7l": ("system-serial", "pl011"),
    "riscv64": ("system-serial", "16550a"), "loongarch64": ("system-serial", "16550a"),
}  # fmt: skip
_LOG = "<log file='/var/log/vm/serial{0}.log' append='on'/>"
SOURCES = (
    "<serial type='unix'><source mode='bind' path='/run/vm/serial0.sock'/>",
    "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/>"
    "<protocol type='telnet'/>",
    "<serial type='tcp'><source mode='connect' host='127.0.0.1' service='4556' tls='yes'>"
    "<reconnect enabled='yes' timeout='5'/></source><protocol type='raw'/>",
    "<serial type='udp'><source mode='bind' host='127.0.0.1' service='4557'/>"
    "<source mode='connect' host='127.0.0.1' service='4558'/>",
    "<serial type='file'><source path='/var/log/vm/a, b.log' append='on'/>",
    "<serial type='null'>",
    "<serial type='pipe'><source path='/run/vm/pipe'/>",
    "<serial type='dev'><source path='/dev/ttyS0'/>",
    "<serial type='stdio'>",
    "<serial type='vc'>",
)
DISKS = """
<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
  <source file='/var/lib/vms/{name} a,b.qcow2'/><target dev='{disk}' bus='{bus}'/></disk>
<disk type='block' device='disk'><driver name='qemu' type='raw' io='native' cache='directsync'/>
  <source dev='/dev/vg/{name}'/><target dev='sdz' bus='scsi'/><serial>WD-1</serial></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
<interface type='ethernet'><mac address='52:54:00:00:00:02'/><target dev='tap9'/></interface>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='virtio'/>
"""
AGENT = """<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"""


def _serials(count: int, target: str = "", kind: str = "pty", more: str = "") -> str:
    target = f"<target {target}/>" if target else ""
    return "\n".join(
        f"<serial type='{kind}'>{more.format(number)}{target}</serial>" for number in range(count)
    )


def _typed(arch: str, count: int) -> str:
    kind, model = _TYPED[arch]
    return "\n".join(
        f"<serial type='pty'><target type='{kind}' port='{n}'><model name='{model}'/></target>"
        "</serial>"
        for n in range(count)
    )


def _virtio(consoles: int, channels: int) -> str:
    words = ["<console type='pty'><target type='virtio'/></console>"] * consoles
    words += [
        f"<channel type='unix'><source mode='bind' path='/run/vm/port{n}'/>"
        f"<target type='virtio' name='org.example.{n}'/></channel>"
        for n in range(channels)
    ]
    return "\n".join(words)


def _bodies(machine: str) -> Iterator[tuple[str, str]]:
    arch = MACHINES[machine][0]
    usb, pci = machine not in _NO_USB, machine not in _NO_PCI
    yield "serial-1", _serials(1) + AGENT * pci
    yield "serial-4", _serials(4)
    yield "serial-4-log", _serials(4, more=_LOG)
    yield "typed-2", _typed(arch, 2)
    for number, source in enumerate(SOURCES):
        if machine in ("aarch64-virt", "x86_64-q35") or number == len(machine) % len(SOURCES):
            yield f"source-{source.split(chr(39))[1]}-{number}", f"{source}</serial>"
    yield "console", "<console type='pty'/>"
    if usb:
        xhci = "<controller type='usb' model='qemu-xhci' ports='15'/>"
        yield "usb-4", xhci + _serials(1) + _serials(4, "type='usb-serial'")
        yield (
            "usb-12-hubs",
            "<controller type='usb' model='qemu-xhci'/>" + _serials(12, "type='usb-serial'"),
        )
        yield "usb-redir", xhci + "<hub type='usb'/><input type='tablet' bus='usb'/>" + _serials(1)
    if pci:
        yield "pci-4", _serials(4, "type='pci-serial'", more=_LOG)
        yield "virtio-2-2", _serials(1) + _virtio(2, 2)
        yield "virtio-0-33", _virtio(0, 33)
        bus = {"x86_64": "sata", "i686": "ide"}.get(arch, "virtio")
        disk = {"sata": "sda", "ide": "hda"}.get(bus, "vda")
        yield (
            "disks",
            (
                DISKS.format(name=machine, disk=disk, bus=bus)
                + _serials(2)
                + "<graphics type='vnc' port='5901'/><video><model type='virtio'/></video>"
            ),
        )
    if arch in ("x86_64", "i686"):
        yield "isa-5", _serials(5)
        yield "parallel", _serials(2) + "<parallel type='null'/><parallel type='pty'/>"
        yield (
            "debugcon",
            (
                "<serial type='file'><source path='/var/log/vm/debug.log'/>"
                "<target type='isa-debug' port='0'><model name='isa-debugcon'/></target>"
                "<address type='isa' iobase='0x402'/></serial>"
            ),
        )
        yield "watchdog", "<watchdog model='i6300esb' action='reset'/><sound model='ich6'/>"
    if arch == "ppc64":
        yield "spapr-address", _typed(arch, 4)
    if arch == "s390x":
        yield "sclp-console", "<console type='pty'><target type='sclp'/></console>"
        yield "sclplm", _typed(arch, 1) + "<console type='pty'><target type='sclplm'/></console>"
        yield "virtio-console", _virtio(3, 3)


QEMU_WORDS = """<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='qemu-xhci,id=x'/>
<qemu:arg value='-chardev'/><qemu:arg value='pty,id=serial4'/>
<qemu:arg value='-device'/><qemu:arg value='usb-serial,bus=x.0,chardev=serial4'/>
<qemu:arg value='-append'/><qemu:arg value='a "b" c'/>
<qemu:env name='QEMU_AUDIO_DRV' value='none'/></qemu:commandline>"""


def domains() -> Iterator[tuple[str, str]]:
    """Yield names and XML."""
    for machine, (arch, type_) in MACHINES.items():
        bodies = list(_bodies(machine))
        for name, body in bodies:
            yield f"{machine}-{name}", _domain(f"{machine}-{name}", arch, type_, body)
        yield f"{machine}-arg", _domain("a b 'c'", arch, type_, _serials(1), QEMU_WORDS)


def _domain(name: str, arch: str, machine: str, body: str, more: str = "") -> str:
    emulator = {"i686": "i386", "armv7l": "arm"}.get(arch, arch)
    # Without a model libvirt asks for x86's default processor only.
    usb = "" if "type='usb'" in body else "<controller type='usb' model='none'/>"
    if machine in ("vexpress-a9", "s390-ccw-virtio"):
        usb = ""
    return (
        f"<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        f"<name>{name}</name><uuid>{uuid.uuid5(uuid.NAMESPACE_OID, name + arch)}</uuid>"
        f"<memory unit='MiB'>512</memory><vcpu>1</vcpu>"
        f"<os><type arch='{arch}' machine='{machine}'>hvm</type></os><devices>"
        f"<emulator>/usr/bin/qemu-system-{emulator}</emulator>{usb}{body}</devices>{more}</domain>"
    )


VIRT_INSTALL = {
    f"{arch}-{label}": ["--arch", arch, *words]
    for arch in ("x86_64", "aarch64", "armv7l", "riscv64", "ppc64", "s390x")
    for label, words in {
        "plain": [],
        "serial": ["--serial", "pty", "--serial", "tcp,host=127.0.0.1:2222,mode=bind,protocol=raw"],
        "console": ["--console", "pty,target.type=virtio", "--graphics", "none"],
        "channel": ["--channel", "unix,target.type=virtio,target.name=org.example.a",
                    "--boot", "kernel=/boot/vmlinuz,initrd=/boot/initrd.img,"
                    "kernel_args='console=ttyS0 quiet'"],
    }.items()
}  # fmt: skip
