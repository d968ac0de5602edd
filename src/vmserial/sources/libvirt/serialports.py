"""The ports of a domain as those of a Machine; what is lost or otherwise becomes a note."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count

from vmserial.errors import ConfigError
from vmserial.limits import ISA_SERIAL_PLACES, ISA_SERIAL_PORTS, SUN_PATH_MAX
from vmserial.model import (
    Agent,
    Backend,
    Chardev,
    File,
    HostTty,
    Note,
    Null,
    Pipe,
    Pty,
    SerialPort,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.hostside import TLS_DIRECTORY, tls_object
from vmserial.sources.libvirt.parts import alias
from vmserial.sources.libvirt.ports import isa_numbers
from vmserial.sources.libvirt.view import Domain

AGENT_NAME = "org.qemu.guest_agent.0"

_KINDS = {"usb-serial": "usb", "pci-serial": "pci", "virtio": "virtconsole"}
"""Kinds that somebody chose; libvirt writes the others itself, so they are ``auto``."""

_EXACT = {"isa-serial": "isa", "usb-serial": "usb", "pci-serial": "pci", "virtio": "virtconsole",
          "system-serial": "uart", "spapr-vio-serial": "uart", "sclp-serial": "uart"}  # fmt: skip
"""What the kinds are in a domain that `vmserial convert` wrote: each was chosen."""

_COUNTED = frozenset({"virtio", "sclp", "sclplm"})
"""Targets of channels and consoles that are ports of QEMU's command."""

_SCREENS = frozenset({"spicevmc", "qemu-vdagent"})
"""Host ends that a screen's agent has."""

_OWN = re.compile(r"ua-serial(0|[1-9][0-9]{0,2})\Z")
"""The alias that `vmserial convert` gives a port; it carries the port's number."""

_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def vm_name(name: str) -> str:
    """Return a domain's name as a VM's here."""
    return _NAME.sub("-", name).strip("-.")[:63] or "vm"


def own_socket(vm: str, name: str) -> str:
    """Return where the socket of a channel is that has no path."""
    return f"/run/vmserial/{vm}/{_NAME.sub('-', name)}"


class PortTranslation:
    """Takes the ports of a domain apart.

    Attributes:
        notes: what is lost, or is otherwise.
        left_behind: what the plan has as libvirt has it, and nothing else takes over.
        planned: N of ``serialN`` of each port, by the id of its element.
        agent: the guest agent's channel.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.notes: list[Note] = []
        self.left_behind: list[Note] = []
        self.planned: dict[int, int] = {}
        self.agent: Agent | None = None

    def note(self, element: Element, message: str, hint: str = "", *, kind: str = "") -> None:
        """Note something; what has no part in the command unless another kind is said."""
        self.notes.append(
            Note("replaced" if kind == "replaced" else "untranslated", message, element.where, hint)
        )

    def lose(self, element: Element, message: str, hint: str = "", *, kind: str = "") -> None:
        """Note what the command that libvirt starts has, and no other description of the VM."""
        self.left_behind.append(
            Note("replaced" if kind == "replaced" else "untranslated", message, element.where, hint)
        )

    def ports(self) -> list[SerialPort]:
        """Return serial0…, then the channels and the consoles that are ports, as libvirt does."""
        domain = self.domain
        serials = [port for port in domain.serials if not self.is_debug_console(port)]
        numbers = self.numbers(serials)
        found = [(port.element, self.port(port, numbers[port])) for port in serials]
        taken = {*numbers.values()}
        # As the ports of libvirt's command are counted, whoever they are for.
        named = {port.number for port in serials}
        further = (n for n in count() if n not in named)
        for port in (*domain.channels, *domain.consoles):
            number = next(further) if port.target_type in _COUNTED else 0
            if port.tag == "channel" and port.target_name == AGENT_NAME:
                self.take_agent(port)
            elif port.tag == "channel" and (
                port.target_type != "virtio" or port.type in _SCREENS
                or re.match(r"(?:org|com)\.", port.target_name)
            ):  # fmt: skip
                self.lose(port.element, f"channel {port.target_name or port.target_type or '?'} "
                          "is a program's own, and not planned")  # fmt: skip
                if port.type == "unix" and not port.path:
                    self.own_path(port)
            else:
                while number in taken:
                    number = next(further)
                taken.add(number)
                found.append((port.element, self.port(port, number)))
        for port in domain.parallels:
            self.lose(port.element, "parallel ports are not planned")
        self.name_addresses()
        # Either all numbers are those of the aliases, or none: a mixture could clash.
        if len({port.index for _, port in found}) < len(found):
            found = [
                (element, replace(port, index=n)) for n, (element, port) in enumerate(found)
            ]  # fmt: skip
        self.planned = {id(element): port.index for element, port in found}
        return sorted((port for _, port in found), key=lambda p: p.index)

    def numbers(self, serials: list[CharDevice]) -> dict[CharDevice, int]:
        """Return the number of each serial port: of ISA ports the one that libvirt gives QEMU.

        It is COM1 to COM4 in the guest, whatever their order is in the document.
        """
        if self.domain.arch != "x86_64":
            return {port: number for number, port in enumerate(serials)}
        isa = isa_numbers(self.domain)
        found: dict[CharDevice, int] = {}
        for port in serials:
            mine = self.domain.kind(port) == "isa-serial" and 0 <= isa[port] < ISA_SERIAL_PORTS
            if mine and isa[port] not in found.values():
                found[port] = isa[port]
        free = (n for n in count() if n not in found.values())
        for port in serials:
            if port not in found:
                found[port] = next(free)
            self.name_isa_place(port, found[port])
        return found

    def is_debug_console(self, port: CharDevice) -> bool:
        """Tell whether a port is QEMU's debug console, which is no UART; name it."""
        if self.domain.kind(port) != "isa-debug":
            return False
        at = port.address.element.get("iobase") if port.address else ""
        place = f" at {at}" if at else ""
        self.lose(port.element, f"{port.name}: isa-debugcon{place} is no serial port: it is left "
                  "out", "give it in args: -device isa-debugcon,…")  # fmt: skip
        return True

    def name_isa_place(self, port: CharDevice, number: int) -> None:
        """Name an I/O base or IRQ that is not the one of the port's number."""
        address = port.address
        if address is None or address.type != "isa" or number >= ISA_SERIAL_PORTS:
            return
        base, irq = ISA_SERIAL_PLACES[number]
        if (address.number("iobase", base), address.number("irq", irq)) != (base, irq):
            self.lose(port.element, f"{port.name}: its own iobase and irq are left out: COM"
                      f"{number + 1} is at {base:#x}, IRQ {irq}")  # fmt: skip

    def take_agent(self, port: CharDevice) -> None:
        """Take the guest agent's channel; one without a path gets the place of the ports."""
        path = port.path if port.type == "unix" else ""
        self.agent = Agent("virtio", path or self.own_path(port), port.where)

    def own_path(self, port: CharDevice) -> str:
        """Return where a channel's socket is whose path libvirt would choose; name it."""
        path = own_socket(vm_name(self.domain.name), port.target_name or port.name)
        who = "the agent" if port.target_name == AGENT_NAME else port.name
        self.note(port.element, f"{who}'s socket, which libvirt would choose, is {path}",
                  kind="replaced")  # fmt: skip
        return path

    def name_addresses(self) -> None:
        """Name the places that the plan chooses anew."""
        devices = self.domain.devices
        stated = [
            element for element in (devices.children if devices else ())
            if (address := element.child("address")) is not None
            and address.get("type") in {"pci", "ccw", "spapr-vio", "virtio-serial"}
            and element.name in {"serial", "console", "channel", "controller"}
        ]  # fmt: skip
        if stated:
            names = ", ".join(dict.fromkeys(f"<{element.name}>" for element in stated))
            self.lose(stated[0], f"{len(stated)} stated addresses ({names}) are chosen anew: the "
                      "guest finds these devices at other places", kind="replaced")  # fmt: skip

    def port(self, port: CharDevice, number: int) -> SerialPort:
        """Return one port."""
        alias = port.alias
        own = _OWN.match(alias) if alias else None
        if own is not None:
            number = int(own[1])
            kind = "virtio" if port.tag == "channel" else _EXACT.get(self.domain.kind(port), "auto")
            return SerialPort(number, self.chardev(port, number), kind=kind, where=port.where)
        kind = _KINDS.get(self.domain.kind(port), "auto")
        if port.tag == "channel":
            kind = "virtio"
            name = port.target_name or "without a name"
            self.note(port.element, f"{port.name} ({name}) is planned as serial{number}",
                      kind="replaced")  # fmt: skip
            self.lose(port.element, f"{port.name} ({name}) has the name serial{number} in the "
                      "guest", kind="replaced")  # fmt: skip
        elif port.tag == "console" and port not in self.domain.serials[:1]:
            self.note(port.element, f"{port.name} is planned as serial{number}", kind="replaced")
        elif port.name != f"serial{number}" and re.fullmatch(r"serial[0-9]+", port.name):
            self.note(
                port.element,
                f"{port.name} is planned as serial{number}: COM1 to COM4 have the numbers that "
                "libvirt gives them, the others what is free",
                kind="replaced",
            )
        return SerialPort(number, self.chardev(port, number), kind=kind, where=port.where)

    def chardev(self, port: CharDevice, number: int) -> Chardev:
        """Return a port's host side; a pty where it has no counterpart."""
        backend = self.backend(port)
        if backend is None:
            self.note(port.element, f"serial{number}: the backend {port.type or '?'} has no "
                      "counterpart; a pty is taken", kind="replaced")  # fmt: skip
            backend = Pty()
        return Chardev(backend, port.log_file, port.log_append)

    def backend(self, port: CharDevice) -> Backend | None:
        """Return the backend, or None where there is no counterpart."""
        path = port.path
        if "\0" in path or "\n" in path:
            raise self.bad(port, "the path holds a newline", "remove it")
        match port.type:
            case "pty":
                return Pty()
            case "null":
                return Null()
            case "stdio":
                # Nobody can say signal=off to libvirt, and QEMU's default is on.
                return Stdio(signal=True)
            case "vc":
                return Vc()
            case "unix" if path:
                if len(path.encode("utf-8", "surrogateescape")) > SUN_PATH_MAX:
                    raise self.bad(
                        port,
                        f"the socket's path has more than {SUN_PATH_MAX} bytes",
                        "choose a shorter directory or name; `vmserial fix` does",
                    )
                client = port.mode == "connect"
                return UnixSocket(path, server=not client, reconnect_ms=self.reconnect(port))
            case "unix" if port.tag == "channel":
                return UnixSocket(self.own_path(port))
            case "tcp":
                return self.tcp(port)
            case "udp" if port.service:
                own = port.own.get("service", "")
                return Udp(
                    port.host or "127.0.0.1", self.service(port, port.service),
                    localaddr=port.own.get("host", ""),
                    localport=self.service(port, own) if own else None,
                )  # fmt: skip
            case "file" if path:
                return File(path, append=port.append == "on")
            case "pipe" if path:
                return Pipe(path)
            case "dev" if path:
                return HostTty(path)
        return None

    def reconnect(self, port: CharDevice) -> int:
        """Return after how many milliseconds a client tries again; 0 for never."""
        return (port.reconnect or 0) * 1000 if port.mode == "connect" else 0

    def tcp(self, port: CharDevice) -> Backend | None:
        """Return a TCP socket."""
        client = port.mode == "connect"
        if not port.service or (client and not port.host):
            return None
        creds = ""
        if port.tls or port.protocol in {"tls", "telnets"}:
            id = alias(port.element, port.name) if "alias" in port.parts else port.name
            creds = tls_object(f"char{id}")
            end = "client" if client else "server"
            self.lose(
                port.element,
                f"{port.name}: TLS needs an -object with the certificates",
                f"add -object tls-creds-x509,id={creds},dir={TLS_DIRECTORY},endpoint={end}",
            )
        return TcpSocket(port.host, self.service(port, port.service), server=not client,
                         telnet=port.protocol in {"telnet", "telnets"},
                         reconnect_ms=self.reconnect(port), tls_creds=creds)  # fmt: skip

    def service(self, port: CharDevice, text: str) -> int:
        """Return a port's number."""
        number = whole(text, -1)
        if not 0 <= number <= 65535:
            raise self.bad(port, f"{text[:40]!r} is not a TCP port", "write service='4001'")
        return number

    def bad(self, port: CharDevice, message: str, hint: str) -> ConfigError:
        """Return the error about a port."""
        return ConfigError(f"{port.name}: {message}", hint=hint, where=str(port.where))
