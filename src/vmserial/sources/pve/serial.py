"""The serial ports of a PVE configuration, and our own directives for what PVE cannot say.

PVE knows ``serial0`` to ``serial3``, each ``socket`` or ``/dev/…``.  It drops
``serial4:`` at its next write of the file, and ``serial1: pty`` makes its start
fail.  A description line it keeps, whatever it says; so our extension is one::

    #vmserial serial4: pty,type=usb
    #vmserial serial1: type=pci,hotplug=on
    #vmserial serial2: file=/var/log/vm.log,logfile=/var/log/raw

The same text without ``#`` can be typed into the Notes of PVE's web interface.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import cast

from vmserial import chardevs
from vmserial.errors import ConfigError
from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.model import PortState, PveSerial, SerialPort, SourceRef
from vmserial.sources import ports
from vmserial.sources.pve.args import LiftedPort
from vmserial.sources.pve.document import Remark, Setting
from vmserial.sources.pve.values import OFF, ON
from vmserial.sources.pve.view import View

_PORT_KEY = re.compile(r"serial(0|[1-9][0-9]*)\Z")
_DIRECTIVE = re.compile(r"[ \t]*vmserial[ \t]+(\S.*)\Z", re.IGNORECASE)
_PORT = re.compile(r"serial(0|[1-9][0-9]*)[ \t]*:(.*)\Z", re.DOTALL)
_LIKE_ONE = re.compile(r"[ \t]*(\w{5,11})[ \t]+serial[0-9]+[ \t]*:")
_PART = re.compile(r"(?:[^,]|,,)+")
_OWN = frozenset({"type", "hotplug", "state"})
_LOG = ("logfile=", "logappend=", "logappend")
_EXAMPLE = "write '#vmserial serial4: pty,type=usb'"


@dataclass
class _Wish:
    """What the lines about one port say."""

    plain: Setting | None = None
    backend: str = ""
    line: int = 0
    own: dict[str, str] = field(default_factory=dict)
    own_line: int = 0
    directive: int = 0


def serial_ports(
    view: View,
    lifted: Iterable[LiftedPort] = (),
    args_line: int = 0,
    own: Container[int] = (),
) -> tuple[tuple[SerialPort, ...], tuple[PveSerial, ...]]:
    """Take all ``serialN`` settings and directives and return the ports by index.

    Args:
        view: of the configuration.
        lifted: the ports that stand in ``args:``; a directive goes on saying what they
            are to be.
        args_line: where that is.
        own: ports that are the user's own words in ``args:``; a directive about one of them
            says nothing that could be heeded.

    Returns:
        The ports as they are to be, and the lines as PVE itself reads them.

    Raises:
        ConfigError: a number past 999, a backend that does not exist, a malformed directive.
    """
    wishes: dict[int, _Wish] = {}
    for key in [key for key in view.settings if _PORT_KEY.match(key)]:
        setting = view.take(key)
        assert setting is not None
        index = _index(key.removeprefix("serial"), view.where(setting.line))
        wishes[index] = _Wish(plain=setting, line=setting.line)
        _merge(view, wishes[index], setting.value, setting.line, f"serial{index}")
        _tell_plain(view, index, setting, wishes[index])
    for there in lifted:
        _lifted(wishes, there, args_line)
    for remark in view.remarks:
        for text in remark.text.split("\n"):
            _directive(view, wishes, text, remark)
    found = []
    for index, wish in sorted(wishes.items()):
        if index in own and not wish.backend:
            view.note(
                "warning", wish.own_line or wish.directive or args_line,
                f"serial{index} is what args: makes of it: the directive changes nothing",
                "remove the directive",
            )  # fmt: skip
            continue
        found.append(_port(view, index, wish))
    if not found:
        view.notes.append(ports.no_ports_note(view.file))
    plain = [
        PveSerial(index, wish.plain.value, view.where(wish.plain.line))
        for index, wish in sorted(wishes.items())
        if wish.plain is not None
    ]
    return tuple(found), tuple(plain)


def _lifted(wishes: dict[int, _Wish], port: LiftedPort, line: int) -> None:
    """Begin with what ``args:`` has; a line of PVE's own for the same port goes on counting."""
    wish = wishes.setdefault(port.index, _Wish(backend=port.backend, line=line))
    if port.kind:
        wish.own["type"] = port.kind
    if port.hotplug:
        wish.own["hotplug"] = "on"
    wish.own_line = line


def _index(digits: str, where: SourceRef) -> int:
    if len(digits) > 4 or int(digits) > ports.MAX_INDEX:
        raise ConfigError(
            f"serial{digits if len(digits) <= 12 else digits[:12] + '…'} is past "
            f"serial{ports.MAX_INDEX}, the last port that can be planned",
            hint=f"number the ports from 0 to {ports.MAX_INDEX}",
            where=str(where),
        )
    return int(digits)


def _tell_plain(view: View, index: int, setting: Setting, wish: _Wish) -> None:
    """Warn where a plain line does not live long, or does not start, in PVE's hands."""
    if index >= PVE_SERIAL_PORTS:
        view.note(
            "warning",
            setting.line,
            f"serial{index}: PVE knows serial0 to serial3 and drops this line at its next write",
            f"write '#vmserial serial{index}: {wish.backend or 'socket'}'; PVE keeps it",
        )
    elif setting.value != "socket" and not re.match(r"/dev/[^,]+\Z", setting.value):
        view.note(
            "warning",
            setting.line,
            f"serial{index}: PVE takes {setting.value!r} for the path of a device and does not "
            "start the VM",
            f"keep 'serial{index}: socket' and write '#vmserial serial{index}: {setting.value}'",
        )


def _merge(view: View, wish: _Wish, text: str, line: int, name: str) -> None:
    """Split a value into the backend's part and our own keys."""
    backend: list[str] = []
    given: set[str] = set()
    for part in (found.strip(" \t") for found in _PART.findall(text)):
        key, equals, value = part.partition("=")
        if equals and key in _OWN:
            if key in given:
                raise ConfigError(
                    f"{name}: {key} is given twice",
                    hint="keep one of them",
                    where=str(view.where(line)),
                )
            given.add(key)
            wish.own[key] = value
            wish.own_line = line
        else:
            backend.append(part)
    if not backend:
        return
    if wish.backend and backend[0].startswith(_LOG):
        # Only the log is added; the backend stays.
        wish.backend = ",".join([wish.backend, *backend])
    else:
        wish.backend = ",".join(backend)
        wish.line = line


def _directive(view: View, wishes: dict[int, _Wish], text: str, remark: Remark) -> None:
    """Read a description line if it is a directive."""
    found = _DIRECTIVE.match(text)
    if found is None:
        _tell_misspelt(view, text, remark)
        return
    where = view.where(remark.line)
    body = found.group(1)
    port = _PORT.match(body)
    if port is None:
        if re.match(r"serial[0-9]|ser\w*[ \t]*[:=]", body):
            raise ConfigError(
                f"{body[:60]!a} is not a directive of vmserial", hint=_EXAMPLE,
                where=str(where),
            )  # fmt: skip
        view.note(
            "warning",
            remark.line,
            "a description line begins with 'vmserial' but is no directive",
            f"to ask for a port, {_EXAMPLE}",
        )
        return
    index = _index(port.group(1), where)
    name, value = f"serial{index}", port.group(2).strip(" \t\r")
    view.printable(value, f"#vmserial {name}", remark.line)
    wish = wishes.setdefault(index, _Wish())
    if wish.directive:
        raise ConfigError(
            f"there is a second directive for {name}",
            hint=f"join it with that of line {wish.directive}",
            where=str(where),
        )
    wish.directive = remark.line
    if not value:
        raise ConfigError(f"the directive for {name} says nothing", hint=_EXAMPLE, where=str(where))
    before = wish.backend
    _merge(view, wish, value, remark.line, name)
    if wish.plain is not None and wish.line == remark.line and before != wish.backend:
        view.note(
            "replaced",
            remark.line,
            f"{name} is {before!r} for PVE and {wish.backend!r} here, as the directive says",
        )


def _tell_misspelt(view: View, text: str, remark: Remark) -> None:
    found = _LIKE_ONE.match(text)
    if found is None:
        return
    import difflib  # only the way to an error needs it

    if difflib.get_close_matches(found.group(1).lower(), ["vmserial"], 1, 0.7):
        view.note(
            "warning",
            remark.line,
            f"{found.group(1)!r} before a port is not 'vmserial': the line is only a description",
            "if it is meant as a directive, correct its first word",
        )


def _port(view: View, index: int, wish: _Wish) -> SerialPort:
    name = f"serial{index}"
    own_where = view.where(wish.own_line or wish.line)
    if not wish.backend or wish.backend.startswith(_LOG):
        raise ConfigError(
            f"{name} has no backend: no line '{name}: socket' is there to add to",
            hint=f"name one in the directive: '#vmserial {name}: socket,…'",
            where=str(own_where),
        )
    where = view.where(wish.line)
    chardev = chardevs.parse(
        wish.backend, where, socket_path=f"/var/run/qemu-server/{view.vmid}.{name}"
    )
    own = wish.own
    kind = ports.kind_name(own.get("type", "auto"), str(own_where))
    state = own.get("state", "plugged")
    if state not in ports.STATES:
        raise ConfigError(
            f"{name}: state={state} is none of {', '.join(ports.STATES)}",
            hint="leave it out for a port that is there from the start",
            where=str(own_where),
        )
    hotplug = own.get("hotplug", "off")
    if hotplug.lower() not in ON | OFF:
        raise ConfigError(
            f"{name}: hotplug={hotplug} is neither on nor off",
            hint="write hotplug=on",
            where=str(own_where),
        )
    return SerialPort(
        index,
        chardev,
        kind=kind,
        hotplug=hotplug.lower() in ON,
        state=cast(PortState, state),
        where=where,
    )
