"""What a domain's XML says that matters for serial ports.

Facts of libvirt: docs/formatdomain of 9.0 and 11.3, and what 9.0 was seen to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace

from vmserial.errors import ConfigError
from vmserial.lazy import once
from vmserial.records import record
from vmserial.sources.libvirt.chardevice import (
    Address,
    CharDevice,
    address_of,
    read_device,
    whole,
)
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Element

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
"""Of ``<qemu:commandline>``."""

ARCHES = {
    "ppc64le": "ppc64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "x86_64",
}
"""libvirt's names of architectures that are not QEMU's; others are the same."""

MEANT = {
    "arm": "armv7l", "armhf": "armv7l", "armv7": "armv7l", "arm64": "aarch64", "i386": "i686",
    "amd64": "x86_64", "x86-64": "x86_64", "ppc64el": "ppc64le", "riscv": "riscv64",
    "loong64": "loongarch64",
}  # fmt: skip
"""What QEMU and Debian call an architecture, and libvirt does not take: its name there."""

DEFAULT_SERIAL = {
    "x86_64": "isa-serial", "ppc64": "spapr-vio-serial", "s390x": "sclp-serial",
    "arm": "system-serial", "aarch64": "system-serial", "riscv64": "system-serial",
    "loongarch64": "system-serial",
    **dict.fromkeys(("mips", "mipsel", "mips64", "mips64el"), "system-serial"),
}  # fmt: skip
"""The target type that libvirt gives a ``<serial>`` without one."""


@record(frozen=True)
class Controller:
    """A ``<controller>``; numbers that are not said are None, but for the index."""

    type: str
    index: int | None
    model: str
    element: Element = field(repr=False, compare=False)
    ports: int | None = None
    vectors: int | None = None
    address: Address | None = None


@record(frozen=True)
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
        mirror: the ``<console>`` that is serial0 seen once more.
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
    mirror: CharDevice | None
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

    @once
    def devices(self) -> Element | None:
        """The ``<devices>``."""
        return self.root.child("devices")

    @property
    def os_element(self) -> Element | None:
        """The ``<type>`` in ``<os>``: architecture and machine type."""
        os = self.root.child("os")
        return os.child("type") if os is not None else None

    @once
    def characters(self) -> tuple[CharDevice, ...]:
        """All devices with a host's end."""
        return self.serials + self.consoles + self.channels + self.parallels

    @once
    def usual_serial(self) -> str:
        """The target type of a ``<serial>`` that says none."""
        return DEFAULT_SERIAL.get(self.arch, "isa-serial")

    def controllers_of(self, type: str) -> list[Controller]:
        """Return the controllers of a type."""
        return [c for c in self.controllers if c.type == type]

    @once
    def by_name(self) -> Mapping[str, list[Element]]:
        """What stands in ``<devices>``, by its name."""
        return _by_name(self.devices)

    def kind(self, port: CharDevice) -> str:
        """Return what a port becomes: a target type, libvirt's default where none is said."""
        given = port.target_type
        if port.tag == "serial" or (self.serials and port is self.serials[0]):
            given = "" if given == "serial" else given
            return _LONG.get(given, given) or self.usual_serial
        return given or "serial"

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
        arch = MEANT.get(arch, arch)
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
        found = _by_name(devices)
        serials, consoles, mirror = _serials(found)
        features = root.child("features")
        command = next(
            (e for e in root.children
             if e.name.endswith("commandline") and e.namespace == QEMU_NAMESPACE), None
        )  # fmt: skip
        words = command.children if command else []
        return cls(
            document, root.get("type"), _text(root, "name") or "vm", arch, machine_type, emulator,
            kind.text if kind else "", _text(os, "loader"), _text(os, "kernel"),
            _text(os, "initrd"), _text(os, "cmdline"),
            tuple(e.name for e in features.children) if features else (),
            serials, consoles, mirror,
            _numbered(found, "channel"), _numbered(found, "parallel"),
            tuple(_controllers(found.get("controller", []))),
            tuple(found.get("hub", ())),
            tuple([e for e in devices.children if _on_usb(e)]) if devices else (),
            tuple(e.get("value") for e in words if e.name.endswith("arg")),
            tuple((e.get("name"), e.get("value")) for e in words if e.name.endswith("env")),
        )  # fmt: skip


_LONG = {
    "isa": "isa-serial", "usb": "usb-serial", "pci": "pci-serial", "spapr-vio": "spapr-vio-serial",
    "sclp": "sclp-serial", "sclplm": "sclp-serial",
}  # fmt: skip


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


def _by_name(devices: Element | None) -> dict[str, list[Element]]:
    found: dict[str, list[Element]] = {}
    for element in devices.children if devices is not None else ():
        if element.name in found:
            found[element.name].append(element)
        else:
            found[element.name] = [element]
    return found


def _serials(
    found: Mapping[str, list[Element]],
) -> tuple[tuple[CharDevice, ...], tuple[CharDevice, ...], CharDevice | None]:
    """Return the serial devices, the consoles, and the console that is no device of its own.

    The first console is serial0 seen once more, if its target is serial (or nothing).
    """
    serials = list(_numbered(found, "serial"))
    # Of a serial port that can be the console libvirt makes one, before those that are there.
    named = [e for e in found.get("console", ()) if not e.namespace]
    first = int(
        bool(named) and not _mirrors(named[0]) and bool(serials) and _seen_twice(serials[0])
    )
    consoles = [read_device(e, n) for n, e in enumerate(named, first)]
    mirror = None
    if consoles and _mirrors(consoles[0].element):
        mirror = consoles.pop(0)
        if not serials:
            serials, mirror = [replace(mirror, tag="serial")], None
    return tuple(serials), tuple(consoles), mirror


def _numbered(found: Mapping[str, list[Element]], name: str) -> tuple[CharDevice, ...]:
    mine = [e for e in found.get(name, ()) if not e.namespace]
    return tuple([read_device(e, n) for n, e in enumerate(mine)])


def _mirrors(console: Element) -> bool:
    """Tell whether a first ``<console>`` is serial0 seen once more."""
    target = console.child("target")
    return target is None or target.get("type") in {"", "serial"}


def _seen_twice(serial: CharDevice) -> bool:
    """Tell whether libvirt shows a first ``<serial>`` as a ``<console>`` too."""
    return serial.target_type not in {"usb-serial", "pci-serial", "isa-debug"} and serial.said(
        "address", "type"
    ) not in {"usb", "pci"}


def _controllers(found: list[Element]) -> Iterator[Controller]:
    """Yield the controllers; one without an index gets the next of its type.

    An ich9 controller belongs to the one before it.
    """
    last: dict[str, int] = {}
    for element in found:
        controller = _controller(element)
        type = controller.type
        if controller.index is None:
            joins = controller.model.startswith("ich9-") and type in last
            index = last[type] if joins else last.get(type, -1) + 1
            controller = replace(controller, index=index)
        last[type] = max(last.get(type, -1), controller.index or 0)
        yield controller


def _controller(element: Element) -> Controller:
    def maybe(name: str) -> int | None:
        return whole(element.get(name), -1) if name in element.values else None

    return Controller(
        element.get("type"), maybe("index"), element.get("model"), element, maybe("ports"),
        maybe("vectors"), address_of(element.child("address")),
    )  # fmt: skip


_NOT_ON_USB = frozenset({"serial", "console", "channel", "parallel", "hub", "controller"})


def _on_usb(element: Element) -> bool:
    """Tell whether a device that is neither port nor hub nor controller sits on USB."""
    if element.name in _NOT_ON_USB:
        return False
    address, target = element.child("address"), element.child("target")
    return (
        element.get("bus") == "usb"
        or (target is not None and target.get("bus") == "usb")
        or (address is not None and address.get("type") == "usb")
    )
