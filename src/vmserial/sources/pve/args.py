"""The ports that ``vmserial fix`` wrote into ``args:``, read back as ports.

PVE starts more ports, and others than its own four, only through ``args:``.
What ``fix`` writes there follows a fixed form: chardevs with the ids
``serialN``, devices with the ids of :mod:`vmserial.devices`, controllers
``vmserial-…``.  :func:`lift` takes exactly these words out again and says which
ports they are, so that a configuration that was mended is still one with ports.
Everything else in ``args:`` is the user's own and stays opaque.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmserial import chardevs
from vmserial.errors import ConfigError
from vmserial.options import split_params
from vmserial.sources.pve.values import Word, spans
from vmserial.values import is_on

_NUMBER = r"(0|[1-9][0-9]{0,2})"
_CHARDEV = re.compile(rf"serial{_NUMBER}\Z")
_SERIAL = re.compile(rf"chardev:serial{_NUMBER}\Z")
_CONTROLLERS = {
    "qemu-xhci": re.compile(r"vmserial-xhci[0-9]+\Z"),
    "virtio-serial-pci": re.compile(r"vmserial-virtio[0-9]+\Z"),
    "pcie-root-port": re.compile(r"vmserial-rp[0-9]+\Z"),
}
_ROOT = re.compile(r"pcie?\.0\Z|pci\.2\Z")
_CARD = re.compile(rf"pciserial[24]x-{_NUMBER}\Z")
_NAMED = re.compile(
    r"""(?:bus=|chardev[0-9]?[=:]|"(?:bus|chardev)":\s*")"""
    r"(vmserial-(?:xhci|virtio|rp)[0-9]+|serial[0-9]+)(?![\w-])"
)
"""What an option's value names of what may be ours."""


@dataclass(frozen=True)
class _Form:
    """How a kind's device looks like: its kind, its id, its bus."""

    kind: str
    id: str
    bus: re.Pattern[str]


_FORMS = {
    "usb-serial": _Form("usb", "usbserial{}", re.compile(r"vmserial-xhci[0-9]+\.0\Z")),
    "virtserialport": _Form("virtio", "virtserialport.{}", re.compile(r"vmserial-virtio\d+\.0\Z")),
    "virtconsole": _Form("virtconsole", "virtconsole.{}", re.compile(r"vmserial-virtio\d+\.0\Z")),
    "pci-serial": _Form("pci", "pciserial{}", re.compile(r"(pcie?\.0|pci\.2|vmserial-rp[0-9]+)\Z")),
    "isa-serial": _Form("isa", "isaserial{}", re.compile(r"\Z")),
}


@dataclass(frozen=True)
class LiftedPort:
    """A port that stands in ``args:``.

    Attributes:
        index: N of ``serialN``.
        backend: its chardev as people write it (:func:`vmserial.chardevs.text`).
        kind: of its device; empty where it has none there, as the shim wants it.
        hotplug: it sits where it can be unplugged and plugged.
    """

    index: int
    backend: str
    kind: str = ""
    hotplug: bool = False


@dataclass(frozen=True)
class Lifted:
    """What ``args:`` holds.

    Attributes:
        words: the user's own.
        text: the same as it is written, without blanks around.
        ours: the words that were taken out.
        ports: which ports they are, by index.
    """

    words: tuple[str, ...]
    text: str
    ours: tuple[str, ...] = ()
    ports: tuple[LiftedPort, ...] = ()

    @property
    def own_ports(self) -> frozenset[int]:
        """The indexes of ports whose chardevs are the user's own words."""
        pairs = zip(self.words, self.words[1:], strict=False)
        ids = [
            dict(split_params(value)[1]).get("id", "") for flag, value in pairs
            if flag == "-chardev"
        ]  # fmt: skip
        return frozenset(int(match[1]) for id in ids if (match := _CHARDEV.match(id)))


def lift(text: str) -> Lifted:
    """Take the ports that ``fix`` wrote out of ``args:``.

    Raises:
        ConfigError: a quote is not closed (:func:`vmserial.sources.pve.values.split_args`).
    """
    words = spans(text)
    found = _Found()
    for at in range(len(words) - 1):
        flag, value = words[at].text, words[at + 1].text
        if flag == "-chardev":
            found.chardev(at, value)
        elif flag == "-device":
            found.device(at, value)
        elif flag == "-serial" and (match := _SERIAL.match(value)):
            found.give(int(match[1]), _Device(at, "uart"))
    ports = {index: port for index, port in found.ports() if port is not None}
    while True:
        taken = found.places(ports)
        rest = [word for at, word in enumerate(words) if at not in taken and at - 1 not in taken]
        if not found.leave(ports, rest):
            break
    if not taken:
        return Lifted(tuple(word.text for word in words), text.strip())
    # The user's own words stay as they are written, with the blanks between them.
    return Lifted(
        tuple(word.text for word in rest),
        _written(text, words, taken),
        tuple(w.text for at, w in enumerate(words) if at in taken or at - 1 in taken),
        tuple(ports[index] for index in sorted(ports)),
    )


@dataclass(frozen=True)
class _Device:
    """A device of ours: where its flag stands, its kind, and the bus of ours that it is on."""

    at: int
    kind: str
    bus: str = ""

    @property
    def controller(self) -> str:
        return self.bus.removesuffix(".0") if self.bus.startswith("vmserial-") else ""


@dataclass
class _Found:
    """What may be ours, before it is known to be whole."""

    chardevs: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    devices: dict[int, list[_Device]] = field(default_factory=dict)
    controllers: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    """Controllers on which the user has put something else."""

    def give(self, index: int, device: _Device) -> None:
        self.devices.setdefault(index, []).append(device)

    def chardev(self, at: int, value: str) -> None:
        head, pairs = split_params(value)
        keys = dict(pairs)
        match = _CHARDEV.match(keys.pop("id", ""))
        if match is None or len(keys) + 1 != len(pairs):
            return
        backend = _backend(head, keys)
        if backend:
            self.chardevs.setdefault(int(match[1]), []).append((at, backend))

    def device(self, at: int, value: str) -> None:
        if value.startswith("{"):
            return
        head, pairs = split_params(value)
        keys = dict(pairs)
        name = keys.get("id", "")
        controller = _CONTROLLERS.get(head)
        if controller is not None:
            if controller.match(name) and _ROOT.match(keys.get("bus", "")):
                self.controllers[name] = at
            return
        if head in {"pci-serial-2x", "pci-serial-4x"}:
            if _CARD.match(name) and _ROOT.match(keys.get("bus", "")):
                for key, chardev in pairs:
                    if key.startswith("chardev") and (match := _CHARDEV.match(chardev)):
                        self.give(int(match[1]), _Device(at, f"pci-{head[-2:]}"))
            return
        form = _FORMS.get(head)
        match = _CHARDEV.match(keys.get("chardev", ""))
        if (
            form is not None
            and match is not None
            and name == form.id.format(match[1])
            and form.bus.match(keys.get("bus", ""))
        ):
            self.give(int(match[1]), _Device(at, form.kind, keys.get("bus", "")))

    def ports(self) -> Iterator[tuple[int, LiftedPort | None]]:
        for index, lines in self.chardevs.items():
            devices = self.devices.get(index, [])
            if len(lines) != 1 or len(devices) > 1:
                yield index, None
            elif devices:
                (device,) = devices
                hotplug = device.kind == "pci" and device.controller != ""
                yield index, LiftedPort(index, lines[0][1], device.kind, hotplug)
            else:
                yield index, LiftedPort(index, lines[0][1])

    def places(self, ports: Mapping[int, LiftedPort]) -> frozenset[int]:
        """Return where the flags of all that belongs to ``ports`` stand."""
        mine = {self.chardevs[index][0][0] for index in ports}
        for index in ports:
            mine |= {device.at for device in self.devices.get(index, [])}
        return frozenset(mine.union(self.controllers.values()))

    def leave(self, ports: dict[int, LiftedPort], rest: Sequence[Word]) -> bool:
        """Give up what the user's own words name, and what then has no controller; True if any."""
        named = {name for word in rest for name in _NAMED.findall(word.text)}
        lost = named & self.controllers.keys()
        for name in lost:
            del self.controllers[name]
        self.lost |= lost
        gone = {index for index in ports if f"serial{index}" in named}
        for index in ports:
            if self.lost.intersection(d.controller for d in self.devices.get(index, [])):
                gone.add(index)
        for index in gone:
            del ports[index]
        return bool(gone or lost)


def _written(text: str, words: Sequence[Word], taken: frozenset[int]) -> str:
    """Return the text without the words at ``taken`` and the one after each."""
    kept: list[str] = []
    end = 0
    for at, word in enumerate(words):
        ours = at in taken or at - 1 in taken
        if not ours:
            kept.append(text[end : word.start] + text[word.start : word.end])
        end = word.end
    return "".join(kept).strip()


def _backend(head: str, keys: dict[str, str]) -> str:
    """Return a chardev's text form; empty if it has none."""
    # What QEMU assumes where nothing is said is not what our text form assumes.
    rest = {"signal": "on", **keys} if head == "stdio" else dict(keys)
    if head == "socket":
        rest.setdefault("server", "off")
        if is_on(rest["server"]):
            rest.setdefault("wait", "on")
    try:
        match head:
            case "socket" if "path" in rest:
                main = f"socket={_doubled(rest.pop('path'))}"
            case "socket":
                main = f"tcp={_joined(rest.pop('host'), rest.pop('port'))}"
            case "udp":
                main = f"udp={_joined(rest.pop('host'), rest.pop('port'))}"
            case "serial" | "tty":
                main = _doubled(rest.pop("path"))
            case "file" | "pipe":
                main = f"{head}={_doubled(rest.pop('path'))}"
            case "pty":
                main = f"pty={_doubled(path)}" if (path := rest.pop("path", "")) else "pty"
            case "ringbuf":
                main = f"ringbuf={rest.pop('size', '65536')}"
            case "vc" if "cols" in rest:
                main = f"vc={rest.pop('cols')}x{rest.pop('rows')}"
            case "vc" if "width" in rest:
                main = f"vc={rest.pop('width')}x{rest.pop('height')}px"
            case "null" | "stdio" | "vc":
                main = head
            case _:
                return ""
        tail = "".join(f",{key}={_doubled(value)}" for key, value in rest.items())
        return chardevs.text(chardevs.parse(main + tail))
    except (KeyError, ConfigError):
        return ""


def _doubled(value: str) -> str:
    return value.replace(",", ",,")


def _joined(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
