"""Domains of every architecture, for libvirt to make a command of: always the same ones.

``domains()`` yields a name and the XML.  What libvirt 9.0 makes of each is recorded in
tests/data/libvirt-native.json (``scripts/record-libvirt``).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

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
_PCI = frozenset({"pc", "q35", "i686", "aarch64", "armv7l", "riscv64", "ppc64"})
_EXPRESS = frozenset({"q35", "aarch64", "armv7l", "riscv64"})
_X86 = frozenset({"pc", "q35", "i686"})

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
_LOG = "<log file='/var/log/vm/serial{0}.log' append='on'/>"
_XHCI = "<controller type='usb' index='0' model='qemu-xhci' ports='15'/>"
_AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"


def emulator(arch: str) -> str:
    """Return the QEMU of one of libvirt's architectures."""
    return f"qemu-system-{_EMULATORS.get(arch, arch)}"


def _pci(slot: int, function: int = 0, bus: int = 0, more: str = "") -> str:
    return (
        f"<address type='pci' domain='0x0000' bus='0x{bus:02x}' slot='0x{slot:02x}' "
        f"function='0x{function}'{more}/>"
    )


def _serial(target: str = "", inside: str = "", kind: str = "pty") -> str:
    target = f"<target {target}/>" if target else ""
    return f"<serial type='{kind}'>{target}{inside}</serial>"


def _channel(number: int, inside: str = "", kind: str = "unix") -> str:
    source = f"<source mode='bind' path='/run/vm/port{number}'/>" if kind == "unix" else ""
    return (
        f"<channel type='{kind}'>{source}<target type='virtio' name='org.example.{number}'/>"
        f"{inside}</channel>"
    )


def _console(inside: str = "", kind: str = "pty", target: str = "virtio") -> str:
    return f"<console type='{kind}'><target type='{target}'/>{inside}</console>"


def _at(controller: int, port: int) -> str:
    return f"<address type='virtio-serial' controller='{controller}' bus='0' port='{port}'/>"


def _everywhere(machine: str) -> Iterator[tuple[str, str]]:
    yield "serial", _serial()
    yield "serials-4", _serial() * 4
    yield "serials-log", "".join(_serial(inside=_LOG.format(n)) for n in range(3))
    yield "console", "<console type='pty'/>"
    yield "console-mirror", _serial() + "<console type='pty'><target type='serial'/></console>"
    yield "alias", _serial(inside="<alias name='ua-first'/>") + _serial()
    yield "ports", _serial("port='1'") + _serial("port='0'")
    yield "port-1", _serial("port='1'")
    if machine not in {"microvm", "versatile"}:
        yield "virtio-2-2", _serial() + _console() * 2 + _channel(0) + _channel(1)
    yield "arguments", _serial() + "ARGUMENTS"
    for number, source in enumerate(SOURCES):
        if machine in {"aarch64", "q35"} or number % len(MACHINES) == list(MACHINES).index(machine):
            yield f"source-{source}", SOURCES[source] + "</serial>"


_NUMBERS = {
    "2-none": ("port='2'", ""), "3-none": ("port='3'", "", ""), "none-0": ("", "port='0'"),
    "none-1": ("", "port='1'", ""), "typed-3": ("type='isa-serial' port='3'",
    "type='isa-serial'", ""), "twice": ("port='1'", "port='1'"), "past": ("port='4'",),
    "usb": ("type='usb-serial'", "type='isa-serial'"),
    "usb-0": ("type='usb-serial' port='0'", "type='isa-serial' port='1'"),
}  # fmt: skip
"""Of <target>: libvirt counts in more than one way."""


def _allocated() -> Iterator[tuple[str, str]]:
    """Numbers on virtio-serial controllers: stated, left out, and those that libvirt burns."""
    small = "<controller type='virtio-serial' index='0' ports='4'/>"
    yield "small", small + "".join(_channel(n) for n in range(5))
    yield "first", _channel(0, _at(0, 1)) + _channel(1) + _channel(2)
    yield "burnt", _channel(0) + _channel(1, _at(0, 1)) + _console(_at(0, 0)) + _console()
    yield "zero", _channel(0, _at(0, 0)) + _channel(1) + _console(_at(0, 0)) + _console()
    yield "one-and-console", small + _channel(0, _at(0, 1)) + _channel(1) + _console()
    yield "second", _channel(0, _at(1, 3)) + _channel(1) + _channel(2)
    yield (
        "no-port",
        (_channel(0, "<address type='virtio-serial' controller='1'/>") + _channel(1) + _channel(2)),
    )
    yield "last", small + _channel(0, _at(0, 1)) + _channel(1) + _console(_at(0, 3))
    yield "consoles", _console() * 34


def _with_usb(machine: str) -> Iterator[tuple[str, str]]:
    usb = _serial("type='usb-serial'")
    yield "usb-4", _XHCI + _serial() + usb * 4
    yield "usb-hubs", "<controller type='usb' model='qemu-xhci'/>" + usb * 12
    yield "usb-devices", (
        _XHCI + "<input type='tablet' bus='usb'/><hub type='usb'/>" + usb
        + "<input type='keyboard' bus='usb'><address type='usb' bus='0' port='1'/></input>" + usb
    )  # fmt: skip
    yield "usb-redir", (
        _XHCI + usb + "<redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' "
        "service='4000'/></redirdev><redirdev bus='usb' type='spicevmc'/>"
        "<graphics type='spice' autoport='yes'/>"
    )  # fmt: skip
    yield "usb-two", (
        _XHCI + "<controller type='usb' index='1' model='qemu-xhci' ports='15'/>" + usb
        + _serial("type='usb-serial'", "<address type='usb' bus='1' port='1'/>") + usb * 3
    )  # fmt: skip
    yield (
        "usb-override",
        (_XHCI + usb + _serial("type='usb-serial'", "<alias name='ua-b'/>") + "OVERRIDE"),
    )
    xhci = "<controller type='usb' model='qemu-xhci'/>"
    if machine in {"aarch64", "q35"}:
        for count in (5, 10, 11, 18, 19, 26):
            yield f"usb-{count}-on-4", xhci + usb * count
        yield "usb-hub-12", xhci + "<hub type='usb'/>" + usb * 12
        yield "usb-all", (
            _XHCI + usb + "<sound model='usb'/><input type='mouse' bus='usb'/>"
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            "<source file='/a.img'/><target dev='sda' bus='usb'/></disk>"
            "<redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' "
            "service='4000'/></redirdev><smartcard mode='passthrough' type='tcp'>"
            "<source mode='bind' host='127.0.0.1' service='2001'/><protocol type='raw'/>"
            "</smartcard>"
        )  # fmt: skip
    yield "usb-bare", "<controller type='usb'/>" + usb
    if machine in _X86:
        yield "usb-index-1", "<controller type='usb' index='1' model='ehci'/>" + usb
        yield "usb-default", usb * 3
        yield (
            "usb-ich9",
            (
                "<controller type='usb' index='0' model='ich9-ehci1'/>"
                "<controller type='usb' index='0' model='ich9-uhci1'><master startport='0'/>"
                "</controller><controller type='usb' index='0' model='ich9-uhci2'>"
                "<master startport='2'/></controller>" + usb
            ),
        )
        yield "usb-piix3", "<controller type='usb' index='0' model='piix3-uhci'/>" + usb
        yield "usb-none", "<controller type='usb' index='0' model='none'/>" + _serial()
    if machine == "ppc64":
        yield "usb-default", usb * 2
        yield "usb-nec", "<controller type='usb' model='nec-xhci'/>" + usb


def _with_pci(machine: str) -> Iterator[tuple[str, str]]:
    yield "pci-4", _serial("type='pci-serial'") * 4
    yield "pci-9", _serial("type='pci-serial'") * 9
    yield "agent", _serial() + _AGENT
    yield "channels-20", "".join(_channel(n) for n in range(20))
    yield "channels-33", "".join(_channel(n) for n in range(33))
    yield "virtio-controllers", (
        "<controller type='virtio-serial' index='0' ports='4' vectors='2'/>"
        "<controller type='virtio-serial' index='1' ports='16'><driver queues='2'/></controller>"
        + _channel(0, _at(1, 3)) + _channel(1, _at(0, 1)) + _channel(2) + _channel(3)
        + _console(_at(1, 0)) + _console()
    ).replace("<driver queues='2'/>", "")  # fmt: skip
    yield "virtio-index-2", _channel(0, _at(2, 1)) + _channel(1)
    yield "console-alias", _serial() + _console("<alias name='ua-c'/>") + _console()
    yield (
        "spice",
        (
            "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"
            "<channel type='spiceport'><source channel='org.spice-space.webdav.0'/>"
            "<target type='virtio' name='org.spice-space.webdav.0'/></channel>"
            "<channel type='pty'><target type='virtio'/></channel>"
            "<graphics type='spice' autoport='yes'/>"
        ),
    )
    yield (
        "others",
        (
            _XHCI + "<controller type='scsi' index='0' model='virtio-scsi'/>"
            "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/>"
            "</interface><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
            "<memballoon model='virtio'/><disk type='file' device='disk'>"
            "<driver name='qemu' type='raw'/><source file='/var/lib/vms/a.img'/>"
            "<target dev='vda' bus='virtio'/></disk><video><model type='virtio'/></video>"
            "<graphics type='vnc' port='5901'/><watchdog model='i6300esb' action='reset'/>"
            "<input type='tablet' bus='virtio'/>" + _serial("type='pci-serial'") + _channel(0)
        ),
    )
    if machine in {"pc", "q35"}:
        for name, body in _allocated():
            yield f"virtio-{name}", body
    if machine in {"q35", "aarch64"}:
        port = "<controller type='pci' index='{}' model='pcie-root-port'/>".format
        yield "ports-stated", port(1) + port(2) + port(3) + _channel(0)
        yield "port-free", (
            "<controller type='pci' index='0' model='pcie-root'/>" + port(1)
            + _serial("type='pci-serial'")
        )  # fmt: skip
        yield "bus-2", (f"<controller type='virtio-serial' index='0'>{_pci(0, bus=2)}</controller>")
        yield "cards", (
            "".join(f"<interface type='user'><model type='{model}'/></interface>"
                    for model in ("virtio", "e1000", "e1000e", "rtl8139"))
            + "<filesystem type='mount'><source dir='/a'/><target dir='b'/></filesystem>"
            "<vsock model='virtio'><cid auto='no' address='9'/></vsock>"
        )  # fmt: skip
    if machine == "q35":
        yield (
            "ich9-alone",
            (
                "<sound model='ich9'/><sound model='ich9'/><controller type='sata' index='1'/>"
                "<controller type='usb' model='ich9-ehci1'/>"
                "<controller type='usb' index='1' model='ich9-ehci1'/>"
            ),
        )
    if machine in {"pc", "aarch64"}:
        yield (
            "disks",
            (
                "<disk type='file'><source file='/a'/><target dev='sda' bus='scsi'/></disk>"
                "<disk type='file'><source file='/a'/><target dev='sdb' bus='sata'/></disk>"
            ),
        )
    if machine == "pc":
        yield "pci-31", _serial("type='pci-serial'") * 31 + "<memballoon model='none'/>"
        yield "bus-1", _serial("type='pci-serial'", _pci(3, bus=1))
        yield (
            "agents",
            (
                "<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/>"
                "<mouse mode='client'/></source><target type='virtio' name='com.redhat.spice.0'/>"
                "</channel><channel type='dbus'><source channel='org.qemu.console.serial.0'/>"
                "<target type='virtio' name='a'/></channel>"
            ),
        )
    yield "stated", (
        (f"<controller type='virtio-serial' index='0'>{_pci(7)}</controller>"
         f"<memballoon model='virtio'>{_pci(8)}</memballoon>"
         if machine not in _EXPRESS else
         "<controller type='pci' index='0' model='pcie-root'/>"
         f"<controller type='pci' index='1' model='pcie-root-port'>{_pci(7)}</controller>"
         f"<controller type='pci' index='2' model='pcie-root-port'>"
         f"<target chassis='9' port='0x41'/>{_pci(8)}</controller>"
         f"<controller type='virtio-serial' index='0'>{_pci(0, bus=1)}</controller>"
         f"<memballoon model='virtio'>{_pci(0, bus=2)}</memballoon>")
        + _channel(0) + _serial()
    )  # fmt: skip
    yield "mirror-address", (
        "<controller type='virtio-serial' index='0'/>"
        + _serial("type='pci-serial'", _pci(9) if machine not in _EXPRESS else "")
        + (f"<console type='pty'><target type='serial'/>{_pci(9)}</console>"
           if machine not in _EXPRESS else "<console type='pty'/>")
    )  # fmt: skip
    if machine in _EXPRESS:
        yield "bridge", (
            "<controller type='pci' index='0' model='pcie-root'/>"
            "<controller type='pci' index='1' model='pcie-root-port'/>"
            "<controller type='pci' index='2' model='pcie-to-pci-bridge'/>"
            + _serial("type='pci-serial'", _pci(1, bus=2)) + _serial("type='pci-serial'")
        )  # fmt: skip
        yield "multifunction", (
            _serial("type='pci-serial'", _pci(5, more=" multifunction='on'"))
            + _serial("type='pci-serial'", _pci(5, 1))
        )  # fmt: skip
    else:
        yield "bridge", (
            "<controller type='pci' index='0' model='pci-root'/>"
            "<controller type='pci' index='1' model='pci-bridge'/>"
            + _serial("type='pci-serial'", _pci(3, bus=1)) + _serial("type='pci-serial'")
        )  # fmt: skip
        yield "multifunction", (
            _serial("type='pci-serial'", _pci(9, more=" multifunction='on'"))
            + _serial("type='pci-serial'", _pci(9, 1))
        )  # fmt: skip


def _on_x86() -> Iterator[tuple[str, str]]:
    yield "isa-5", _serial() * 5
    place = "<address type='isa' iobase='0x2e8' irq='5'/>"
    yield "isa-place", _serial("type='isa-serial'", place)
    yield "isa-typed", _serial("type='isa-serial' port='2'") + _serial("type='isa-serial'") * 2
    for name, targets in _NUMBERS.items():
        yield f"isa-{name}", "".join(_serial(target) for target in targets)
    yield "parallel", _serial() * 2 + "<parallel type='null'/><parallel type='pty'/>"
    yield (
        "debugcon",
        (
            "<serial type='file'><source path='/var/log/vm/debug.log'/>"
            "<target type='isa-debug' port='0'><model name='isa-debugcon'/></target>"
            "<address type='isa' iobase='0x402'/></serial>" + _serial("type='isa-serial' port='1'")
        ),
    )
    yield "debugcon-bare", _serial() + _serial("type='isa-debug'")
    yield "watchdog", _serial() + "<sound model='ich6'/><input type='mouse' bus='ps2'/>"
    yield (
        "guestfwd",
        ("<channel type='pty'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>"),
    )


def _of_one(machine: str) -> Iterator[tuple[str, str]]:
    typed = {"aarch64": ("system-serial", "pl011"), "riscv64": ("system-serial", "16550a"),
             "ppc64": ("spapr-vio-serial", "spapr-vty"), "s390x": ("sclp-serial", "sclpconsole"),
             "armv7l": ("system-serial", "pl011")}.get(machine)  # fmt: skip
    if typed:
        yield "typed", "".join(
            f"<serial type='pty'><target type='{typed[0]}' port='{n}'><model name='{typed[1]}'/>"
            "</target></serial>" for n in range(2)
        )  # fmt: skip
    if machine in {"riscv64", "armv7l", "ppc64", "s390x"}:
        yield "isa-made-own", _serial("type='isa-serial'")
    if machine == "aarch64":
        yield "isa-made-system", _serial("type='isa-serial'") * 2
        yield "system-and-usb", _XHCI + _serial("type='usb-serial' port='1'") + _serial("port='0'")
    if machine == "ppc64":
        reg = "<address type='spapr-vio' reg='0x{:08x}'/>"
        yield "reg", (
            _serial(inside=reg.format(0x30001000)) + _serial()
            + _serial(inside=reg.format(0x30005000)) + _serial()
        )  # fmt: skip
    if machine == "s390x":
        yield "sclp", _console(target="sclp")
        yield "sclp-both", _serial() + _console(target="sclplm")
        yield (
            "sclplm-serial",
            _serial()
            + (
                "<serial type='pty'><target type='sclp-serial'><model name='sclplmconsole'/>"
                "</target></serial>"
            ),
        )
        yield "virtio", _console() * 3 + "".join(_channel(n) for n in range(3))
        ccw = "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x{:04x}'/>"
        yield (
            "ccw",
            (
                f"<controller type='virtio-serial' index='0'>{ccw.format(0x21)}</controller>"
                f"<memballoon model='virtio'>{ccw.format(0x1)}</memballoon>"
                "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
                + _channel(0)
            ),
        )
        yield (
            "ccw-free",
            (
                "<interface type='user'><model type='virtio'/><mac address='52:54:00:00:00:01'/>"
                "</interface><controller type='scsi' model='virtio-scsi'/>"
                + _console()
                + _channel(0)
            ),
        )
    if machine in {"vexpress", "aarch64"}:
        yield (
            "mmio",
            (
                "<controller type='virtio-serial' index='0'><address type='virtio-mmio'/>"
                "</controller>" + _channel(0)
            ),
        )


def refused() -> Iterator[tuple[str, str]]:
    """Yield domains that libvirt 9.0 refuses: when it reads them, or makes the command."""
    model = "<serial type='pty'><target type='{}'><model name='{}'/></target></serial>".format
    for name, machine, body in (
        ("consoles", "q35", _serial() + "<console type='pty'/>" + _console(target="serial")),
        ("pl011", "q35", model("system-serial", "pl011")),
        ("sclp", "q35", model("sclp-serial", "sclpconsole")),
        ("sclp-console", "q35", _console(target="sclp")),
        ("sclp-untyped", "q35", _serial("type='sclp-serial'")),
        ("spapr", "q35", _serial("type='spapr-vio-serial'")),
        ("system", "pc", _serial("type='system-serial'")),
        ("16550a", "aarch64", model("system-serial", "16550a")),
        ("isa-debug", "aarch64", _serial("type='isa-debug'")),
        ("isa-debugcon", "aarch64", model("isa-debug", "isa-debugcon")),
        ("spapr-aarch64", "aarch64", _serial("type='spapr-vio-serial'")),
        ("isa-riscv64", "riscv64", model("isa-serial", "isa-serial")),
        ("pci", "s390x", _serial("type='pci-serial'")),
        ("usb", "s390x", _serial("type='usb-serial'")),
        ("usb-aarch64", "aarch64", _serial("type='usb-serial'")),
        ("usb-none", "q35", "<controller type='usb' model='none'/>" + _serial("type='usb-serial'")),
        ("nmdm", "q35", "<serial type='nmdm'><source master='/dev/nmdm0A' slave='/dev/nmdm0B'/>"
         "</serial>"),
        ("reconnect-0", "q35", "<serial type='tcp'><source mode='connect' host='h' service='1'>"
         "<reconnect enabled='yes' timeout='0'/></source></serial>"),
        ("reconnect-none", "q35", "<serial type='unix'><source mode='connect' path='/run/a'>"
         "<reconnect enabled='yes'/></source></serial>"),
        ("reconnect-bind", "q35", "<serial type='unix'><source mode='bind' path='/run/a'>"
         "<reconnect enabled='yes' timeout='5'/></source></serial>"),
        ("no-path", "q35", "<serial type='file'/>"),
        ("no-service", "q35", "<serial type='tcp'><source mode='bind' host='::1'/></serial>"),
        ("no-host", "q35", "<serial type='tcp'><source mode='connect' service='1'/></serial>"),
        ("unix-no-path", "q35", "<serial type='unix'/>"),
        ("udp-no-service", "q35", "<serial type='udp'><source mode='connect' host='h'/></serial>"),
        ("address", "q35", _serial("type='pci-serial'", "<address type='usb' bus='0' port='1'/>")),
        ("usb-bus", "q35", _XHCI + _serial("type='usb-serial'",
                                           "<address type='usb' bus='3' port='1'/>")),
        ("usb-port", "q35", _XHCI + _serial("type='usb-serial'",
                                            "<address type='usb' bus='0' port='16'/>")),
        ("usb-taken", "q35", _XHCI + _serial("type='usb-serial'",
                                             "<address type='usb' bus='0' port='2'/>") * 2),
        ("pci-taken", "pc", _serial("type='pci-serial'", _pci(9)) * 2),
        ("virtio-port", "pc", _channel(0, _at(0, 31))),
        ("virtio-taken", "pc", _channel(0, _at(0, 3)) + _channel(1, _at(0, 3))),
        ("virtio-controller", "pc", "<controller type='virtio-serial' index='0'/>"
         + _channel(0, _at(4, 1))),
        ("isa-port", "pc", _serial("type='isa-serial' port='4'")),
        ("isa-5", "pc", _serial("type='isa-serial'") * 5),
        ("short", "pc", _serial("type='isa'")),
        ("tcp-bind", "pc", "<serial type='tcp'><source mode='bind' service='1'/></serial>"),
        ("sclplm", "pc", _console(target="sclplm")),
        ("console-xen", "pc", _console(target="xen")),
        ("console-type", "pc", _console(target="telephone")),
        ("consoles-bare", "pc", _serial() + "<console type='pty'/>" * 2),
        ("usb-address", "pc", _serial("type='usb-serial'", _pci(3))),
        ("isa-address", "pc", _serial("type='isa-serial'", _pci(3))),
        ("untyped-address", "pc", _serial("", _pci(3))),
        ("model", "aarch64", model("system-serial", "telephone")),
        ("model-of-pci", "pc", model("isa-serial", "pci-serial")),
        ("system-s390x", "s390x", _serial("type='system-serial'")),
        ("system-ppc64", "ppc64", _serial("type='system-serial'")),
        ("system-vexpress", "vexpress", _serial("type='system-serial'")),
        ("debug-arm", "armv7l", _serial("type='isa-debug'")),
        ("isa-twice", "pc", _serial("type='isa-serial' port='1'") * 2),
        ("sclp-3", "s390x", _serial() * 3),
        ("spapr-reg", "ppc64", _serial(inside="<address type='spapr-vio' reg='0x30000000'/>") * 2),
        ("log", "q35", "<serial type='pty'><log append='on'/></serial>"),
        ("path-long", "q35", f"<serial type='unix'><source mode='bind' path='/{'a' * 120}'/>"
         "</serial>"),
        ("guestfwd", "q35", "<channel type='pty'><target type='guestfwd' port='1'/></channel>"),
        ("channel-target", "q35", "<channel type='pty'/>"),
        ("type", "q35", "<serial type='telephone'/>"),
        ("target", "q35", _serial("type='telephone'")),
        ("spicevmc", "q35", "<serial type='spicevmc'/>"),
        ("agent", "q35", _channel(0).replace("org.example.0", "org.qemu.guest_agent.0") * 2),
    ):  # fmt: skip
        yield f"refused-{name}", _domain(f"refused-{name}", machine, body)


def domains() -> Iterator[tuple[str, str]]:
    """Yield names and XML of all domains."""
    for machine in MACHINES:
        bodies = [*_everywhere(machine), *_of_one(machine)]
        if machine in _PCI:
            bodies += [*_with_pci(machine), *_with_usb(machine)]
        if machine in _X86:
            bodies += _on_x86()
        for name, body in bodies:
            yield f"{machine}-{name}", _domain(f"{machine}-{name}", machine, body)
    yield from refused()


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


def _domain(name: str, machine: str, body: str) -> str:
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
