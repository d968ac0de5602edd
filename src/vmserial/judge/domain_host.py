"""What is wrong with the host's end of a domain's ports, with their names and places.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vmserial.context import RepairPolicy
from vmserial.context.sockets import shorter
from vmserial.limits import SUN_PATH_MAX
from vmserial.model import Finding, Severity
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.view import Domain


@dataclass
class Need:
    """What one port needs.

    Attributes:
        kind: another device: ``any``, ``usb``, ``sclplm``, ``virtio``; empty: it keeps its own.
        id: of the finding that it answers.
        drop_address: its address is somebody else's.
        drop_alias: its alias is somebody else's.
        path: another socket path.
        log: a log file.
        number: another number of its ISA port.
        name: another name of its virtio port.
        texts: what to tell of the smaller changes: pairs of finding id and text.
    """

    kind: str = ""
    id: str = ""
    drop_address: bool = False
    drop_alias: bool = False
    path: str = ""
    log: str = ""
    number: int | None = None
    name: str = ""
    texts: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Judged:
    """All that is wrong, and what answers it.

    Attributes:
        found: each with the ports; those whose place is in ``open`` have no answer.
        needs: by port.
        plug: ``-global usb-serial.always-plugged=on`` is missing.
        open: places of the findings that nothing answers.
    """

    found: list[Finding] = field(default_factory=list)
    needs: dict[CharDevice, Need] = field(default_factory=dict)
    plug: bool = False
    open: set[int] = field(default_factory=set)

    def need(self, port: CharDevice) -> Need:
        """Return the needs of a port, to be added to."""
        return self.needs.setdefault(port, Need())


class HostRules:
    """Judges what all machines have in common.

    Attributes:
        domain: the domain.
        policy: what its owner prefers.
        ports: all devices with a host's end that are ports or channels.
        found: what was found so far.
    """

    def __init__(self, domain: Domain, policy: RepairPolicy) -> None:
        self.domain, self.policy = domain, policy
        self.ports = (*domain.serials, *domain.consoles, *domain.channels)
        self.found = Judged()

    def note_finding(
        self, id: str, severity: Severity, happens: str, *ports: CharDevice,
        answered: bool = True, fix: str = "",
    ) -> None:  # fmt: skip
        """Note what is wrong."""
        if not answered:
            self.found.open.add(len(self.found.found))
        where = ports[-1].where if ports else self.domain.root.where
        names = tuple(port.name for port in ports)
        self.found.found.append(Finding(id, severity, happens, fix=fix, ports=names, where=where))

    # -------------------------------------------------------------- the host's end

    def sources(self) -> None:
        """Sources without what they need."""
        for port in self.ports:
            lacks = ""
            if (port.type in {"file", "pipe", "dev"} and not port.path) or (
                port.type == "unix" and not port.path and port.tag != "channel"
            ):
                lacks = "path"
            elif port.type in {"tcp", "udp"} and not port.service:
                lacks = "service"
            elif port.type == "tcp" and port.mode == "connect" and not port.host:
                lacks = "host"
            if lacks:
                self.note_finding(
                    "chardev-incomplete", Severity.FAILS,
                    f"{port.name}: libvirt refuses the domain: the {port.type} source has no "
                    f"{lacks}", port, answered=False,
                    fix=f"write <source {lacks}='…'/> into the <{port.element.name}> of line "
                    f"{port.where.line}",
                )  # fmt: skip

    def sockets(self) -> None:
        """Paths that are too long, and two servers of one place."""
        paths = {port.path for port in self.ports if port.path}
        seen: dict[str, CharDevice] = {}
        for port in self.ports:
            path = port.path
            if port.type == "unix" and len(path.encode("utf-8", "surrogateescape")) > SUN_PATH_MAX:
                stem = f"{_file_name(self.domain.name)[:20]}-{port.name}"
                path = shorter(port.path, stem) if port.binds else ""
                if path:
                    self.repath(port, path, "socket-path-too-long")
                self.note_finding(
                    "socket-path-too-long", Severity.FAILS,
                    f"{port.name}: UNIX socket path '{port.path}' is too long; Path must be less "
                    "than 108 bytes", port, answered=bool(path),
                )  # fmt: skip
            if not port.binds or (port.type == "unix" and not path):
                continue
            place = path if port.type == "unix" else f"{port.host}:{port.service}"
            first = seen.setdefault(place, port)
            if first is port:
                continue
            if port.type == "unix":
                new = _fresh(path, port, paths)
                paths.add(new)
                self.repath(port, new, "port-clash")
                happens = "the second takes the path away, and the first is never reached"
            else:
                happens = "QEMU does not start: Address already in use"
            self.note_finding(
                "port-clash" if port.type == "unix" else "address-in-use",
                Severity.DEAD if port.type == "unix" else Severity.FAILS,
                f"{place} is the socket of {first.name} and of {port.name}: {happens}",
                first, port, answered=port.type == "unix",
                fix="" if port.type == "unix" else f"give {port.name} another service",
            )  # fmt: skip

    def repath(self, port: CharDevice, path: str, id: str) -> None:
        """Give a port another socket."""
        need = self.found.need(port)
        need.path = path
        need.texts.append((id, f"{port.name}: its socket is {path}"))

    # -------------------------------------------------------------- names and places

    def aliases(self) -> None:
        """Two ports of one alias; libvirt keeps those of users, which begin with ``ua-``."""
        seen: dict[str, CharDevice] = {}
        for port in self.ports:
            if not port.alias.startswith("ua-"):
                continue
            first = seen.setdefault(port.alias, port)
            if first is not port:
                need = self.found.need(port)
                need.drop_alias = True
                need.texts.append(("id-taken", f"{port.name}: without the alias {port.alias}"))
                self.note_finding("id-taken", Severity.FAILS,
                          f"{port.name}: libvirt refuses the domain: non unique alias detected: "
                          f"{port.alias}, which {first.name} has", first, port)  # fmt: skip

    def addresses(self) -> None:
        """A port on an address that another device has."""
        mine = {id(port.element) for port in self.ports}
        taken: dict[tuple[str, ...], str] = {}
        for element in self.domain.devices.children if self.domain.devices else ():
            place = place_of(element.child("address"))
            if place and id(element) not in mine:
                taken[place] = f"the <{element.name}> of line {element.where.line}"
        for port in self.ports:
            place = place_of(port.element.child("address"))
            if not place:
                continue
            if place not in taken:
                taken[place] = port.name
                continue
            id_ = _TAKEN[place[0]]
            need = self.found.need(port)
            need.drop_address = True
            need.texts.append((id_, f"{port.name}: libvirt chooses its address"))
            happens = (
                f"{port.name}: its address ({' '.join(place)}) is that of {taken[place]}: libvirt "
                "refuses the domain, or QEMU does not start"
            )
            if place[0] == "usb":
                self.note_finding("usb-port-taken", Severity.FAILS, happens, port)
            elif place[0] == "virtio-serial":
                self.note_finding("virtio-port-taken", Severity.FAILS, happens, port)
            else:
                self.note_finding("pci-slot-taken", Severity.FAILS, happens, port)

    # -------------------------------------------------------------- what must be known

    def notes(self) -> None:
        """Logs through virtlogd, and output that is lost."""
        logged = [p for p in self.ports if p.log_file]
        if logged:
            self.note_finding(
                "virtlogd-freeze", Severity.NOTE,
                "<log> goes through virtlogd: when it is stopped, the VM freezes after 64 KiB "
                "of one port's output (unless qemu.conf says stdio_handler = \"file\")", *logged,
            )  # fmt: skip
        lost = [
            p for p in (*self.domain.serials, *self.domain.consoles)
            if p.type in {"pty", "unix", "tcp"} and not p.log_file and p.tag != "channel"
        ]  # fmt: skip
        if not lost:
            return
        logs = self.policy.logs.rstrip("/")
        for port in lost if self.policy.logs else ():
            need = self.found.need(port)
            need.log = f"{logs}/{_file_name(self.domain.name)}-{port.name}.log"
            need.texts.append(
                ("output-lost-while-detached",
                 f"{port.name}: what the guest says is kept in {need.log}")
            )  # fmt: skip
        self.note_finding(
            "output-lost-while-detached", Severity.NOTE,
            "what the guest says while nobody is attached is lost: no <log> in these ports", *lost,
            fix="add <log file='/var/log/libvirt/qemu/serial0.log' append='on'/>; `vmserial fix "
            "--logs DIR` does it",
        )  # fmt: skip


_TAKEN = {"usb": "usb-port-taken", "virtio-serial": "virtio-port-taken", "pci": "pci-slot-taken"}


def place_of(address: Element | None) -> tuple[str, ...] | None:
    """Return what must be there once of an address."""
    if address is None:
        return None
    match address.get("type"):
        case "usb" if address.get("port"):
            return ("usb", f"bus {address.get('bus', '0')}", f"port {address.get('port')}")
        case "virtio-serial" if whole(address.get("port"), 0):  # 0: libvirt takes the next
            return ("virtio-serial", f"controller {address.get('controller', '0')}",
                    f"port {address.get('port')}")  # fmt: skip
        case "pci" if "slot" in address.attributes:
            keys = ("domain", "bus", "slot", "function")
            return ("pci", *(f"{k} {whole(address.get(k, '0'), 0):#x}" for k in keys))
    return None


def _fresh(path: str, port: CharDevice, paths: set[str]) -> str:
    """Return a path like this one that nothing has."""
    found, number = f"{path}.{port.name}", 2
    while found in paths:
        found, number = f"{path}.{port.name}.{number}", number + 1
    return found


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)
