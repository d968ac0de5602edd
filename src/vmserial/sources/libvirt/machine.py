"""A domain as a Machine: what the planner can carry; everything else becomes a note."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from vmserial.errors import ConfigError, UsageError
from vmserial.limits import SUN_PATH_MAX
from vmserial.machines import architecture
from vmserial.model import (
    Agent,
    Backend,
    Chardev,
    Cpu,
    DirectBoot,
    Disk,
    File,
    Firmware,
    HostTty,
    Machine,
    Nic,
    Note,
    Null,
    Pipe,
    Pty,
    SerialPort,
    Stdio,
    TcpSocket,
    Topology,
    Udp,
    UnixSocket,
    Vc,
)
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.view import Domain

AGENT_NAME = "org.qemu.guest_agent.0"

_KINDS = {"usb-serial": "usb", "pci-serial": "pci", "virtio": "virtconsole"}
"""Kinds that somebody chose; libvirt writes the others itself, so they are ``auto``."""

_EXACT = {"isa-serial": "isa", "usb-serial": "usb", "pci-serial": "pci", "virtio": "virtconsole",
          "system-serial": "uart", "spapr-vio-serial": "uart", "sclp-serial": "uart"}  # fmt: skip
"""What the kinds are in a domain that `vmserial convert` wrote: each was chosen."""

_OWN = re.compile(r"ua-serial(0|[1-9][0-9]{0,2})\Z")
"""The alias that `vmserial convert` gives a port; it carries the port's number."""

_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}\Z")
_WORD = re.compile(r"[A-Za-z0-9._-]+\Z")
_UNITS = {"b": 1, "bytes": 1, "kb": 1000, "k": 1 << 10, "kib": 1 << 10, "mb": 10**6, "m": 1 << 20,
          "mib": 1 << 20, "gb": 10**9, "g": 1 << 30, "gib": 1 << 30, "t": 1 << 40,
          "tib": 1 << 40, "tb": 10**12}  # fmt: skip
_MOST_MIB = 4 << 20

_KNOWN = frozenset({
    "emulator", "serial", "console", "channel", "controller", "hub", "disk", "interface",
    "memballoon", "rng", "input", "address", "alias",
})  # fmt: skip
_QUIET = frozenset({
    "name", "uuid", "memory", "currentMemory", "vcpu", "os", "cpu", "devices", "features", "clock",
    "on_poweroff", "on_reboot", "on_crash", "title", "description", "metadata", "pm", "seclabel",
    "resource", "id",
})  # fmt: skip
_NIC_MODELS = {"virtio": "virtio", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139"}


def machine(domain: Domain) -> Machine:
    """Translate a domain.

    Raises:
        ConfigError: the architecture is not known, or a value is none.
    """
    return _Translation(domain).machine()


class _Translation:
    """Takes a domain apart, and notes what is left."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.notes: list[Note] = []

    def note(self, element: Element, message: str, hint: str = "", *, kind: str = "") -> None:
        """Note something; what has no part in the command unless another kind is said."""
        self.notes.append(
            Note("replaced" if kind == "replaced" else "untranslated", message, element.where, hint)
        )

    def machine(self) -> Machine:
        """Return the whole."""
        domain = self.domain
        try:
            arch = architecture(domain.arch).name
        except UsageError as error:
            raise ConfigError(
                error.message, hint=error.hint, where=str(domain.root.where)
            ) from None
        if domain.machine_type and not _MACHINE.match(domain.machine_type):
            raise ConfigError(
                f"{domain.machine_type[:40]!r} is not a machine type",
                hint="write machine='virt' or the like", where=str(domain.root.where),
            )  # fmt: skip
        self.agent: Agent | None = None
        ports = self.ports()
        self.rest()
        return Machine(
            arch,
            tuple(ports),
            name=_NAME.sub("-", domain.name).strip("-.")[:63] or "vm",
            machine_type=self.machine_type(arch),
            cpu=self.cpu(),
            topology=Topology(vcpus=self.vcpus(), cores=self.vcpus()),
            memory_mib=self.memory(),
            accel="tcg" if domain.type == "qemu" else "auto",
            uuid=self.uuid(),
            agent=self.agent,
            firmware=self.firmware(),
            disks=tuple(self.disks()),
            nics=tuple(self.nics()),
            boot=self.boot(),
            notes=tuple(sorted(self.notes, key=lambda n: n.where.line if n.where else 0)),
            origin="libvirt",
            where=domain.root.where,
            lines={"machine_type": (domain.root.child("os") or domain.root).where},
        )

    # -------------------------------------------------------------- the serial ports

    def ports(self) -> list[SerialPort]:
        """Return serial0…, then the consoles and the channels that are ports."""
        domain = self.domain
        found = [self.port(port, number) for number, port in enumerate(domain.serials)]
        for port in (*domain.consoles, *domain.channels):
            if port.tag == "channel" and port.target_name == AGENT_NAME:
                path = port.path if port.type == "unix" else ""
                self.agent = Agent("virtio", path, port.where)
            elif port.tag == "channel" and (
                port.target_type != "virtio" or re.match(r"(?:org|com)\.", port.target_name)
            ):
                self.note(port.element, f"channel {port.target_name or port.target_type or '?'} "
                          "is a program's own, and not planned")  # fmt: skip
            else:
                found.append(self.port(port, len(found)))
        for port in domain.parallels:
            self.note(port.element, "parallel ports are not planned")
        # Either all numbers are those of the aliases, or none: a mixture could clash.
        numbers = [port.index for port in found]
        return sorted(found, key=lambda p: p.index) if len(set(numbers)) == len(numbers) else [
            replace(port, index=number) for number, port in enumerate(found)
        ]  # fmt: skip

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
            self.note(
                port.element,
                f"{port.name} ({port.target_name or 'without a name'}) is "
                f"planned as serial{number}, by that name in the guest",
                kind="replaced",
            )
        elif port.tag == "console" and port not in self.domain.serials[:1]:
            self.note(port.element, f"{port.name} is planned as serial{number}", kind="replaced")
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
            case "tcp" if port.tls or port.protocol in {"tls", "telnets"}:
                self.note(port.element, f"{port.name}: TLS needs an -object with the certificates: "
                          "plain TCP is planned", kind="replaced")  # fmt: skip
                return self.tcp(port)
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
        return TcpSocket(port.host, self.service(port, port.service), server=not client,
                         telnet=port.protocol in {"telnet", "telnets"},
                         reconnect_ms=self.reconnect(port))  # fmt: skip

    def service(self, port: CharDevice, text: str) -> int:
        """Return a port's number."""
        number = whole(text, -1)
        if not 0 <= number <= 65535:
            raise self.bad(port, f"{text[:40]!r} is not a TCP port", "write service='4001'")
        return number

    def bad(self, port: CharDevice, message: str, hint: str) -> ConfigError:
        return ConfigError(f"{port.name}: {message}", hint=hint, where=str(port.where))

    # -------------------------------------------------------------- the rest of the VM

    def machine_type(self, arch: str) -> str:
        """Return the machine type as QEMU knows it."""
        given = self.domain.machine_type
        if arch == "x86_64" and given.startswith("rhel"):
            return ""
        return given

    def cpu(self) -> Cpu:
        """Return the CPU's model, if one is named."""
        element = self.domain.root.child("cpu")
        if element is None:
            return Cpu()
        if element.get("mode") in {"host-passthrough", "host-model"}:
            # "host" needs KVM; "max" is the most that an accelerator has.
            return Cpu("max")
        model = element.child("model")
        if model is None or not _WORD.match(model.text):
            return Cpu()
        if element.named("feature"):
            self.note(element, "the features of <cpu> are not translated")
        return Cpu(model.text)

    def vcpus(self) -> int:
        """Return how many virtual processors there are."""
        element = self.domain.root.child("vcpu")
        return min(max(whole(element.text, 1), 1), 4096) if element else 1

    def memory(self) -> int:
        """Return the memory in MiB."""
        element = self.domain.root.child("memory")
        if element is None:
            return 512
        unit = _UNITS.get(element.get("unit", "KiB").lower())
        number = whole(element.text, -1)
        if unit is None or number < 0:
            raise ConfigError("this is no size of memory",
                hint="write <memory unit='MiB'>512</memory>",
                              where=str(element.where))  # fmt: skip
        return min(max(number * unit >> 20, 16), _MOST_MIB)

    def uuid(self) -> str:
        """Return the UUID, if it is one."""
        element = self.domain.root.child("uuid")
        return element.text.lower() if element and _UUID.match(element.text) else ""

    def firmware(self) -> Firmware:
        """Return the firmware."""
        os = self.domain.root.child("os")
        if os is None:
            return Firmware()
        loader = os.child("loader")
        efi = os.get("firmware") == "efi" or (loader is not None and loader.get("type") == "pflash")
        if not efi:
            return Firmware()
        if os.child("nvram") is not None:
            self.note(os, "the UEFI variables of <nvram> are left out")
        return Firmware("ovmf", code=self.domain.loader)

    def boot(self) -> DirectBoot | None:
        """Return the direct boot."""
        domain = self.domain
        return DirectBoot(domain.kernel, domain.initrd, domain.cmdline) if domain.kernel else None

    def disks(self) -> list[Disk]:
        """Return the disks that are files or block devices."""
        found: list[Disk] = []
        numbers: Counter[str] = Counter()
        for element in self.named("disk"):
            source, target = element.child("source"), element.child("target")
            driver = element.child("driver")
            path = (source.get("file") or source.get("dev")) if source else ""
            bus = target.get("bus") if target else ""
            image = driver.get("type", "raw") if driver else "raw"
            cdrom = element.get("device") == "cdrom"
            if (bus not in {"virtio", "scsi", "sata", "ide"} or image not in {"raw", "qcow2"}
                    or not path.startswith("/") or "\n" in path
                    or element.get("device", "disk") not in {"disk", "cdrom"}):  # fmt: skip
                self.note(
                    element,
                    f"the disk {target.get('dev') if target else ''} is left out",
                    "files and block devices on virtio, scsi, sata or ide are planned",
                )
                continue
            number = numbers[bus]
            numbers[bus] += 1
            found.append(
                Disk(bus, number, path, image, cdrom=cdrom,
                     readonly=element.child("readonly") is not None, where=element.where)
            )  # fmt: skip
        return found

    def nics(self) -> list[Nic]:
        """Return the network cards; a libvirt network becomes user mode."""
        found: list[Nic] = []
        for element in self.named("interface"):
            mac, model = element.child("mac"), element.child("model")
            source = element.child("source")
            kind = element.get("type")
            bridge = source.get("bridge") if source and kind == "bridge" else ""
            if kind != "user" and not bridge:
                self.note(element, f"the network card of type {kind or '?'} has user mode here",
                          kind="replaced")  # fmt: skip
            address = mac.get("address") if mac else ""
            found.append(
                Nic(
                    len(found), _NIC_MODELS.get(model.get("type") if model else "", "virtio"),
                    mac=address if _MAC.match(address) else "",
                    mode="tap" if bridge else "user", bridge=bridge, where=element.where,
                )
            )  # fmt: skip
        return found

    def named(self, name: str) -> list[Element]:
        devices = self.domain.devices
        return devices.named(name) if devices else []

    def rest(self) -> None:
        """Note what else there is."""
        domain = self.domain
        devices = domain.devices
        for element in devices.children if devices else ():
            if element.name not in _KNOWN:
                self.note(element, f"<{element.name[:40]}> is left out")
        for element in domain.root.children:
            if element.name not in _QUIET:
                self.note(element, f"<{element.name[:40]}> is left out")
