"""Domains that libvirt refuses."""

from __future__ import annotations

from collections.abc import Iterator

from libvirt_xml import (
    XHCI,
    at,
    channel,
    console,
    domain,
    pci,
    serial,
)


def refused() -> Iterator[tuple[str, str]]:
    """Yield domains that libvirt 9.0 refuses: when it reads them, or makes the command."""
    model = "<serial type='pty'><target type='{}'><model name='{}'/></target></serial>".format
    for name, machine, body in (
        ("consoles", "q35", serial() + "<console type='pty'/>" + console(target="serial")),
        ("pl011", "q35", model("system-serial", "pl011")),
        ("sclp", "q35", model("sclp-serial", "sclpconsole")),
        ("sclp-console", "q35", console(target="sclp")),
        ("sclp-untyped", "q35", serial("type='sclp-serial'")),
        ("spapr", "q35", serial("type='spapr-vio-serial'")),
        ("system", "pc", serial("type='system-serial'")),
        ("16550a", "aarch64", model("system-serial", "16550a")),
        ("isa-debug", "aarch64", serial("type='isa-debug'")),
        ("isa-debugcon", "aarch64", model("isa-debug", "isa-debugcon")),
        ("spapr-aarch64", "aarch64", serial("type='spapr-vio-serial'")),
        ("isa-riscv64", "riscv64", model("isa-serial", "isa-serial")),
        ("pci", "s390x", serial("type='pci-serial'")),
        ("usb", "s390x", serial("type='usb-serial'")),
        ("usb-aarch64", "aarch64", serial("type='usb-serial'")),
        ("usb-none", "q35", "<controller type='usb' model='none'/>" + serial("type='usb-serial'")),
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
        ("address", "q35", serial("type='pci-serial'", "<address type='usb' bus='0' port='1'/>")),
        ("usb-bus", "q35", XHCI + serial("type='usb-serial'",
                                           "<address type='usb' bus='3' port='1'/>")),
        ("usb-port", "q35", XHCI + serial("type='usb-serial'",
                                            "<address type='usb' bus='0' port='16'/>")),
        ("usb-taken", "q35", XHCI + serial("type='usb-serial'",
                                             "<address type='usb' bus='0' port='2'/>") * 2),
        ("pci-taken", "pc", serial("type='pci-serial'", pci(9)) * 2),
        ("virtio-port", "pc", channel(0, at(0, 31))),
        ("virtio-taken", "pc", channel(0, at(0, 3)) + channel(1, at(0, 3))),
        ("virtio-controller", "pc", "<controller type='virtio-serial' index='0'/>"
         + channel(0, at(4, 1))),
        ("isa-port", "pc", serial("type='isa-serial' port='4'")),
        ("isa-5", "pc", serial("type='isa-serial'") * 5),
        ("short", "pc", serial("type='isa'")),
        ("tcp-bind", "pc", "<serial type='tcp'><source mode='bind' service='1'/></serial>"),
        ("sclplm", "pc", console(target="sclplm")),
        ("console-xen", "pc", console(target="xen")),
        ("console-type", "pc", console(target="telephone")),
        ("consoles-bare", "pc", serial() + "<console type='pty'/>" * 2),
        ("usb-address", "pc", serial("type='usb-serial'", pci(3))),
        ("isa-address", "pc", serial("type='isa-serial'", pci(3))),
        ("untyped-address", "pc", serial("", pci(3))),
        ("model", "aarch64", model("system-serial", "telephone")),
        ("model-of-pci", "pc", model("isa-serial", "pci-serial")),
        ("system-s390x", "s390x", serial("type='system-serial'")),
        ("system-ppc64", "ppc64", serial("type='system-serial'")),
        ("system-vexpress", "vexpress", serial("type='system-serial'")),
        ("debug-arm", "armv7l", serial("type='isa-debug'")),
        ("isa-twice", "pc", serial("type='isa-serial' port='1'") * 2),
        ("sclp-3", "s390x", serial() * 3),
        ("spapr-reg", "ppc64", serial(inside="<address type='spapr-vio' reg='0x30000000'/>") * 2),
        ("log", "q35", "<serial type='pty'><log append='on'/></serial>"),
        ("path-long", "q35", f"<serial type='unix'><source mode='bind' path='/{'a' * 120}'/>"
         "</serial>"),
        ("guestfwd", "q35", "<channel type='pty'><target type='guestfwd' port='1'/></channel>"),
        ("channel-target", "q35", "<channel type='pty'/>"),
        ("type", "q35", "<serial type='telephone'/>"),
        ("target", "q35", serial("type='telephone'")),
        ("spicevmc", "q35", "<serial type='spicevmc'/>"),
        ("agent", "q35", channel(0).replace("org.example.0", "org.qemu.guest_agent.0") * 2),
    ):  # fmt: skip
        yield f"refused-{name}", domain(f"refused-{name}", machine, body)
