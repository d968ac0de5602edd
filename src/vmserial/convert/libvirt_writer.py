"""A Machine's serial part as a libvirt domain.

The facts of what libvirt's XML can say are those of its "Domain XML format" page
and of docs/libvirt.md; each written domain is given to a real ``virsh define`` in
the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from vmserial.board import XHCI_PORTS
from vmserial.convert.losses import Loss, lost
from vmserial.machines import architecture
from vmserial.model import (
    File,
    HostTty,
    Machine,
    Null,
    Pipe,
    Pty,
    Ringbuf,
    SerialPort,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_MODELS = {"aarch64": "pl011"}
_NO = "libvirt's XML does not say it"


def write(machine: Machine, kinds: Mapping[int, str]) -> tuple[str, tuple[Loss, ...]]:
    """Return the domain, and what is lost.

    Args:
        machine: the VM.
        kinds: the device kind of each port by its number; none of them ``auto``.
    """
    writer = _Writer(machine, kinds)
    return writer.domain(), tuple(writer.losses)


class _Writer:
    def __init__(self, machine: Machine, kinds: Mapping[int, str]) -> None:
        self.machine, self.kinds = machine, kinds
        self.losses: list[Loss] = []
        self.usb = 0
        self.channels = 0

    def lose(self, port: SerialPort, what: str, why: str = _NO) -> None:
        self.losses.append(lost(port, what, why))

    # -------------------------------------------------------------- the domain

    def domain(self) -> str:
        machine = self.machine
        devices = [line for port in machine.ports for line in self.port(port)]
        usb = "usb" in self.kinds.values()
        kvm = machine.accel == "kvm"
        lines = [
            f"<domain type='{'kvm' if kvm else 'qemu'}'"
            + (f" xmlns:qemu='{_QEMU}'>" if usb else ">"),
            f"  <name>{escaped(machine.name)}</name>",
        ]
        if machine.uuid:
            lines.append(f"  <uuid>{machine.uuid}</uuid>")
        lines.append(f"  <memory unit='MiB'>{machine.memory_mib}</memory>")
        lines.append(f"  <vcpu>{machine.topology.vcpus}</vcpu>")
        lines.append("  <os>")
        kind = architecture(machine.arch).machine_type(machine.machine_type)
        lines.append(f"    <type arch='{machine.arch}' machine={quoteattr(kind)}>hvm</type>")
        if machine.boot is not None:
            for name, value in (("kernel", machine.boot.kernel), ("initrd", machine.boot.initrd),
                                ("cmdline", machine.boot.append)):  # fmt: skip
                if value:
                    lines.append(f"    <{name}>{escaped(value)}</{name}>")
        lines.append("  </os>")
        if machine.arch == "aarch64" and not kvm:
            lines += ["  <cpu mode='custom' match='exact'>",
                      "    <model fallback='allow'>cortex-a57</model>", "  </cpu>"]  # fmt: skip
        lines.append("  <devices>")
        for index in range(-(-self.usb // XHCI_PORTS)):
            lines.append(
                f"    <controller type='usb' index='{index}' model='qemu-xhci' "
                f"ports='{XHCI_PORTS}'/>"
            )
        if not self.usb:
            lines.append("    <controller type='usb' model='none'/>")
        lines += devices
        lines.append("    <memballoon model='none'/>")
        lines.append("  </devices>")
        if usb:
            # libvirt never sets it, and without it the port comes and goes with its client.
            lines += ["  <qemu:commandline>", "    <qemu:arg value='-global'/>",
                      "    <qemu:arg value='usb-serial.always-plugged=on'/>",
                      "  </qemu:commandline>"]  # fmt: skip
        lines.append("</domain>")
        return "\n".join(lines) + "\n"

    # -------------------------------------------------------------- one port

    def port(self, port: SerialPort) -> list[str]:
        if port.state != "plugged":
            self.lose(port, f"state={port.state}", "a domain has its devices from the start")
            return []
        source = self.source(port)
        if source is None:
            return []
        kind = self.kinds[port.index]
        type_, inner = source
        element = {"virtio": "channel", "virtconsole": "console"}.get(kind, "serial")
        lines = [f"    <{element} type='{type_}'>", *(f"      {line}" for line in inner)]
        if port.chardev.logfile:
            append = " append='on'" if port.chardev.logappend else ""
            lines.append(f"      <log file={quoteattr(port.chardev.logfile)}{append}/>")
        lines += [f"      {line}" for line in self.target(port, kind)]
        lines.append(f"    </{element}>")
        return lines

    def target(self, port: SerialPort, kind: str) -> list[str]:
        if kind == "virtio":
            self.channels += 1
            return [f"<target type='virtio' name='{port.name}'/>"]
        if kind == "virtconsole":
            return ["<target type='virtio'/>"]
        if kind == "usb":
            self.usb += 1
            bus, number = divmod(self.usb - 1, XHCI_PORTS)
            return [f"<target type='usb-serial' port='{port.index}'/>",
                    f"<address type='usb' bus='{bus}' port='{number + 1}'/>"]  # fmt: skip
        if kind == "isa":
            return [f"<target type='isa-serial' port='{port.index}'/>"]
        if kind == "uart":
            model = _MODELS.get(self.machine.arch)
            inner = f"<model name='{model}'/>" if model else ""
            return [f"<target type='system-serial' port='{port.index}'>{inner}</target>"]
        if kind != "pci":
            self.lose(port, f"type={kind}", "libvirt has only pci-serial of one port")
        return [f"<target type='pci-serial' port='{port.index}'/>"]

    # -------------------------------------------------------------- its host side

    def source(self, port: SerialPort) -> tuple[str, list[str]] | None:
        """Return the type and the elements of a backend; None if it has no counterpart."""
        match port.chardev.backend:
            case UnixSocket() as unix:
                return self.unix(port, unix)
            case TcpSocket() as tcp:
                return self.tcp(port, tcp)
            case Udp() as udp:
                return self.udp(port, udp)
            case Pty() as pty:
                if pty.path:
                    self.lose(port, f"path={pty.path}", "libvirt chooses the pty")
                return "pty", []
            case HostTty() as tty:
                return "dev", [f"<source path={quoteattr(tty.path)}/>"]
            case File() as file:
                if file.input_path:
                    self.lose(port, f"input-path={file.input_path}")
                append = " append='on'" if file.append else ""
                return "file", [f"<source path={quoteattr(file.path)}{append}/>"]
            case Pipe() as pipe:
                return "pipe", [f"<source path={quoteattr(pipe.path)}/>"]
            case Null():
                return "null", []
            case Stdio() as stdio:
                if stdio.signal:
                    self.lose(port, "signal=on")
                return "stdio", []
            case Vc() as vc:
                if vc != Vc():
                    self.lose(port, "the size of its vc")
                return "vc", []
            case Ringbuf():
                self.lose(port, "ringbuf", "libvirt has no ring buffer: the port is left out")
        return None

    def unix(self, port: SerialPort, unix: UnixSocket) -> tuple[str, list[str]]:
        for name, odd in (("abstract=on", unix.abstract), ("tight=off", not unix.tight),
                          ("telnet=on", unix.telnet), ("websocket=on", unix.websocket),
                          ("wait=on", unix.wait)):  # fmt: skip
            if odd:
                why = "libvirt's servers never wait" if name == "wait=on" else _NO
                self.lose(port, name, why)
        mode = "bind" if unix.server else "connect"
        inner = self.reconnect(port, unix.reconnect_ms)
        if inner:
            return "unix", [f"<source mode='{mode}' path={quoteattr(unix.path)}>",
                            f"  {inner}", "</source>"]  # fmt: skip
        return "unix", [f"<source mode='{mode}' path={quoteattr(unix.path)}/>"]

    def tcp(self, port: SerialPort, tcp: TcpSocket) -> tuple[str, list[str]]:
        for name, odd in (
            (f"to={tcp.to}", tcp.to is not None), ("ipv4=", tcp.ipv4 is not None),
            ("ipv6=", tcp.ipv6 is not None), ("nodelay=on", tcp.nodelay),
            ("websocket=on", tcp.websocket), ("wait=on", tcp.wait),
            (f"tls-authz={tcp.tls_authz}", tcp.tls_authz != ""),
        ):  # fmt: skip
            if odd:
                self.lose(port, name)
        tls = ""
        if tcp.tls_creds:
            tls = " tls='yes'"
            why = "libvirt takes the certificates of chardev_tls_x509_cert_dir in qemu.conf"
            self.lose(port, f"tls-creds={tcp.tls_creds}", why)
        mode = "bind" if tcp.server else "connect"
        host = quoteattr(tcp.host or "0.0.0.0")
        head = f"<source mode='{mode}' host={host} service='{tcp.port}'{tls}"
        inner = self.reconnect(port, tcp.reconnect_ms)
        source = [f"{head}>", f"  {inner}", "</source>"] if inner else [f"{head}/>"]
        return "tcp", [*source, f"<protocol type='{'telnet' if tcp.telnet else 'raw'}'/>"]

    def udp(self, port: SerialPort, udp: Udp) -> tuple[str, list[str]]:
        for name, odd in (("ipv4=", udp.ipv4 is not None), ("ipv6=", udp.ipv6 is not None)):
            if odd:
                self.lose(port, name)
        inner = []
        if udp.localaddr or udp.localport is not None:
            local = quoteattr(udp.localaddr or "0.0.0.0")
            inner.append(f"<source mode='bind' host={local} service='{udp.localport or 0}'/>")
        host = quoteattr(udp.host or "127.0.0.1")
        return "udp", [*inner, f"<source mode='connect' host={host} service='{udp.port}'/>"]

    def reconnect(self, port: SerialPort, milliseconds: int) -> str:
        if not milliseconds:
            return ""
        seconds = max(milliseconds // 1000, 1)
        if seconds * 1000 != milliseconds:
            self.lose(port, f"reconnect-ms={milliseconds}", f"libvirt counts seconds: {seconds}")
        return f"<reconnect enabled='yes' timeout='{seconds}'/>"


def escaped(text: str) -> str:
    """Return text as an element's content."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
