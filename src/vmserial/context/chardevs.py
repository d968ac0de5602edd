"""The host sides of a command line: ids, paths, who uses which, and what a port can get.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vmserial.context.claims import refusals
from vmserial.context.labels import OwnChardev, own_chardevs
from vmserial.context.listeners import Socket, TcpServer, families, others
from vmserial.context.ports import Port, bare_chardev
from vmserial.context.repairs import EditOptions, fresh
from vmserial.lazy import once
from vmserial.options import Option
from vmserial.records import record
from vmserial.sources.command import ChardevEntry, CommandOption, HostSide, PortOption
from vmserial.sources.command.edits import Edit, InsertBefore, ReplaceValue, SetKey
from vmserial.values import is_on

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext

_LOSING = frozenset({"socket", "pty"})
"""Backends that take nothing while nobody is attached."""


@record(frozen=True)
class Label:
    """A chardev that is called as QEMU calls one of its own.

    Attributes:
        own: QEMU's own.
        entry: the chardev.
        new: an id that the option's chardev can have; empty: it needs none, as it is only
            there to be counted (past the UARTs, and null).
    """

    own: OwnChardev
    entry: ChardevEntry
    new: str = ""


@record(frozen=True)
class Use:
    """A port whose chardev is not named, not there, or another port's.

    Attributes:
        kind: which of them, by the rule's id.
        port: the port.
        owner: the port that has the chardev; None: QEMU's own, no port, or nobody.
        new: the id of the chardev that the port can have.
        made: the option of that chardev; None: it is there, and nobody uses it.
        shares: the chardev, where a monitor has it and the port can have it, too.
    """

    kind: Literal["chardev-required", "chardev-missing", "chardev-in-use", "mux-full"]
    port: Port
    owner: Port | None
    new: str
    made: Option | None
    shares: ChardevEntry | None = None

    def given(self, text: str) -> EditOptions:
        """Return how the port gets its chardev.

        Args:
            text: what is said of it, with ``{name}`` and ``{new}``.
        """
        if self.shares is not None:
            both = f"{self.port.name} and the monitor share {self.shares.id}: mux=on"
            return EditOptions((SetKey(self.shares.option, "mux", True),), both)
        port, edits = self.port, list[Edit]()
        if self.made is not None:
            edits.append(InsertBefore(port.option, (self.made,)))
        if port.device is None:
            edits.append(ReplaceValue(port.option, f"chardev:{self.new}"))
        elif self.new != port.chardev_id:
            edits.append(SetKey(port.option, port.device.key, self.new))
        return EditOptions(tuple(edits), text.format(name=port.name, new=self.new))


class HostSides:
    """The host sides of one command line; each port that has none can have one of its own.

    Attributes:
        duplicates: chardevs whose id an earlier one has, each with an id that is free.
        labels: chardevs that are called as QEMU calls its own.
        uses: ports without a chardev of their own.
        refused: who is no port and does not get its chardev.
        sockets: the unix sockets.
        stdio: options that want QEMU's own input and output, with their chardevs' ids.
        default_stdio: what -nographic puts there beside them: ``serial``, ``monitor``.
        tcp: the TCP ports that QEMU listens on, of two that overlap the later one's rival.
        owner: the port that has a chardev, where several name it: the first.
        adopted: chardevs that no device had used, and that a port can have.
    """

    def __init__(self, ctx: RuleContext) -> None:
        self._ctx = ctx
        view = ctx.view
        self._ids = {entry.id for entry in view.chardevs}
        used = view.used
        self._unused = [
            entry for entry in view.chardevs
            if entry.id not in used and entry.id and ctx.chardevs[entry.id] is entry
        ]  # fmt: skip
        self._own = {own.id: own for own in own_chardevs(ctx)}
        refused = refusals(ctx)
        self._refused = {(id(each.claim.option), each.claim.key): each for each in refused}
        self._ids |= self._own.keys()
        self.adopted: set[str] = set()
        self.owner: dict[str, Port] = {}
        self.duplicates = list(self._duplicates())
        # Not the name of a port: nobody asked for one more.
        self._spare = [new for _, new in self.duplicates]
        self.labels = list(self._labelled())
        self.uses = [use for port in ctx.ports if (use := self._use(port)) is not None]
        ports = {id(port.option) for port in ctx.ports}
        self.refused = [each for each in refused if id(each.claim.option) not in ports]
        self.sockets = list(self._sockets())
        self.tcp = list(self._tcp())
        self.default_stdio = _default_stdio(ctx)
        self.stdio = [
            (option, id) for option, id, backend, _ in ctx.view.host_ends() if backend == "stdio"
        ]

    @once
    def _paths(self) -> set[str]:
        """The paths that are taken."""
        chardevs = self._ctx.view.chardevs
        return {entry.params["path"] for entry in chardevs if entry.params.get("path")}

    # -------------------------------------------------------------- ids and uses

    def _duplicates(self) -> Iterator[tuple[ChardevEntry, str]]:
        for entry in self._ctx.view.chardevs:
            if entry.id and self._ctx.chardevs[entry.id] is not entry:
                new = fresh(entry.id, self._ids)
                self._ids.add(new)
                yield entry, new

    def _labelled(self) -> Iterator[Label]:
        for id, own in self._own.items():
            entry = self._ctx.chardevs.get(id)
            if entry is None:
                continue
            needs = own.port is not None and not self._for_nothing(own.port)
            yield Label(own, entry, self._fresh_id(id) if needs else "")

    def _for_nothing(self, port: PortOption) -> bool:
        """Tell whether a ``-serial`` is only there to be counted: past the UARTs, and null."""
        if port.kind != "serial":
            return False
        past = self._ctx.platform is not None and port.index >= self._ctx.uarts_wired
        return past and port.host.backend == "null" and not port.host.mux_monitor

    def _use(self, port: Port) -> Use | None:
        """Return what is wrong with a port's chardev; None: it has its own."""
        if port.device is None and port.onboard is None:
            return None
        if port.onboard is not None and port.onboard.host.form != "chardev":
            return None
        if bare_chardev(port) is not None:
            # Nobody can know which one was meant.
            return None
        id = port.chardev_id
        entry = self._ctx.chardevs.get(id)
        if not id and port.device is not None:
            if any(key.startswith("chardev") for key in port.device.device.params):
                # Misspelt: rule property-unknown.
                return None
            return Use("chardev-required", port, None, *self._given(port))
        if entry is None and id not in self._own:
            return self._missing(port)
        if entry is not None and (use := self._taken(port, entry)) is not None:
            return use
        if entry is None or (id in self.owner and not entry.mux):
            return Use("chardev-in-use", port, self.owner.get(id), *self._given(port, entry))
        self.owner.setdefault(id, port)
        return None

    def _taken(self, port: Port, entry: ChardevEntry) -> Use | None:
        """Return what is wrong where no port has the chardev, or too many have it."""
        key = port.device.key if port.device else "chardev"
        refusal = self._refused.get((id(port.option), key))
        if refusal is None:
            return None
        if refusal.by is None:
            return Use("mux-full", port, None, *self._given(port, entry))
        ports = {id(each.option) for each in self._ctx.ports}
        if id(refusal.by.option) in ports:
            return None
        if refusal.alone:
            return Use("chardev-in-use", port, None, entry.id, None, entry)
        return Use("chardev-in-use", port, None, *self._given(port, entry))

    def _missing(self, port: Port) -> Use:
        id = port.chardev_id
        if port.onboard is not None or not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", id):
            return Use("chardev-missing", port, None, *self._given(port))
        made = self._new_chardev(id)
        self._ids.add(id)
        self.owner[id] = port
        return Use("chardev-missing", port, None, id, made)

    def _given(self, port: Port, like: ChardevEntry | None = None) -> tuple[str, Option | None]:
        """Return a chardev for a port: one that nobody uses, else a new one."""
        if self._spare:
            return self._spare.pop(0), None
        named = [e for e in self._unused if e.id in {port.name, f"char{port.name}"}]
        if named or self._unused:
            entry = named[0] if named else self._unused[0]
            self._unused.remove(entry)
            self.adopted.add(entry.id)
            return entry.id, None
        new = self._fresh_id(port.chardev_id or port.name, port.number)
        return new, self._new_chardev(new, like)

    def _new_chardev(self, id: str, like: ChardevEntry | None = None) -> Option:
        """Return a chardev for a port: as another port's where that can be, else a pty."""
        like = like or next(
            (e for e in self._ctx.view.chardevs if e.id in self.owner and e.params.get("path")),
            None,
        )
        if like is not None and like.backend == "socket" and like.params.get("path"):
            path = self._fresh_path(like.params["path"], like.id, id)
            params: tuple[tuple[str, str], ...] = (("id", id), ("path", path))
            if is_on(like.params.get("server")):
                params += (("server", "on"), ("wait", "off"))
                return Option("-chardev", "socket", params, role="chardev")
        return Option("-chardev", "pty", (("id", id),), role="chardev")

    def _fresh_id(self, id: str, number: int = -1) -> str:
        """Return an id like this one that nothing has, with this number if it can be."""
        stem = re.sub(r"[0-9]+\Z", "", id) or "serial"
        numbers = self._ctx.port_numbers
        wanted = [number] if number >= 0 else []
        found = next(
            f"{stem}{each}" for each in (*wanted, *range(2000))
            if f"{stem}{each}" not in self._ids and (each == number or each not in numbers)
        )  # fmt: skip
        self._ids.add(found)
        return found

    def _fresh_path(self, path: str, old: str, new: str) -> str:
        """Return a path like this one that nothing has."""
        candidate = path.replace(old, new) if old and old in path else f"{path}.{new}"
        number = 2
        stem = candidate
        while candidate in self._paths:
            candidate = f"{stem}.{number}"
            number += 1
        self._paths.add(candidate)
        return candidate

    # -------------------------------------------------------------- backends

    def _sockets(self) -> Iterator[Socket]:
        seen: dict[str, tuple[CommandOption, str]] = {}
        for option, id, backend, params in self._ctx.view.host_ends():
            if backend != "socket" or not (path := params.get("path", "")):
                continue
            if not is_on(params.get("server")):
                yield Socket(option, id, path, server=False)
                continue
            abstract = is_on(params.get("abstract"))
            place = f"@{path}" if abstract else path
            before, first = seen.setdefault(place, (option, id or str(option)))
            own = option.name == "chardev"
            twice = before is not option
            waits: Literal["", "said", "unsaid"] = ""
            if own and is_on(params.get("wait"), True) and id in self.owner:
                waits = "said" if "wait" in params else "unsaid"
            new = self._fresh_path(path, first, id or option.name) if twice else ""
            yield Socket(option, id, path, True, first if twice else "", new, waits, abstract)

    def _tcp(self) -> Iterator[TcpServer]:
        """Yield the TCP servers; of two that overlap, the later one knows the earlier one."""
        found: list[TcpServer] = []
        for option, id, backend, params in self._ctx.view.host_ends():
            if backend != "socket":
                continue
            port = params.get("port", "")
            # Without host= a chardev listens nowhere (rule chardev-incomplete).
            lacks = option.name == "chardev" and "host" not in params
            # "to" looks for a free port itself.
            if port in {"", "0"} or lacks or "to" in params:
                continue
            if is_on(params.get("server")):
                host = params.get("host", "")
                found.append(TcpServer(option, id, host, port, families=families(params)))
        # What is no chardev keeps its port: only a serial port's can be another.
        found[:0] = others(self._ctx.view)
        taken = {server.port for server in found}
        # QEMU makes -chardev before -serial; who stands first in the text keeps its port.
        made = sorted(enumerate(found), key=lambda each: (not each[1].fixed, each[1].option.first))
        for place, (number, server) in enumerate(made):
            rival = next((
                other for before, other in made[:place]
                if (other.blocks(server) if before < number else server.blocks(other))
            ), None)  # fmt: skip
            free = ""
            if rival is not None and server.port.isdecimal():
                numbers = range(int(server.port) + 1, 1 << 16)
                free = next((str(n) for n in numbers if str(n) not in taken), "")
                taken.add(free)
            yield replace(server, rival=rival, free=free)

    def losing(self) -> list[tuple[Port, ChardevEntry]]:
        """Return the ports whose backend takes nothing while nobody is attached, and has no log."""
        found: list[tuple[Port, ChardevEntry]] = []
        for port in self._ctx.ports:
            entry = self._ctx.chardevs.get(port.chardev_id)
            if entry is None or port.channel or entry.params.get("logfile"):
                continue
            if entry.backend in _LOSING and self.owner.get(entry.id) is port:
                found.append((port, entry))
        return found


def _default_stdio(ctx: RuleContext) -> tuple[str, ...]:
    serial, monitor = ctx.view.default_serial, ctx.view.default_monitor
    found = []
    if serial is not None and serial.backend == "stdio":
        found += ["serial", "monitor"] if serial.mux_monitor else ["serial"]
    if monitor is not None and monitor.backend == "stdio":
        found.append("monitor")
    return tuple(found)


def as_chardev(id: str, host: HostSide) -> tuple[Option, ...]:
    """Return a ``-serial``'s own backend as a chardev, with its monitor where it has one."""
    params: list[tuple[str, str | bool]] = [("id", id), *host.params.items()]
    if host.mux_monitor:
        params.append(("mux", True))
    made = [Option("-chardev", host.backend, tuple(params), role="chardev")]
    if host.mux_monitor:
        made.append(Option("-mon", "", (("chardev", id), ("mode", "readline")), role="monitor"))
    return tuple(made)


def qom_name(driver: str) -> str:
    """Return what QEMU calls a device in its messages about properties."""
    return "serial" if driver in {"isa-serial", "pci-serial"} else driver


def in_use(version: tuple[int, int, int], id: str, driver: str, key: str) -> str:
    """Return QEMU's words about a chardev that somebody has.

    Args:
        version: QEMU's.
        id: the chardev.
        driver: the device that is refused; empty: it is none.
        key: its key that names the chardev.
    """
    if version >= (10, 0, 0):
        return f"chardev '{id}' is already in use"
    words = f"Device '{id}' is in use"
    return (
        f"Property '{qom_name(driver)}.{key}' can't take value '{id}': {words}" if driver else words
    )
