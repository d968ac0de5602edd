"""What a domain's XML says that matters for serial ports.

Facts of libvirt: docs/formatdomain of 9.0 and 11.3, and what 9.0 was seen to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmserial.errors import ConfigError
from vmserial.model import SourceRef
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Element

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
"""Of ``<qemu:commandline>``."""

ARCHES = {"armv7l": "arm", "armv6l": "arm", "i686": "x86_64", "amd64": "x86_64", "arm64": "aarch64"}
"""libvirt's names of architectures that are not QEMU's; others are the same."""

DEFAULT_SERIAL = {
    "x86_64": "isa-serial", "ppc64": "spapr-vio-serial", "s390x": "sclp-serial",
    "arm": "system-serial", "aarch64": "system-serial", "riscv64": "system-serial",
    "loongarch64": "system-serial",
}  # fmt: skip
"""The target type that libvirt gives a ``<serial>`` without one."""

_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,18})\Z")


@dataclass(frozen=True)
class Address:
    """An ``<address>``: its type and its numbers."""

    type: str
    element: Element = field(repr=False, compare=False)
    numbers: tuple[tuple[str, str], ...] = ()

    def number(self, name: str, default: int = 0) -> int:
        """Return one of its numbers; the default where it is not there or none."""
        return whole(self.element.get(name), default)


@dataclass(frozen=True, eq=False)
class CharDevice:
    """A ``<serial>``, ``<console>``, ``<channel>`` or ``<parallel>``: a look at its element.

    Attributes:
        tag: the element's name.
        number: its place among those of its tag, from 0: libvirt's alias is TAG + number.
        element: the element itself.
        parts: the first child of each name.
        source: what the ``<source>`` elements say; the first one that says it.
        own: of udp our own side's ``host`` and ``service``.
    """

    tag: str
    number: int
    element: Element = field(repr=False)
    parts: Mapping[str, Element] = field(repr=False)
    source: Mapping[str, str]
    own: Mapping[str, str]

    def said(self, part: str, name: str, default: str = "") -> str:
        """Return an attribute of a child."""
        child = self.parts.get(part)
        return default if child is None else child.values.get(name, default)

    @property
    def type(self) -> str:
        """The host end's: ``pty``, ``unix``, ``tcp`` and so on."""
        return self.element.get("type")

    @property
    def mode(self) -> str:
        """``bind`` or ``connect``."""
        return self.source.get("mode", "")

    @property
    def path(self) -> str:
        """Of the source."""
        return self.source.get("path", "")

    @property
    def host(self) -> str:
        """Of the source; of udp the other side's."""
        return self.source.get("host", "")

    @property
    def service(self) -> str:
        """Of the source; of udp the other side's."""
        return self.source.get("service", "")

    @property
    def channel(self) -> str:
        """Of the source, for spiceport and dbus."""
        return self.source.get("channel", "")

    @property
    def append(self) -> str:
        """``on`` or ``off`` of a file."""
        return self.source.get("append", "")

    @property
    def tls(self) -> bool:
        """``<source tls='yes'>``."""
        return self.source.get("tls") == "yes"

    @property
    def protocol(self) -> str:
        """``raw``, ``telnet``, ``telnets`` or ``tls``."""
        return self.said("protocol", "type", "raw")

    @property
    def reconnect(self) -> int | None:
        """Seconds; None where it is off."""
        # <reconnect> stands in <source>; old documents have it beside.
        places = (part.child("reconnect") for part in self.element.named("source"))
        found = next(filter(None, places), self.parts.get("reconnect"))
        return whole(found.get("timeout")) if found and found.get("enabled") == "yes" else None

    @property
    def log_file(self) -> str:
        """Of ``<log>``."""
        return self.said("log", "file")

    @property
    def log_append(self) -> bool:
        """Of ``<log>``."""
        return self.said("log", "append") == "on"

    @property
    def target(self) -> Element | None:
        """The ``<target>`` element."""
        return self.parts.get("target")

    @property
    def target_type(self) -> str:
        """Of ``<target>``."""
        return self.said("target", "type")

    @property
    def target_port(self) -> str:
        """Of ``<target>``."""
        return self.said("target", "port")

    @property
    def target_name(self) -> str:
        """Of ``<target>``."""
        return self.said("target", "name")

    @property
    def target_model(self) -> str:
        """Of ``<target>``: the ``name`` of its ``<model>``."""
        model = self.target.child("model") if self.target else None
        return model.get("name") if model else ""

    @property
    def alias(self) -> str:
        """The ``name`` of ``<alias>``."""
        return self.said("alias", "name")

    @property
    def address(self) -> Address | None:
        """Where it sits, if that is said."""
        return _address(self.parts.get("address"))

    @property
    def name(self) -> str:
        """``serial0``, ``console1``, ``channel0``."""
        return f"{self.tag}{self.number}"

    @property
    def where(self) -> SourceRef:
        """Its line."""
        return self.element.where

    @property
    def binds(self) -> bool:
        """Tell whether its socket listens."""
        return self.type in {"unix", "tcp"} and self.mode != "connect"


@dataclass(frozen=True)
class Controller:
    """A ``<controller>``; numbers that are not said are None."""

    type: str
    index: int | None
    model: str
    element: Element = field(repr=False, compare=False)
    ports: int | None = None
    vectors: int | None = None
    address: Address | None = None


@dataclass(frozen=True)
class Domain:
    """A domain, as far as its serial ports care.

    Attributes:
        document: where it was read.
        type: ``kvm``, ``qemu``…
        name: the domain's.
        arch: QEMU's target name.
        machine_type: as written; empty where libvirt takes its default.
        emulator: the binary; empty where libvirt takes its default.
        os_type: ``hvm``.
        loader, kernel, initrd, cmdline: of ``<os>``.
        features: names of the ``<features>``.
        serials: the ``<serial>`` devices; of a domain that has only a ``<console>``, that one.
        consoles: those ``<console>`` devices that are devices of their own (not serial0).
        channels, parallels: the others.
        controllers, hubs: in the document's order.
        usb_devices: elements other than ports and hubs that sit on USB.
        arguments: of ``<qemu:commandline>``.
        environment: of ``<qemu:commandline>``, names and values.
    """

    document: Document = field(repr=False)
    type: str
    name: str
    arch: str
    machine_type: str
    emulator: str
    os_type: str
    loader: str
    kernel: str
    initrd: str
    cmdline: str
    features: tuple[str, ...]
    serials: tuple[CharDevice, ...]
    consoles: tuple[CharDevice, ...]
    channels: tuple[CharDevice, ...]
    parallels: tuple[CharDevice, ...]
    controllers: tuple[Controller, ...]
    hubs: tuple[Element, ...]
    usb_devices: tuple[Element, ...]
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    @property
    def root(self) -> Element:
        """The ``<domain>``."""
        return self.document.root

    @property
    def devices(self) -> Element | None:
        """The ``<devices>``."""
        return self.root.child("devices")

    @property
    def characters(self) -> tuple[CharDevice, ...]:
        """All devices with a host's end."""
        return self.serials + self.consoles + self.channels + self.parallels

    def controllers_of(self, type: str) -> list[Controller]:
        """Return the controllers of a type."""
        return [c for c in self.controllers if c.type == type]

    def kind(self, port: CharDevice) -> str:
        """Return what a port becomes: a target type, libvirt's default where none is said."""
        if port.tag == "serial" or port in self.serials[:1]:
            given = port.target_type if port.target_type not in {"", "serial"} else ""
            if not given:
                given = _SITS.get(port.said("address", "type"), "")
            return _LONG.get(given, given) or DEFAULT_SERIAL.get(self.arch, "isa-serial")
        return port.target_type or "serial"

    @classmethod
    def of(cls, document: Document) -> Domain:
        """Read a document as a domain.

        Raises:
            ConfigError: it is another kind of document, or says no architecture.
        """
        root = document.root
        if root.name != "domain" or root.namespace:
            inner = next((e for e in root.children if e.name == "domain"), None)
            raise ConfigError(
                f"this is <{root.name[:40]}>, not <domain>",
                hint="give the domain itself: `virsh dumpxml --inactive DOM`" if inner is None else
                f"it holds a <domain> (line {inner.where.line}): save that one as a file",
                where=str(root.where),
            )  # fmt: skip
        os = root.child("os")
        kind = os.child("type") if os else None
        arch = kind.get("arch") if kind else ""
        machine_type = kind.get("machine") if kind else ""
        devices = root.child("devices")
        emulator = _text(devices, "emulator")
        arch = ARCHES.get(arch, arch) or _arch_of(emulator, machine_type)
        if not arch:
            raise ConfigError(
                "the domain does not say its architecture",
                hint="write <type arch='aarch64' machine='virt'>hvm</type> in <os>; "
                "`virsh dumpxml` does",
                where=str((kind or os or root).where),
            )
        found = devices.children if devices else []
        serials, consoles = _serials([e for e in found if not e.namespace])
        features = root.child("features")
        command = next(
            (e for e in root.children
             if e.namespace == QEMU_NAMESPACE and e.name.endswith("commandline")), None
        )  # fmt: skip
        words = command.children if command else []
        return cls(
            document, root.get("type"), _text(root, "name") or "vm", arch, machine_type, emulator,
            kind.text if kind else "", _text(os, "loader"), _text(os, "kernel"),
            _text(os, "initrd"), _text(os, "cmdline"),
            tuple(e.name for e in features.children) if features else (),
            serials, consoles,
            tuple(_device(e, n) for n, e in enumerate(e for e in found if e.name == "channel")),
            tuple(_device(e, n) for n, e in enumerate(e for e in found if e.name == "parallel")),
            tuple(_controller(e) for e in found if e.name == "controller"),
            tuple(e for e in found if e.name == "hub"),
            tuple(e for e in found if _on_usb(e)),
            tuple(e.get("value") for e in words if e.name.endswith("arg")),
            tuple((e.get("name"), e.get("value")) for e in words if e.name.endswith("env")),
        )  # fmt: skip


_SITS = {"usb": "usb-serial", "pci": "pci-serial", "isa": "isa-serial",
         "spapr-vio": "spapr-vio-serial"}  # fmt: skip
"""The target types of addresses."""

_LONG = {
    "isa": "isa-serial", "usb": "usb-serial", "pci": "pci-serial", "spapr-vio": "spapr-vio-serial",
    "sclp": "sclp-serial", "sclplm": "sclp-serial",
}  # fmt: skip


def whole(text: str, default: int = 0) -> int:
    """Return a number as libvirt writes it, decimal or with 0x."""
    return int(text, 0 if text[:2].lower() == "0x" else 10) if _NUMBER.match(text) else default


def _text(parent: Element | None, name: str) -> str:
    child = parent.child(name) if parent else None
    return child.text if child else ""


def _arch_of(emulator: str, machine_type: str) -> str:
    """Return the architecture that the emulator's name or the machine type tells."""
    match = re.search(r"qemu-system-([a-z0-9_]+)\Z", emulator)
    if match:
        return {"i386": "x86_64"}.get(match[1], match[1])
    if re.match(r"(?:pc|q35)(?:-|\Z)", machine_type):
        return "x86_64"
    if machine_type.startswith("pseries"):
        return "ppc64"
    return "s390x" if machine_type.startswith("s390") else ""


def _serials(found: list[Element]) -> tuple[tuple[CharDevice, ...], tuple[CharDevice, ...]]:
    """Return the serial devices, and the consoles that are devices of their own.

    The first console is serial0 seen once more, if its target is serial (or nothing).
    """
    serials = [_device(e, n) for n, e in enumerate(e for e in found if e.name == "serial")]
    consoles = [_device(e, n) for n, e in enumerate(e for e in found if e.name == "console")]
    if consoles and consoles[0].target_type in {"", "serial"}:
        first = consoles.pop(0)
        if not serials:
            serials = [first]
    return tuple(serials), tuple(consoles)


_SOURCE = frozenset({"path", "host", "service", "mode", "tls", "append", "channel"})


def _device(element: Element, number: int) -> CharDevice:
    """Read a device with a host's end."""
    said: dict[str, str] = {}
    own: dict[str, str] = {}
    parts: dict[str, Element] = {}
    for part in element.children:
        parts.setdefault(part.name, part)
        if part.name == "source":
            bound = part.get("mode") == "bind" and element.get("type") == "udp"
            for key, value in part.values.items():
                if value and key in _SOURCE:
                    mine = bound and key in {"host", "service"}
                    (own if mine else said).setdefault(key, value)
    return CharDevice(element.name, number, element, parts, said, own)


def _address(element: Element | None) -> Address | None:
    if element is None:
        return None
    numbers = tuple(pair for pair in element.values.items() if pair[0] != "type")
    return Address(element.get("type"), element, numbers)


def _controller(element: Element) -> Controller:
    def maybe(name: str) -> int | None:
        return whole(element.get(name), -1) if name in element.values else None

    return Controller(
        element.get("type"), maybe("index"), element.get("model"), element, maybe("ports"),
        maybe("vectors"), _address(element.child("address")),
    )  # fmt: skip


def _on_usb(element: Element) -> bool:
    """Tell whether a device that is neither port nor hub nor controller sits on USB."""
    if element.name in {"serial", "console", "channel", "parallel", "hub", "controller"}:
        return False
    address, target = element.child("address"), element.child("target")
    return (
        element.get("bus") == "usb"
        or (target is not None and target.get("bus") == "usb")
        or (address is not None and address.get("type") == "usb")
    )
