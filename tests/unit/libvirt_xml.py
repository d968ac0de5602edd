"""What the domains of tests/unit/libvirt_domains.py are made of."""

from __future__ import annotations

import uuid

MACHINES = {
    "pc": ("x86_64", "pc"),
    "q35": ("x86_64", "q35"),
    "microvm": ("x86_64", "microvm"),
    "i686": ("i686", "pc"),
    "aarch64": ("aarch64", "virt"),
    "armv7l": ("armv7l", "virt"),
    "vexpress": ("armv7l", "vexpress-a9"),
    "versatile": ("armv7l", "versatilepb"),
    "riscv64": ("riscv64", "virt"),
    "ppc64": ("ppc64", "pseries"),
    "s390x": ("s390x", "s390-ccw-virtio"),
}
"""libvirt 9.0 knows no loongarch64."""

_EMULATORS = {"i686": "i386", "armv7l": "arm"}
PCI = frozenset({"pc", "q35", "i686", "aarch64", "armv7l", "riscv64", "ppc64"})
EXPRESS = frozenset({"q35", "aarch64", "armv7l", "riscv64"})
X86 = frozenset({"pc", "q35", "i686"})

SOURCES = {
    "unix": "<serial type='unix'><source mode='bind' path='/run/vm/serial0.sock'/>",
    "unix-client": "<serial type='unix'><source mode='connect' path='/run/vm/s,0.sock'>"
    "<reconnect enabled='yes' timeout='7'/></source>",
    "telnet": "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/>"
    "<protocol type='telnet'/>",
    "tcp-client": "<serial type='tcp'><source mode='connect' host='127.0.0.1' service='4556'>"
    "<reconnect enabled='yes' timeout='5'/></source><protocol type='raw'/>",
    "tls": "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4556' tls='yes'/>"
    "<protocol type='raw'/>",
    "tls-client": "<serial type='tcp'><source mode='connect' host='::1' service='4556' tls='yes'>"
    "<reconnect enabled='no'/></source>",
    "udp": "<serial type='udp'><source mode='bind' host='127.0.0.1' service='4557'/>"
    "<source mode='connect' host='127.0.0.1' service='4558'/>",
    "udp-one": "<serial type='udp'><source mode='connect' host='127.0.0.1' service='4558'/>",
    "file": "<serial type='file'><source path='/var/log/vm/a, b.log' append='on'/>",
    "file-log": "<serial type='file'><source path='/var/log/vm/a.log'/>"
    "<log file='/var/log/vm/b.log' append='off'/>",
    "null": "<serial type='null'>",
    "pipe": "<serial type='pipe'><source path='/run/vm/pipe'/>",
    "dev": "<serial type='dev'><source path='/dev/ttyS0'/>",
    "stdio": "<serial type='stdio'>",
    "vc": "<serial type='vc'>",
}
LOG = "<log file='/var/log/vm/serial{0}.log' append='on'/>"
XHCI = "<controller type='usb' index='0' model='qemu-xhci' ports='15'/>"
AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"


def emulator(arch: str) -> str:
    """Return the QEMU of one of libvirt's architectures."""
    return f"qemu-system-{_EMULATORS.get(arch, arch)}"


def pci(slot: int, function: int = 0, bus: int = 0, more: str = "") -> str:
    """Return a PCI address."""
    return (
        f"<address type='pci' domain='0x0000' bus='0x{bus:02x}' slot='0x{slot:02x}' "
        f"function='0x{function}'{more}/>"
    )


def serial(target: str = "", inside: str = "", kind: str = "pty") -> str:
    """Return a <serial>."""
    target = f"<target {target}/>" if target else ""
    return f"<serial type='{kind}'>{target}{inside}</serial>"


def channel(number: int, inside: str = "", kind: str = "unix") -> str:
    """Return a <channel>."""
    source = f"<source mode='bind' path='/run/vm/port{number}'/>" if kind == "unix" else ""
    return (
        f"<channel type='{kind}'>{source}<target type='virtio' name='org.example.{number}'/>"
        f"{inside}</channel>"
    )


def console(inside: str = "", kind: str = "pty", target: str = "virtio") -> str:
    """Return a <console>."""
    return f"<console type='{kind}'><target type='{target}'/>{inside}</console>"


def at(controller: int, port: int) -> str:
    """Return a place on a virtio-serial controller."""
    return f"<address type='virtio-serial' controller='{controller}' bus='0' port='{port}'/>"


_ARGUMENTS = (
    "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='pci-testdev,id=x'/>"
    "<qemu:arg value='-chardev'/><qemu:arg value='pty,id=more'/>"
    "<qemu:arg value='-global'/><qemu:arg value='usb-serial.always-plugged=on'/>"
    "<qemu:env name='A' value='b'/></qemu:commandline>"
)
_OVERRIDE = (
    "<qemu:override><qemu:device alias='serial0'><qemu:frontend>"
    "<qemu:property name='always-plugged' type='bool' value='true'/>"
    "<qemu:property name='pcap' type='string' value='/tmp/a'/></qemu:frontend></qemu:device>"
    "<qemu:device alias='ua-b'><qemu:frontend>"
    "<qemu:property name='pcap' type='remove'/></qemu:frontend></qemu:device></qemu:override>"
)


def domain(name: str, machine: str, body: str) -> str:
    """Return a domain with these devices."""
    arch, type_ = MACHINES[machine]
    more = ""
    for word, text in (("ARGUMENTS", _ARGUMENTS), ("OVERRIDE", _OVERRIDE)):
        if word in body:
            body, more = body.replace(word, ""), text
    return (
        "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
        f"<name>{name}</name><uuid>{uuid.uuid5(uuid.NAMESPACE_OID, name)}</uuid>\n"
        f"<memory unit='MiB'>256</memory><vcpu>1</vcpu>\n"
        f"<os><type arch='{arch}' machine='{type_}'>hvm</type></os>\n<devices>\n"
        f"<emulator>/usr/bin/{emulator(arch)}</emulator>\n"
        + body.replace("><serial", ">\n<serial").replace("><con", ">\n<con").replace(
            "><chan", ">\n<chan")
        + f"\n</devices>\n{more}</domain>\n"
    )  # fmt: skip
