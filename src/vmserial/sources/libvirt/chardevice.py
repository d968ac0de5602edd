"""A domain's devices with a host's end: ``<serial>``, ``<console>``, ``<channel>`` and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from vmserial.lazy import once
from vmserial.model import SourceRef
from vmserial.records import record
from vmserial.sources.libvirt.elements import Element

_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,16}\Z")


@record(frozen=True)
class Address:
    """An ``<address>``: its type and its numbers."""

    type: str
    element: Element = field(repr=False, compare=False)
    numbers: tuple[tuple[str, str], ...] = ()

    def number(self, name: str, default: int = 0) -> int:
        """Return one of its numbers; the default where it is not there or none."""
        return whole(self.element.get(name), default)


@record(frozen=True, eq=False)
class CharDevice:
    """A ``<serial>``, ``<console>``, ``<channel>`` or ``<parallel>``: a look at its element.

    Attributes:
        tag: what libvirt makes of it: ``serial`` of a domain's only ``<console>`` too.
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

    @once
    def type(self) -> str:
        """The host end's: ``pty``, ``unix``, ``tcp`` and so on."""
        return self.element.values.get("type", "")

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
    def _reconnect(self) -> Element | None:
        # <reconnect> stands in <source>; old documents have it beside.
        places = (part.child("reconnect") for part in self.element.named("source"))
        return next(filter(None, places), self.parts.get("reconnect"))

    @property
    def reconnect(self) -> int | None:
        """Seconds; None where it is off."""
        found = self._reconnect
        return whole(found.get("timeout")) if found and found.get("enabled") == "yes" else None

    @property
    def reconnect_timeout(self) -> str:
        """The seconds as they are written."""
        found = self._reconnect
        return found.get("timeout") if found else ""

    @property
    def retries(self) -> str:
        """Whether a client tries again: ``yes``, ``no`` or nothing said."""
        found = self._reconnect
        return found.get("enabled") if found else ""

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

    @once
    def target_type(self) -> str:
        """Of ``<target>``."""
        return self.said("target", "type")

    @once
    def target_port(self) -> str:
        """Of ``<target>``."""
        return self.said("target", "port")

    @property
    def target_name(self) -> str:
        """Of ``<target>``."""
        return self.said("target", "name")

    @once
    def target_model(self) -> str:
        """Of ``<target>``: the ``name`` of its ``<model>``."""
        model = self.target.child("model") if self.target else None
        return model.get("name") if model else ""

    @once
    def alias(self) -> str:
        """The ``name`` of ``<alias>``."""
        return self.said("alias", "name")

    @property
    def address(self) -> Address | None:
        """Where it sits, if that is said."""
        return address_of(self.parts.get("address"))

    @once
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


_SOURCE = frozenset({"path", "host", "service", "mode", "tls", "append", "channel"})


def read_device(element: Element, number: int) -> CharDevice:
    """Read a device with a host's end; its number is the one of its alias."""
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


def address_of(element: Element | None) -> Address | None:
    """Read an ``<address>``."""
    if element is None:
        return None
    numbers = tuple(pair for pair in element.values.items() if pair[0] != "type")
    return Address(element.get("type"), element, numbers)


def whole(text: str, default: int = 0) -> int:
    """Return a number as libvirt writes it, decimal or with 0x."""
    if text.isdecimal() and text.isascii() and len(text) <= 18:
        return int(text)  # nearly all of them
    return int(text, 0) if _HEXADECIMAL.match(text) else default
