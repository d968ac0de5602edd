"""Domains of every architecture, for libvirt to make a command of: always the same ones.

``domains()`` yields a name and the XML.  What libvirt 9.0 makes of each is recorded in
tests/data/libvirt-native.json (``scripts/record-libvirt``).
"""

from __future__ import annotations

from collections.abc import Iterator

from libvirt_refusals import refused
from libvirt_xml import (
    AGENT,
    EXPRESS,
    LOG,
    MACHINES,
    PCI,
    SOURCES,
    X86,
    XHCI,
    at,
    channel,
    console,
    domain,
    pci,
    serial,
)


def _everywhere(machine: str) -> Iterator[tuple[str, str]]:
    yield "serial", serial()
    yield "serials-4", serial() * 4
    yield "serials-log", "".join(serial(inside=LOG.format(n)) for n in range(3))
    yield "console", "<console type='pty'/>"
    yield "console-mirror", serial() + "<console type='pty'><target type='serial'/></console>"
    yield "alias", serial(inside="<alias name='ua-first'/>") + serial()
    yield "ports", serial("port='1'") + serial("port='0'")
    yield "port-1", serial("port='1'")
    if machine not in {"microvm", "versatile"}:
        yield "virtio-2-2", serial() + console() * 2 + channel(0) + channel(1)
    yield "arguments", serial() + "ARGUMENTS"
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
    yield "small", small + "".join(channel(n) for n in range(5))
    yield "first", channel(0, at(0, 1)) + channel(1) + channel(2)
    yield "burnt", channel(0) + channel(1, at(0, 1)) + console(at(0, 0)) + console()
    yield "zero", channel(0, at(0, 0)) + channel(1) + console(at(0, 0)) + console()
    yield "one-and-console", small + channel(0, at(0, 1)) + channel(1) + console()
    yield "second", channel(0, at(1, 3)) + channel(1) + channel(2)
    yield (
        "no-port",
        (channel(0, "<address type='virtio-serial' controller='1'/>") + channel(1) + channel(2)),
    )
    yield "last", small + channel(0, at(0, 1)) + channel(1) + console(at(0, 3))
    yield "consoles", console() * 34


def _with_usb(machine: str) -> Iterator[tuple[str, str]]:
    usb = serial("type='usb-serial'")
    yield "usb-4", XHCI + serial() + usb * 4
    yield "usb-hubs", "<controller type='usb' model='qemu-xhci'/>" + usb * 12
    yield "usb-devices", (
        XHCI + "<input type='tablet' bus='usb'/><hub type='usb'/>" + usb
        + "<input type='keyboard' bus='usb'><address type='usb' bus='0' port='1'/></input>" + usb
    )  # fmt: skip
    yield "usb-redir", (
        XHCI + usb + "<redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' "
        "service='4000'/></redirdev><redirdev bus='usb' type='spicevmc'/>"
        "<graphics type='spice' autoport='yes'/>"
    )  # fmt: skip
    yield "usb-two", (
        XHCI + "<controller type='usb' index='1' model='qemu-xhci' ports='15'/>" + usb
        + serial("type='usb-serial'", "<address type='usb' bus='1' port='1'/>") + usb * 3
    )  # fmt: skip
    yield (
        "usb-override",
        (XHCI + usb + serial("type='usb-serial'", "<alias name='ua-b'/>") + "OVERRIDE"),
    )
    xhci = "<controller type='usb' model='qemu-xhci'/>"
    if machine in {"aarch64", "q35"}:
        for count in (5, 10, 11, 18, 19, 26):
            yield f"usb-{count}-on-4", xhci + usb * count
        yield "usb-hub-12", xhci + "<hub type='usb'/>" + usb * 12
        yield "usb-all", (
            XHCI + usb + "<sound model='usb'/><input type='mouse' bus='usb'/>"
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            "<source file='/a.img'/><target dev='sda' bus='usb'/></disk>"
            "<redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' "
            "service='4000'/></redirdev><smartcard mode='passthrough' type='tcp'>"
            "<source mode='bind' host='127.0.0.1' service='2001'/><protocol type='raw'/>"
            "</smartcard>"
        )  # fmt: skip
    yield "usb-bare", "<controller type='usb'/>" + usb
    if machine in X86:
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
        yield "usb-none", "<controller type='usb' index='0' model='none'/>" + serial()
    if machine == "ppc64":
        yield "usb-default", usb * 2
        yield "usb-nec", "<controller type='usb' model='nec-xhci'/>" + usb


def _with_pci(machine: str) -> Iterator[tuple[str, str]]:
    yield "pci-4", serial("type='pci-serial'") * 4
    yield "pci-9", serial("type='pci-serial'") * 9
    yield "agent", serial() + AGENT
    yield "channels-20", "".join(channel(n) for n in range(20))
    yield "channels-33", "".join(channel(n) for n in range(33))
    yield "virtio-controllers", (
        "<controller type='virtio-serial' index='0' ports='4' vectors='2'/>"
        "<controller type='virtio-serial' index='1' ports='16'><driver queues='2'/></controller>"
        + channel(0, at(1, 3)) + channel(1, at(0, 1)) + channel(2) + channel(3)
        + console(at(1, 0)) + console()
    ).replace("<driver queues='2'/>", "")  # fmt: skip
    yield "virtio-index-2", channel(0, at(2, 1)) + channel(1)
    yield "console-alias", serial() + console("<alias name='ua-c'/>") + console()
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
            XHCI + "<controller type='scsi' index='0' model='virtio-scsi'/>"
            "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/>"
            "</interface><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
            "<memballoon model='virtio'/><disk type='file' device='disk'>"
            "<driver name='qemu' type='raw'/><source file='/var/lib/vms/a.img'/>"
            "<target dev='vda' bus='virtio'/></disk><video><model type='virtio'/></video>"
            "<graphics type='vnc' port='5901'/><watchdog model='i6300esb' action='reset'/>"
            "<input type='tablet' bus='virtio'/>" + serial("type='pci-serial'") + channel(0)
        ),
    )
    if machine in {"pc", "q35"}:
        for name, body in _allocated():
            yield f"virtio-{name}", body
    if machine in {"q35", "aarch64"}:
        port = "<controller type='pci' index='{}' model='pcie-root-port'/>".format
        yield "ports-stated", port(1) + port(2) + port(3) + channel(0)
        yield "port-free", (
            "<controller type='pci' index='0' model='pcie-root'/>" + port(1)
            + serial("type='pci-serial'")
        )  # fmt: skip
        yield "bus-2", (f"<controller type='virtio-serial' index='0'>{pci(0, bus=2)}</controller>")
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
        yield "pci-31", serial("type='pci-serial'") * 31 + "<memballoon model='none'/>"
        yield "bus-1", serial("type='pci-serial'", pci(3, bus=1))
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
        (f"<controller type='virtio-serial' index='0'>{pci(7)}</controller>"
         f"<memballoon model='virtio'>{pci(8)}</memballoon>"
         if machine not in EXPRESS else
         "<controller type='pci' index='0' model='pcie-root'/>"
         f"<controller type='pci' index='1' model='pcie-root-port'>{pci(7)}</controller>"
         f"<controller type='pci' index='2' model='pcie-root-port'>"
         f"<target chassis='9' port='0x41'/>{pci(8)}</controller>"
         f"<controller type='virtio-serial' index='0'>{pci(0, bus=1)}</controller>"
         f"<memballoon model='virtio'>{pci(0, bus=2)}</memballoon>")
        + channel(0) + serial()
    )  # fmt: skip
    yield "mirror-address", (
        "<controller type='virtio-serial' index='0'/>"
        + serial("type='pci-serial'", pci(9) if machine not in EXPRESS else "")
        + (f"<console type='pty'><target type='serial'/>{pci(9)}</console>"
           if machine not in EXPRESS else "<console type='pty'/>")
    )  # fmt: skip
    if machine in EXPRESS:
        yield "bridge", (
            "<controller type='pci' index='0' model='pcie-root'/>"
            "<controller type='pci' index='1' model='pcie-root-port'/>"
            "<controller type='pci' index='2' model='pcie-to-pci-bridge'/>"
            + serial("type='pci-serial'", pci(1, bus=2)) + serial("type='pci-serial'")
        )  # fmt: skip
        yield "multifunction", (
            serial("type='pci-serial'", pci(5, more=" multifunction='on'"))
            + serial("type='pci-serial'", pci(5, 1))
        )  # fmt: skip
    else:
        yield "bridge", (
            "<controller type='pci' index='0' model='pci-root'/>"
            "<controller type='pci' index='1' model='pci-bridge'/>"
            + serial("type='pci-serial'", pci(3, bus=1)) + serial("type='pci-serial'")
        )  # fmt: skip
        yield "multifunction", (
            serial("type='pci-serial'", pci(9, more=" multifunction='on'"))
            + serial("type='pci-serial'", pci(9, 1))
        )  # fmt: skip


def _on_x86() -> Iterator[tuple[str, str]]:
    yield "isa-5", serial() * 5
    place = "<address type='isa' iobase='0x2e8' irq='5'/>"
    yield "isa-place", serial("type='isa-serial'", place)
    yield "isa-typed", serial("type='isa-serial' port='2'") + serial("type='isa-serial'") * 2
    for name, targets in _NUMBERS.items():
        yield f"isa-{name}", "".join(serial(target) for target in targets)
    yield "parallel", serial() * 2 + "<parallel type='null'/><parallel type='pty'/>"
    yield (
        "debugcon",
        (
            "<serial type='file'><source path='/var/log/vm/debug.log'/>"
            "<target type='isa-debug' port='0'><model name='isa-debugcon'/></target>"
            "<address type='isa' iobase='0x402'/></serial>" + serial("type='isa-serial' port='1'")
        ),
    )
    yield "debugcon-bare", serial() + serial("type='isa-debug'")
    yield "watchdog", serial() + "<sound model='ich6'/><input type='mouse' bus='ps2'/>"
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
        yield "isa-made-own", serial("type='isa-serial'")
    if machine == "aarch64":
        yield "isa-made-system", serial("type='isa-serial'") * 2
        yield "system-and-usb", XHCI + serial("type='usb-serial' port='1'") + serial("port='0'")
    if machine == "ppc64":
        reg = "<address type='spapr-vio' reg='0x{:08x}'/>"
        yield "reg", (
            serial(inside=reg.format(0x30001000)) + serial()
            + serial(inside=reg.format(0x30005000)) + serial()
        )  # fmt: skip
    if machine == "s390x":
        yield "sclp", console(target="sclp")
        yield "sclp-both", serial() + console(target="sclplm")
        yield (
            "sclplm-serial",
            serial()
            + (
                "<serial type='pty'><target type='sclp-serial'><model name='sclplmconsole'/>"
                "</target></serial>"
            ),
        )
        yield "virtio", console() * 3 + "".join(channel(n) for n in range(3))
        ccw = "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x{:04x}'/>"
        yield (
            "ccw",
            (
                f"<controller type='virtio-serial' index='0'>{ccw.format(0x21)}</controller>"
                f"<memballoon model='virtio'>{ccw.format(0x1)}</memballoon>"
                "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
                + channel(0)
            ),
        )
        yield (
            "ccw-free",
            (
                "<interface type='user'><model type='virtio'/><mac address='52:54:00:00:00:01'/>"
                "</interface><controller type='scsi' model='virtio-scsi'/>" + console() + channel(0)
            ),
        )
    if machine in {"vexpress", "aarch64"}:
        yield (
            "mmio",
            (
                "<controller type='virtio-serial' index='0'><address type='virtio-mmio'/>"
                "</controller>" + channel(0)
            ),
        )


def domains() -> Iterator[tuple[str, str]]:
    """Yield names and XML of all domains."""
    for machine in MACHINES:
        bodies = [*_everywhere(machine), *_of_one(machine)]
        if machine in PCI:
            bodies += [*_with_pci(machine), *_with_usb(machine)]
        if machine in X86:
            bodies += _on_x86()
        for name, body in bodies:
            yield f"{machine}-{name}", domain(f"{machine}-{name}", machine, body)
    yield from refused()
