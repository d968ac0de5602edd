"""What libvirt itself refuses of a domain's ports, in its own words (9.0).  Pure.

What it refuses of their places is found where they are given
(:mod:`vmserial.sources.libvirt.places`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.model.origin import Gap
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.ports import PortParts
from vmserial.sources.libvirt.view import MEANT, Domain

_TYPES = frozenset(
    """
    null vc pty dev file pipe stdio udp tcp unix spicevmc spiceport nmdm qemu-vdagent dbus
    """.split()
)
_SERIALS = {
    "isa-serial": "isa-serial", "usb-serial": "usb-serial", "pci-serial": "pci-serial",
    "spapr-vio-serial": "spapr-vty", "system-serial": "", "sclp-serial": "sclpconsole",
    "isa-debug": "isa-debugcon",
}  # fmt: skip
"""The target types of a ``<serial>``, and the model of each."""

_MODELS = {
    "isa-serial": "isa-serial", "usb-serial": "usb-serial", "pci-serial": "pci-serial",
    "spapr-vty": "spapr-vio-serial", "pl011": "system-serial", "16550a": "system-serial",
    "sclpconsole": "sclp-serial", "sclplmconsole": "sclp-serial", "isa-debugcon": "isa-debug",
}  # fmt: skip
"""The target type that each model requires."""

_OWN_MODEL = {"arm": "pl011", "aarch64": "pl011", "riscv64": "16550a", "loongarch64": "16550a"}
"""The board's own UART where libvirt knows a model for it."""

_ARCHES = {
    "isa-serial": {"x86_64"}, "isa-debugcon": {"x86_64"}, "spapr-vty": {"ppc64"},
    "sclpconsole": {"s390x"}, "sclplmconsole": {"s390x"}, "pl011": {"arm", "aarch64"},
    "16550a": {"riscv64", "loongarch64"},
}  # fmt: skip
KIND, ADDRESS, TARGET = "kind-not-on-arch", "libvirt-address-kind", "libvirt-target-unknown"
BACKEND, RECONNECT = "chardev-backend-unknown", "socket-options-clash"

_CONSOLES = frozenset({"virtio", "sclp", "sclplm", "serial"})
_OTHER_CONSOLES = frozenset({"none", "xen", "uml", "lxc", "openvz"})
_ADDRESSES = {"isa-serial": "isa", "pci-serial": "pci", "isa-debug": "isa"}


Refusal = tuple[str, str]
"""libvirt's words, and the id of the finding that it is, where it has one of its own."""


def refusals(domain: Domain, ports: PortParts) -> list[Gap]:
    """Return what libvirt refuses, the first thing of each port."""
    found = list(_architecture(domain))
    mirror = domain.mirror
    # Ports mostly say the same of what they are: each sort is looked at once.
    known: _Known = {}
    for port in (*domain.characters, *([mirror] if mirror is not None else [])):
        if port.type == "pty" and port.tag == port.element.name == "serial":
            words = _of_sort(domain, port, known)  # most ports: the host's end has nothing to say
        else:
            words = tuple(islice(_of(domain, port, port is mirror, known), 1))
        found += [Gap("refused", said, port.where, rule, port.element) for said, rule in words]
    return [*found, *_isa(domain), *_aliases(ports)]


def _architecture(domain: Domain) -> Iterator[Gap]:
    """An architecture by another name than libvirt's."""
    kind = domain.os_element
    name = kind.get("arch") if kind is not None else ""
    if kind is not None and name in MEANT:
        yield Gap("refused", f"Unknown architecture {name}", kind.where, "", kind,
                  f"write arch='{MEANT[name]}': that is libvirt's name of it")  # fmt: skip


_Known = dict[tuple[str, str, str, str], tuple[Refusal, ...]]


def _of(domain: Domain, port: CharDevice, mirrors: bool, known: _Known) -> Iterator[Refusal]:
    if port.type not in _TYPES:
        yield f"unknown type presented to host for character device: {port.type}", BACKEND
    if port.element.name == "channel":
        yield from _channel(port)
    if port.type != "pty":
        yield from _source(port)
        if port.type in {"spiceport", "spicevmc"} and not _has_spice(domain):
            yield f"chardev '{port.type}' not supported without spice graphics", ""
    if mirrors:
        return
    if port.element.name == "console":
        yield from _console(domain, port)
    if port.tag == "serial" and port.element.name == "serial":
        yield from _of_sort(domain, port, known)


def _of_sort(domain: Domain, port: CharDevice, known: _Known) -> tuple[Refusal, ...]:
    """Return what is wrong with what a ``<serial>`` is to be; the first is enough."""
    sort = port.target_type, port.target_model, domain.kind(port), port.said("address", "type")
    found = known.get(sort)
    if found is None:
        found = known[sort] = tuple(islice(_serial(domain, port), 1))
    return found


def _channel(port: CharDevice) -> Iterator[Refusal]:
    type = port.target_type
    if not type:
        yield "target type must be specified for channel device", TARGET
    elif type not in {"virtio", "guestfwd", "xen"}:
        yield f"unknown target type '{type}' specified for character device", TARGET
    elif type == "guestfwd" and not port.said("target", "address"):
        yield "guestfwd channel does not define a target address", ""
    elif type == "guestfwd" and not port.target_port:
        yield "guestfwd channel does not define a target port", ""


def _source(port: CharDevice) -> Iterator[Refusal]:
    """What is wrong with the host's end."""
    if port.type == "nmdm":
        yield "unsupported chardev 'nmdm'", BACKEND
    if port.type in {"spicevmc", "qemu-vdagent"} and port.target_type != "virtio":
        yield f"{port.type} device type only supports virtio", ""
    if port.type in {"tcp", "unix"} and port.retries == "yes":
        text = port.reconnect_timeout
        if not text:
            yield "Missing required attribute 'timeout' in element 'reconnect'", RECONNECT
        if port.mode != "connect":
            yield "chardev reconnect is possible only for connect mode", RECONNECT
        if not port.reconnect:
            yield "chardev reconnect source timeout cannot be '0'", RECONNECT
    lacks = ""
    if (port.type in {"file", "pipe", "dev"} and not port.path) or (
        port.type == "unix"
        and not port.path
        and (port.tag, port.target_type) != ("channel", "virtio")
    ):
        lacks = "path"
    elif port.type in {"spiceport", "dbus"} and not port.channel:
        lacks = "channel"
    elif port.type == "tcp" and not port.host:
        lacks = "host"
    elif port.type in {"tcp", "udp"} and not port.service:
        lacks = "service"
    if lacks:
        yield f"Missing source {lacks} attribute for char device", "chardev-incomplete"


def _has_spice(domain: Domain) -> bool:
    graphics = domain.devices.named("graphics") if domain.devices else []
    return any(each.get("type") == "spice" for each in graphics)


def _console(domain: Domain, port: CharDevice) -> Iterator[Refusal]:
    type = port.target_type
    if type in {"", "serial"} and port.tag == "console":
        yield "Only the first console can be a serial port", "libvirt-serial-console-first"
    elif type in _OTHER_CONSOLES:
        yield f"unsupported console target type {type}", TARGET
    elif type not in {*_CONSOLES, ""}:
        yield f"unknown target type '{type}' specified for character device", TARGET
    elif type in {"sclp", "sclplm"} and domain.arch != "s390x":
        yield f"{type}console is not supported in this QEMU binary", KIND


def _serial(domain: Domain, port: CharDevice) -> Iterator[Refusal]:
    arch, type, model = domain.arch, port.target_type, port.target_model
    if type and type not in _SERIALS and type != "none":
        yield f"unknown target type '{type}' specified for character device", TARGET
        return
    if model and model not in _MODELS:
        yield f"unknown target model '{model}' specified for character device", ""
    kind = domain.kind(port)
    if kind == "isa-debug" and arch != "x86_64":
        yield "isa-debug serial type only valid on x86 architecture", KIND
    if kind == "isa-serial" and arch != "x86_64":
        kind = domain.usual_serial
    if model and _MODELS.get(model) != kind:
        yield f"Target model '{model}' requires target type '{_MODELS[model]}'", KIND
    if not model and type and kind == "system-serial" and not _knows_uart(domain):
        if type == "system-serial":
            yield "Invalid target model for serial device", KIND
        return
    real = model or _SERIALS.get(kind, "") or _OWN_MODEL.get(arch, "")
    if type and real and not _fits(domain, real):
        yield (f"Serial device with target type '{kind}' and target model '{real}' not "
               "compatible with guest architecture or machine type"), KIND  # fmt: skip
    address = port.said("address", "type")
    if address and kind == "usb-serial" and address != "usb":
        yield "usb-serial requires address of usb type", ADDRESS
    elif address and address != _ADDRESSES.get(kind, address):
        yield f"Target type '{kind}' requires address type '{_ADDRESSES[kind]}'", ADDRESS
    if kind == "pci-serial" and arch == "s390x":
        yield "'pci-serial' is not supported in this QEMU binary", KIND


def _knows_uart(domain: Domain) -> bool:
    return domain.arch in _OWN_MODEL and _is_virt(domain)


def _is_virt(domain: Domain) -> bool:
    return domain.machine_type == "virt" or domain.machine_type.startswith("virt-")


def _fits(domain: Domain, model: str) -> bool:
    if model in {"pl011", "16550a"} and not _is_virt(domain):
        return False
    return domain.arch in _ARCHES.get(model, {domain.arch})


def _isa(domain: Domain) -> Iterator[Gap]:
    """ISA numbers, as far as libvirt looks at them: those of ports that say they are ISA."""
    if domain.arch != "x86_64":
        return
    mine = [p for p in domain.serials if p.target_type == "isa-serial"]
    taken: set[int] = set()
    for port in mine:
        number = whole(port.target_port, -1)
        if number >= ISA_SERIAL_PORTS:
            yield Gap("refused", _MOST, port.where, "isa-limit", port.element)
        elif number in taken:
            words = f"target port '{number}' already allocated"
            yield Gap("refused", words, port.where, "isa-clash", port.element)
        elif number >= 0:
            taken.add(number)
    for port in mine:
        if not port.target_port:
            free = next((n for n in range(ISA_SERIAL_PORTS) if n not in taken), None)
            if free is None:
                yield Gap("refused", _MOST, port.where, "isa-limit", port.element)
            else:
                taken.add(free)


_MOST = f"Maximum supported number of ISA serial ports is '{ISA_SERIAL_PORTS}'"


def _aliases(ports: PortParts) -> Iterator[Gap]:
    """Two ports of one alias: libvirt looks at it when the domain is defined."""
    for port, id in ports.twice.items():
        yield Gap("refused", f"non unique alias detected: {id}", port.where, "id-taken",
                  port.element)  # fmt: skip
