"""A libvirt domain as the command that libvirt starts.

Everything that has a place or a chardev is here, with libvirt's own ids, order and addresses,
those too that it gives by itself; each option with the element that asks for it.  The facts are
those of libvirt 9.0 (tests/live/test_libvirt_native.py asks a real one).  Three things are
written otherwise than libvirt does:

* the machine type is the domain's, not the version that it stands for today;
* what is behind a disk or a network card is left out;
* the monitor, the memory and whatever else no port depends on is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from vmserial.errors import ConfigError
from vmserial.lazy import once
from vmserial.model import SourceRef
from vmserial.model.origin import Dropped, Gap, LoweredCommand, LoweredOption, Origin
from vmserial.options import JsonOption, Option, Scalar
from vmserial.sources.command import CommandLine
from vmserial.sources.libvirt.boards import Board, board
from vmserial.sources.libvirt.chardevice import CharDevice
from vmserial.sources.libvirt.devices import PartList
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.hostside import HostSide, host_side, of_element
from vmserial.sources.libvirt.overrides import Overrides
from vmserial.sources.libvirt.parts import Part, Parts
from vmserial.sources.libvirt.places import Places
from vmserial.sources.libvirt.ports import PortParts
from vmserial.sources.libvirt.refusals import refusals
from vmserial.sources.libvirt.view import QEMU_NAMESPACE, Domain

_JSON_DEVICE = (6, 2, 0)
"""The first QEMU that takes ``-device`` as JSON: libvirt then writes it so, and QEMU makes such
devices after all others."""

_JSON_OBJECT = (6, 0, 0)

_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def lower(
    domain: Domain, version: tuple[int, ...] = (7, 2, 0), *, plain: bool = False
) -> LoweredCommand:
    """Return the command that libvirt starts.

    Args:
        domain: the domain.
        version: of the QEMU that it runs on.
        plain: without JSON, which QEMU makes after all that is not.
    """
    return _Lowering(domain, version, plain=plain).command()


class _OfElement(Origin):
    """An element; where it stands is asked of few."""

    def __init__(self, element: Element) -> None:
        self.__dict__.update(owner="libvirt", handle=element)

    @once
    def where(self) -> SourceRef:
        """File and line."""
        element: Element = self.__dict__["handle"]
        return element.where


_NOWHERE = Origin(None, "libvirt")
"""Of what libvirt adds."""


class _Lowering:
    """Writes one domain's options."""

    def __init__(self, domain: Domain, version: tuple[int, ...], *, plain: bool) -> None:
        self.domain, self.version = domain, version
        self.board: Board = board(domain.arch, domain.machine_type)
        self.options: list[LoweredOption] = []
        self.labels: dict[str, str] = {}
        self.gaps: list[Gap] = []
        self.dropped: list[Dropped] = []
        self.overrides = Overrides.of(domain)
        self.json = version >= _JSON_DEVICE and not plain
        self.json_objects = version >= _JSON_OBJECT and not plain
        self.origin = _NOWHERE

    def command(self) -> LoweredCommand:
        """Return the whole."""
        domain = self.domain
        taken = PartList(domain, self.board)
        parts = taken.take()
        ports = PortParts(domain, self.board, taken)
        places = Places(domain, self.board, taken, parts, ports)
        given = places.given()
        self.gaps += refusals(domain, ports) + given
        for element in parts.unfollowed:
            self.gaps.append(
                Gap("addresses", f"the place of <{element.name}> is not known", element.where)
            )
        self.machine()
        self.controllers(parts, ports.parts)
        self.written(parts.hubs)
        self.written(part for part in parts.controllers if part.usb is not None)
        self.written(parts.disks)
        self.written(parts.filesystems)
        self.written(parts.nets)
        for part in parts.smartcards:
            self.with_chardev(part)
        for port in domain.serials:
            self.port(port, ports)
        for port in (*domain.parallels, *domain.channels, *domain.consoles):
            self.port(port, ports)
        self.written(parts.inputs)
        self.written(parts.videos)
        self.written(parts.sounds)
        self.written(parts.watchdogs)
        for part in parts.redirections:
            self.with_chardev(part)
        self.written(parts.hosts)
        self.written(parts.balloons)
        self.written(parts.randoms)
        self.written(parts.vsocks)
        self.arguments()
        return LoweredCommand(
            domain.emulator or f"/usr/bin/qemu-system-{domain.arch}", domain.arch,
            tuple(self.options), "libvirt", domain.name, self.labels, tuple(self.dropped),
            tuple(self.gaps),
        )  # fmt: skip

    # -------------------------------------------------------------- writing

    def put(
        self, option: Option, element: Element | None, automatic: frozenset[str] = frozenset()
    ) -> None:
        """Write an option of libvirt's."""
        origin = self.origin
        if origin.handle is not element:
            origin = self.origin = _OfElement(element) if element is not None else _NOWHERE
        self.options.append(LoweredOption(option, origin, automatic))

    def device(self, part: Part) -> None:
        """Write a ``-device``."""
        keys = part.keys
        if part.id:
            keys = [*keys, ("id", part.id)]
        keys = [*keys, *part.place]
        if self.overrides.properties:
            keys = self.overrides.applied(part.id, keys)
        self.put(_option("-device", "driver", part.driver, keys, as_json=self.json),
                 part.element, part.automatic)  # fmt: skip

    def written(self, parts: Iterable[Part]) -> None:
        """Write devices."""
        for part in parts:
            self.device(part)

    def with_chardev(self, part: Part) -> None:
        """Write a device that is no port, with the host's end of its element."""
        assert part.element is not None
        self.host(part.element, of_element(part.element, f"char{part.id}", self.domain.name,
                                           self.version))  # fmt: skip
        part.keys.insert(0, ("chardev", f"char{part.id}"))
        self.device(part)

    def host(self, element: Element, side: HostSide) -> None:
        """Write the host's end of a port."""
        for option in side.options[:-1]:
            keys = list(option.params)
            self.put(
                _option(option.flag, "qom-type", option.head, keys,
                        as_json=self.json_objects), element,
            )  # fmt: skip
        self.put(side.options[-1], element, side.automatic)

    # -------------------------------------------------------------- the parts

    def machine(self) -> None:
        """Write what stands before the devices."""
        domain = self.domain
        root = domain.root
        os = root.child("os")
        kind = os.child("type") if os is not None else None
        self.put(Option("-name", params=(("guest", domain.name),)), root.child("name"))
        self.put(Option("-machine", domain.machine_type, (("usb", "off"),)), kind)
        self.put(Option("-accel", "kvm" if domain.type == "kvm" else "tcg"), root)
        uuid = root.child("uuid")
        if uuid is not None:
            self.put(Option("-uuid", raw=uuid.text), uuid)
        self.put(Option("-display", "none"), None)
        self.put(Option("-no-user-config"), None)
        self.put(Option("-nodefaults"), None)
        for flag, name in (("-kernel", "kernel"), ("-initrd", "initrd"), ("-append", "cmdline")):
            said = os.child(name) if os is not None else None
            if said is not None and said.text:
                self.put(Option(flag, raw=said.text), said)

    def controllers(self, parts: Parts, ports: list[Part]) -> None:
        """Write the controllers: libvirt goes over their types."""
        self.written(parts.pci[index] for index in parts.pci)
        for start in ("usb", "scsi", "ahci", "virtio-serial"):
            self.written(
                part for part in (*parts.controllers, *ports)
                if part.usb is None and _type(part.driver) == start
            )  # fmt: skip
        if self.board.legacy_usb and not any(_type(p.driver) == "usb" for p in parts.controllers):
            self.put(Option("-usb"), None)

    def port(self, port: CharDevice, ports: PortParts) -> None:
        """Write a port with the host's end."""
        part = ports.devices.get(port)
        if part is None and port.tag != "serial" and port.target_type != "guestfwd":
            return  # libvirt refuses it
        id = ports.ids[port]
        chardev = f"char{id}"
        self.labels[chardev] = port.name
        self.host(port.element, host_side(port, chardev, self.domain.name, self.version))
        if port.target_type == "isa-serial" and self.domain.arch != "x86_64":
            self.dropped.append(Dropped(port.name, "other", port.where, "isa-serial"))
        if part is None:
            if port.tag == "channel":
                self.guestfwd(port, chardev, id)
            else:
                self.put(Option("-serial", raw=f"chardev:{chardev}"), port.element)
            return
        part.keys.insert(0, ("chardev", chardev))
        self.device(part)

    def guestfwd(self, port: CharDevice, chardev: str, id: str) -> None:
        """Write a channel that is a TCP connection of the guest's."""
        forward = f"tcp:{port.said('target', 'address')}:{port.target_port}-chardev:{chardev}"
        option = Option("-netdev", "user", (("guestfwd", forward), ("id", id)))
        if self.json:
            keys = {"type": "user", "guestfwd": [{"str": forward}], "id": id}
            option = Option("-netdev", raw=_JSON.encode(keys))
        self.put(option, port.element)

    def arguments(self) -> None:
        """Write ``<qemu:commandline>``: a user's own words, behind all others."""
        element = next(
            (e for e in self.domain.root.children
             if e.name.endswith("commandline") and e.namespace == QEMU_NAMESPACE), None
        )  # fmt: skip
        if element is None:
            return
        words = [child for child in element.children if child.name.endswith("arg")]
        if not words:
            return
        try:
            line = CommandLine.from_words(["qemu", *(word.get("value") for word in words)])
        except ConfigError as error:
            self.gaps.append(Gap("arguments", error.message, element.where))
            return
        for option in line.options:
            mine = tuple(words[option.first - 1 : option.last])
            where: SourceRef = mine[0].where
            self.options.append(
                LoweredOption(Option(option.flag, raw=option.value), Origin(where, "user", mine))
            )
            if option.name == "readconfig":
                self.gaps.append(Gap("readconfig", f"{option.value} is not read", where))


def _type(driver: str) -> str:
    """Return what sort of controller a device is."""
    if driver.startswith("virtio-serial"):
        return "virtio-serial"
    if driver == "ahci":
        return "ahci"
    return "usb" if "usb" in driver or driver in {"qemu-xhci", "pci-ohci"} else "scsi"


def _option(
    flag: str, first: str, name: str, keys: list[tuple[str, Scalar]], *, as_json: bool
) -> Option:
    """Return an option in libvirt's form: JSON where QEMU takes it."""
    if as_json:
        return JsonOption(flag, {first: name, **dict(keys)})
    return Option(flag, name, tuple(keys))
