"""Edits of a lowered command as changes of the domain that it was lowered from.  Pure.

An answer (what mends one finding) is raised whole or not at all.  Where a new device goes is
chosen here, by libvirt's own numbers: an XHCI of 15 ports that is there, else a new one.  No two
splices meet: what becomes of one port is collected first, and written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vmserial.model import VIRTIO_PORTS
from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.options import Option, Scalar
from vmserial.sources.command import CommandOption
from vmserial.sources.command.edits import (
    Edit,
    InsertAfter,
    InsertBefore,
    Remove,
    RemoveKey,
    ReplaceValue,
    SetKey,
)
from vmserial.sources.command.params import Params
from vmserial.sources.libvirt.boards import board
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.needs import Need
from vmserial.sources.libvirt.rewriting import ALWAYS_PLUGGED, Rewriting
from vmserial.sources.libvirt.view import Domain
from vmserial.values import is_on

_KINDS = {
    "usb-serial": "usb", "pci-serial": "pci", "pci-serial-2x": "pci", "pci-serial-4x": "pci",
    "virtserialport": "virtio", "virtconsole": "virtconsole", "isa-serial": "isa",
    "sclpconsole": "sclp", "sclplmconsole": "sclplm", "spapr-vty": "spapr",
}  # fmt: skip


class Answered(Protocol):
    """What answers one finding: :class:`vmserial.judging.base.Answer`."""

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What it changes of the command."""


@dataclass(frozen=True)
class Raised:
    """What became of a document.

    Attributes:
        document: the changed one; the given one where nothing was changed.
        moves: by the place of an answer, what was done of other devices and places.
        silent: places of answers that ``plugs`` speaks for.
        refused: by the place of an answer, why it was not raised.
        plugs: ``-global`` was written, which keeps each usb-serial plugged in.
    """

    document: Document
    moves: dict[int, tuple[str, ...]] = field(default_factory=dict)
    silent: frozenset[int] = frozenset()
    refused: dict[int, str] = field(default_factory=dict)
    plugs: bool = False


class _Refused(Exception):
    """An edit has no counterpart in a domain."""


def raise_(
    domain: Domain,
    command: LoweredCommand,
    answers: Sequence[Answered],
    origin: Callable[[CommandOption], LoweredOption | None],
    support: Sequence[Edit] = (),
) -> Raised:
    """Change a domain as the answers change its command.

    Args:
        domain: the domain.
        command: what it was lowered to.
        answers: what is to be done.
        origin: tells what an option of the edits was lowered from.
        support: what the answers need between them.
    """
    return _Raising(domain, command, origin).raised(answers, support)


class _Raising:
    """Takes the answers in, one after the other."""

    def __init__(
        self, domain: Domain, command: LoweredCommand,
        origin: Callable[[CommandOption], LoweredOption | None],
    ) -> None:  # fmt: skip
        self.domain, self.command, self.origin = domain, command, origin
        self.ports = {id(port.element): port for port in domain.characters}
        self.on = board(domain.arch, domain.machine_type)
        self.writing = Rewriting(domain, command, plugged=_plugged(command))

    def raised(self, answers: Sequence[Answered], support: Sequence[Edit]) -> Raised:
        """Return the changed document."""
        for edit in support:
            lowered = self.origin(edit.option) if isinstance(edit, SetKey) else None
            if lowered is not None and isinstance(edit, SetKey) and edit.key == "bus":
                element = lowered.origin.handle
                if isinstance(element, Element) and id(element) in self.ports:
                    self.writing.places.pin(element, str(edit.value))
        refused: dict[int, str] = {}
        needs: dict[int, dict[int, Need]] = {}
        for place, answer in enumerate(answers):
            try:
                needs[place] = self.needs(answer.edits)
            except _Refused as error:
                refused[place] = str(error)
        for found in needs.values():
            for need in found.values():
                self.writing.add(need)
        silent = frozenset(
            place for place, found in needs.items()
            if found and all(need.plugs_only for need in found.values())
        )  # fmt: skip
        document = self.writing.written()
        moves = {
            place: tuple(text for need in found.values() for text in self.writing.texts_of(need))
            for place, found in needs.items()
        }
        return Raised(document, moves, silent, refused, self.writing.plugs)

    # -------------------------------------------------------------- one answer

    def needs(self, edits: Iterable[Edit]) -> dict[int, Need]:
        """Return what an answer's edits ask for, by element.

        Raises:
            _Refused: one of them cannot be said in a domain.
        """
        found: dict[int, Need] = {}
        for edit in edits:
            if edit.option is None:
                raise _Refused("libvirt puts no option at the end of its command")
            lowered = self.origin(edit.option)
            if lowered is None or lowered.origin.owner != "libvirt":
                raise _Refused(
                    f"{edit.option} is a user's own word in <qemu:commandline>: change it there"
                )
            element = lowered.origin.handle
            if not isinstance(element, Element):
                raise _Refused(f"{edit.option} is libvirt's own: the domain does not say it")
            need = found.setdefault(id(element), Need(element, self.ports.get(id(element))))
            self.take(need, edit)
        return found

    def take(self, need: Need, edit: Edit) -> None:
        """Add an edit to what its element needs."""
        match edit:
            case SetKey():
                self.set_key(need, edit.option, edit.key, edit.value)
            case RemoveKey(key="address" | "reg"):
                need.drop_address = True
            case ReplaceValue(option=option, value=value) if option.name == "device":
                self.device(need, Params.parse(value, "driver", json_too=True))
            case ReplaceValue(option=option, value=value) if option.name == "chardev":
                need.type = Params.parse(value, "backend").get("backend")
            case InsertAfter(options=options) | InsertBefore(options=options):
                for made in options:
                    self.inserted(need, made)
            case Remove(option=option) if option.name in {"device", "serial"}:
                if not need.kind:
                    raise _Refused("a port is not removed from a domain")
            case _:
                raise _Refused(f"a domain cannot say {edit.option} otherwise")

    def inserted(self, need: Need, option: Option) -> None:
        """Take in a new option: a port's other device."""
        value = option.value() or ""
        if option.flag == "-device":
            self.device(need, Params.parse(value, "driver", json_too=True))
        elif option.flag == "-serial":
            need.kind = "system"
        else:
            raise _Refused(f"a domain cannot say {option.flag} {value}")

    def device(self, need: Need, params: Params) -> None:
        """Take in another device of a port, or another place of its own."""
        kind = _KINDS.get(params.get("driver"), "")
        if not kind or need.port is None:
            raise _Refused(f"a domain has no {params.get('driver')} for it")
        need.kind = kind
        need.plug = need.plug or (kind == "usb" and is_on(params.get("always-plugged")))
        if (name := params.get("name")) and kind == "virtio":
            need.name = name

    def set_key(self, need: Need, option: CommandOption, key: str, value: Scalar) -> None:
        """Take in a changed key."""
        driver = option.params.get("driver")
        port = need.port
        if option.name == "chardev":
            self.set_host_key(need, option, key, str(value), value)
        elif key == "id" and port is not None:
            need.drop_alias = True
        elif key == "always-plugged" and driver == "usb-serial":
            need.plug = True
        elif key == "driver" and (kind := _KINDS.get(str(value), "")) in {"sclp", "sclplm"}:
            need.kind = kind
        elif key == "index" and driver == "isa-serial":
            need.number = int(value)
        elif key == "name" and port is not None and port.element.name == "channel":
            need.rename = str(value)
        elif key in {"bus", "port", "nr"} and driver in {"usb-serial", *VIRTIO_PORTS}:
            need.kind = _KINDS[driver]
            need.keep = True
        elif key in {"bus", "addr", "multifunction"}:
            need.drop_address = True
            if key == "addr" and self.on.one_bus:
                need.slot = str(value)
        elif key == "chardev":
            raise _Refused("libvirt gives each port its own chardev")
        else:
            raise _Refused(f"a domain cannot say {key}={value} of {driver or option.name}")

    def set_host_key(
        self, need: Need, option: CommandOption, key: str, text: str, value: Scalar
    ) -> None:
        """Take in a changed key of a host's end."""
        if key == "path" and option.params.get("backend") == "socket":
            need.path = text
        elif key == "logfile":
            need.log, need.log_is_new = text, not option.params.get("logfile")
        elif key == "logappend" and value is True:
            pass  # each log that is written here is appended to
        elif key == "id":
            need.drop_alias = True
        else:
            raise _Refused(f"a domain cannot say {key}={text} of a host's end")


def _plugged(command: LoweredCommand) -> bool:
    """Tell whether a user's own ``-global`` keeps each usb-serial plugged in."""
    for option in command.options:
        if option.option.flag != "-global":
            continue
        value = option.option.value() or ""
        params = Params.parse(value)
        if params.get("driver") == "usb-serial" and params.get("property") == "always-plugged":
            return is_on(params.get("value"))
        if value.partition("=")[0] == ALWAYS_PLUGGED.partition("=")[0]:
            return is_on(value.partition("=")[2])
    return False
