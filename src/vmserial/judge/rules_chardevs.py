"""What is wrong with the host sides: ids, paths, who uses them, what is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from vmserial.judge.base import Flaw, Retouch, fresh
from vmserial.judge.context import Scene
from vmserial.judge.ports import Port
from vmserial.judge.sockets import shorter
from vmserial.limits import SUN_PATH_MAX
from vmserial.model import Severity
from vmserial.options import Option
from vmserial.sources.command import ON, ChardevEntry, CommandOption, HostSide, PortOption
from vmserial.sources.command.edits import Edit, InsertAfter, InsertBefore, ReplaceValue, SetKey

_LOSING = frozenset({"socket", "pty"})
"""Backends that take nothing while nobody is attached."""


class HostSides:
    """Judges the chardevs of one command line; gives each port one of its own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        view = scene.view
        self.ids = {entry.id for entry in view.chardevs}
        self.paths = {entry.params["path"] for entry in view.chardevs if entry.params.get("path")}
        used = {use.chardev_id for use in view.uses()}
        self.unused = [
            entry for entry in view.chardevs
            if entry.id and entry.id not in used and scene.chardevs[entry.id] is entry
        ]  # fmt: skip
        self.labels = dict(_labels(scene))
        self.ids |= self.labels.keys()
        self.adopted: set[str] = set()
        """Chardevs that no device had used, and that a port gets now."""
        self.owner: dict[str, Port] = {}
        """The port that has a chardev, where several name it: the first."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield what is wrong."""
        for flaws in (self.twice_named(), self.labelled(), self.uses(), self.sockets(),
                      self.stdio()):  # fmt: skip
            for flaw in flaws:
                yield replace(flaw, remedies=()) if self.scene.wishes.cautious else flaw
        yield from self.losses()

    # -------------------------------------------------------------- ids and uses

    def twice_named(self) -> Iterator[Flaw]:
        """Two chardevs of one id."""
        self.spare: list[ChardevEntry] = []
        for entry in self.scene.view.chardevs:
            first = self.scene.chardevs[entry.id]
            if first is entry or not entry.id:
                continue
            # Not the name of a port: nobody asked for one more.
            new = fresh(entry.id, self.ids)
            self.ids.add(new)
            self.spare.append(ChardevEntry(new, entry.backend, entry.params, entry.option))
            yield Flaw(
                "id-taken", Severity.FAILS, (self.name_of(entry.id),),
                f"{entry.option}: Duplicate ID '{entry.id}' for chardev", entry.option.where,
                (Retouch((SetKey(entry.option, "id", new),),
                         f"the second chardev {entry.id} becomes {new}"),),
            )  # fmt: skip

    def labelled(self) -> Iterator[Flaw]:
        """Chardevs that are called as QEMU calls the one of a ``-serial`` without a chardev."""
        for id, port in self.labels.items():
            entry = self.scene.chardevs.get(id)
            if entry is None:
                continue
            if port is None:
                option, remedy = (
                    entry.option,
                    Retouch(
                        (InsertAfter(None, (Option("-serial", raw="none"),)),),
                        "-serial none: QEMU's own default port had this id",
                    ),
                )
            elif self.for_nothing(port):
                option = port.option
                remedy = Retouch(
                    (ReplaceValue(option, "none"),), f"{option} became -serial none: no UART has it"
                )
            else:
                option = port.option
                new = self.fresh_id(id)
                remedy = Retouch(
                    (InsertBefore(option, as_chardev(new, port.host)),
                     ReplaceValue(option, f"chardev:{new}")),
                    f"{option} got the chardev {new}",
                )  # fmt: skip
            yield Flaw(
                "id-taken", Severity.FAILS, (self.name_of(id),),
                f"{option}: Duplicate ID '{id}' for chardev: a -serial that names no chardev makes "
                f"one of this id", option.where, (remedy,),
            )  # fmt: skip

    def for_nothing(self, port: PortOption) -> bool:
        """Tell whether a ``-serial`` is only there to be counted: past the UARTs, and null."""
        past = self.scene.platform is not None and port.index >= self.scene.uarts
        return past and port.host.backend == "null" and not port.host.mux_monitor

    def uses(self) -> Iterator[Flaw]:
        """Ports without a chardev, with one that is not there, or with another port's."""
        for port in self.scene.ports:
            if port.device is None and port.onboard is None:
                continue
            if port.onboard is not None and port.onboard.host.form != "chardev":
                continue
            entry = self.scene.chardevs.get(port.chardev_id)
            if not port.chardev_id and port.device is not None:
                yield self.without(port)
            elif entry is None and port.chardev_id in self.labels:
                yield self.shared(port, None)
            elif entry is None:
                yield self.missing(port)
            elif port.chardev_id in self.owner and not entry.mux:
                yield self.shared(port, entry)
            else:
                self.owner.setdefault(port.chardev_id, port)

    def without(self, port: Port) -> Flaw:
        """A device without a chardev."""
        assert port.device is not None
        fails = port.driver == "usb-serial"
        return Flaw(
            "chardev-required", Severity.FAILS if fails else Severity.DEAD, (port.name,),
            f"{port.subject}: Property chardev is required" if fails else
            f"{port.subject}: QEMU starts, and nothing on the host reaches this port",
            port.option.where, (self.given(port, "got the chardev {new}"),),
        )  # fmt: skip

    def missing(self, port: Port) -> Flaw:
        """A chardev that is not there."""
        what = port.chardev_id
        happens = (
            f"{port.subject}: could not connect serial device to character backend '{what}'"
            if port.onboard is not None
            else f"{port.subject}: Property '{_qom(port.driver)}.chardev' can't find value '{what}'"
        )
        if port.onboard is None and re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", what):
            remedy = Retouch(
                (InsertBefore(port.option, (self.new_chardev(what),)),),
                f"{port.name}: the chardev {what} was added",
            )
            self.ids.add(what)
            self.owner[what] = port
            return Flaw("chardev-missing", Severity.FAILS, (port.name,), happens,
                        port.option.where, (remedy,))  # fmt: skip
        return Flaw("chardev-missing", Severity.FAILS, (port.name,), happens, port.option.where,
                    (self.given(port, "got the chardev {new}"),))  # fmt: skip

    def shared(self, port: Port, entry: ChardevEntry | None) -> Flaw:
        """A chardev that another port has; None for that of a ``-serial`` without one."""
        id = port.chardev_id
        if self.scene.capabilities.version >= (10, 0, 0):
            error = f"chardev '{id}' is already in use"
        else:
            error = (
                f"Property '{_qom(port.driver)}.chardev' can't take value '{id}': "
                f"Device '{id}' is in use"
            )
        return Flaw(
            "chardev-in-use", Severity.FAILS,
            (self.owner[id].name, port.name) if id in self.owner else (port.name,),
            f"{port.subject}: {error}", port.option.where,
            (self.given(port, "got the chardev {new} of its own", entry),),
        )  # fmt: skip

    def given(self, port: Port, text: str, like: ChardevEntry | None = None) -> Retouch:
        """Return how a port gets a chardev: one that nobody uses, else a new one."""
        edits: list[Edit] = []
        named = [e for e in self.unused if e.id in {port.name, f"char{port.name}"}]
        if self.spare:
            new = self.spare.pop(0).id
        elif named or self.unused:
            entry = named[0] if named else self.unused[0]
            self.unused.remove(entry)
            self.adopted.add(entry.id)
            new = entry.id
        else:
            new = self.fresh_id(port.chardev_id or port.name, port.number)
            edits.append(InsertBefore(port.option, (self.new_chardev(new, like),)))
        if port.device is not None:
            edits.append(SetKey(port.option, port.device.key, new))
        else:
            edits.append(ReplaceValue(port.option, f"chardev:{new}"))
        return Retouch(tuple(edits), f"{port.name} {text.format(new=new)}")

    def new_chardev(self, id: str, like: ChardevEntry | None = None) -> Option:
        """Return a chardev for a port: as another port's where that can be, else a pty."""
        like = like or next(
            (e for e in self.scene.view.chardevs if e.id in self.owner and e.params.get("path")),
            None,
        )
        if like is not None and like.backend == "socket" and like.params.get("path"):
            path = self.fresh_path(like.params["path"], like.id, id)
            server = like.params.get("server", "") in ON
            params: tuple[tuple[str, str], ...] = (("id", id), ("path", path))
            if server:
                params += (("server", "on"), ("wait", "off"))
                return Option("-chardev", "socket", params, role="chardev")
        return Option("-chardev", "pty", (("id", id),), role="chardev")

    def name_of(self, chardev_id: str) -> str:
        """Return the name of the port that has a chardev; else the chardev's id."""
        return next((p.name for p in self.scene.ports if p.chardev_id == chardev_id), chardev_id)

    def fresh_id(self, id: str, number: int = -1) -> str:
        """Return an id like this one that nothing has, with this number if it can be."""
        stem = re.sub(r"[0-9]+\Z", "", id) or "serial"
        numbers = {port.number for port in self.scene.ports} - {number}
        wanted = [number] if number >= 0 else []
        found = next(
            f"{stem}{number}" for number in (*wanted, *range(2000))
            if f"{stem}{number}" not in self.ids and number not in numbers
        )  # fmt: skip
        self.ids.add(found)
        return found

    def fresh_path(self, path: str, old: str, new: str) -> str:
        """Return a path like this one that nothing has."""
        candidate = path.replace(old, new) if old and old in path else f"{path}.{new}"
        number = 2
        stem = candidate
        while candidate in self.paths:
            candidate = f"{stem}.{number}"
            number += 1
        self.paths.add(candidate)
        return candidate

    # -------------------------------------------------------------- sockets

    def sockets(self) -> Iterator[Flaw]:
        """Paths that are too long or taken, and servers that keep QEMU waiting."""
        seen: dict[str, tuple[CommandOption, str]] = {}
        for option, id, backend, params in self.all_sides():
            if backend != "socket" or not params.get("path"):
                continue
            path, server = params["path"], params.get("server", "") in ON
            abstract = params.get("abstract", "") in ON
            name = self.name_of(id) if id else ""
            names = (name,) if id else ()
            own = option.name == "chardev"
            if len(path.encode("utf-8", "surrogateescape")) > SUN_PATH_MAX:
                remedies: tuple[Retouch, ...] = ()
                if server and own and (short := shorter(path, id)):
                    remedies = (Retouch((SetKey(option, "path", short),),
                                        f"{name}: its socket is {short}"),)  # fmt: skip
                yield Flaw(
                    "socket-path-too-long", Severity.FAILS, names,
                    f"{option}: UNIX socket path '{path}' is too long; "
                    "Path must be less than 108 bytes", option.where, remedies,
                )  # fmt: skip
            if not server:
                continue
            place = f"@{path}" if abstract else path
            before, first = seen.setdefault(place, (option, id or str(option)))
            if before is not option and own:
                new = self.fresh_path(path, first, id)
                yield Flaw(
                    "port-clash", Severity.DEAD, (self.name_of(first), *names),
                    f"{path} is the socket of {first} and of {id}: QEMU starts, the second takes "
                    "the path away, and the first is never reached",
                    option.where,
                    (Retouch((SetKey(option, "path", new),),
                             f"{name}: its socket is {new}"),),
                )  # fmt: skip
            if own and params.get("wait", "on") in ON and id in self.owner:
                said = "wait" in params
                yield Flaw(
                    "chardev-waits", Severity.NOTE if said else Severity.FAILS, names,
                    f"{option}: QEMU waiting for connection: the VM does not run, and no monitor "
                    f"answers, until a client connects to {path}", option.where,
                    () if said else (Retouch((SetKey(option, "wait", False),),
                                             f"{name}: wait=off"),),
                )  # fmt: skip

    def all_sides(self) -> Iterator[tuple[CommandOption, str, str, dict[str, str]]]:
        """Yield option, chardev id, backend and keys of all that reaches the host."""
        for entry in self.scene.view.chardevs:
            yield entry.option, entry.id, entry.backend, dict(entry.params)
        for port in self.scene.view.ports:
            if port.host.form == "inline":
                yield port.option, "", port.host.backend, port.host.params

    # -------------------------------------------------------------- stdio, losses

    def stdio(self) -> Iterator[Flaw]:
        """Two that want QEMU's own input and output."""
        first: CommandOption | None = None
        for option, id, backend, _ in self.all_sides():
            if backend != "stdio":
                continue
            if first is None:
                first = option
                continue
            remedies: tuple[Retouch, ...] = ()
            if option.name == "chardev" and id in self.owner:
                remedies = (Retouch((ReplaceValue(option, f"pty,id={id}"),),
                                    f"{self.name_of(id)}: a pty instead of stdio"),)  # fmt: skip
            yield Flaw(
                "stdio-twice", Severity.FAILS, (self.name_of(id),) if id else (),
                f"{option}: cannot use stdio by multiple character devices ({first} has it)",
                option.where, remedies,
            )  # fmt: skip

    def losses(self) -> Iterator[Flaw]:
        """Backends that take nothing while nobody is attached, and keep no log."""
        found: list[tuple[Port, ChardevEntry]] = []
        for port in self.scene.ports:
            entry = self.scene.chardevs.get(port.chardev_id)
            if entry is None or port.channel or entry.params.get("logfile"):
                continue
            if entry.backend in _LOSING and self.owner.get(entry.id) is port:
                found.append((port, entry))
        if not found:
            return
        logs = self.scene.wishes.logs.rstrip("/")
        remedies = tuple(
            Retouch(
                (SetKey(entry.option, "logfile", f"{logs}/{port.name}.log"),
                 SetKey(entry.option, "logappend", True)),
                f"{port.name}: what the guest says is kept in {logs}/{port.name}.log",
            )
            for port, entry in found
        )  # fmt: skip
        yield Flaw(
            "output-lost-while-detached", Severity.NOTE, tuple(port.name for port, _ in found),
            "what the guest says while nobody is attached is lost: no chardev here has a logfile",
            found[0][1].option.where, remedies if self.scene.wishes.logs else (),
            fix="add logfile=/var/log/vm/serialN.log to the chardev; `vmserial fix --logs DIR` "
            "does it",
        )  # fmt: skip


def _labels(scene: Scene) -> Iterator[tuple[str, PortOption | None]]:
    """Yield the ids of chardevs that QEMU makes itself: of -serial and of its default port."""
    for port in scene.view.onboard:
        if port.host.form == "inline":
            yield f"serial{port.index}", port
    if scene.view.default_serial is not None:
        yield "serial0", None


def as_chardev(id: str, host: HostSide) -> tuple[Option, ...]:
    """Return a ``-serial``'s own backend as a chardev, with its monitor where it has one."""
    params: list[tuple[str, str | bool]] = [("id", id), *host.params.items()]
    if host.mux_monitor:
        params.append(("mux", True))
    made = [Option("-chardev", host.backend, tuple(params), role="chardev")]
    if host.mux_monitor:
        made.append(Option("-mon", "", (("chardev", id), ("mode", "readline")), role="monitor"))
    return tuple(made)


def _qom(driver: str) -> str:
    """Return what QEMU calls a device in its messages about properties."""
    return {"isa-serial": "serial", "pci-serial": "serial", "pci-serial-2x": "serial",
            "pci-serial-4x": "serial"}.get(driver, driver)  # fmt: skip
