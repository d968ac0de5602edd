"""From a Machine to any of the formats: the text, and what has no counterpart in it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmserial import chardevs
from vmserial.errors import UsageError
from vmserial.model import (
    Backend,
    Capabilities,
    Chardev,
    File,
    GuestProfile,
    HostTty,
    Machine,
    Note,
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
from vmserial.options import pretty, render
from vmserial.planning.planner import plan
from vmserial.sources.losses import Losses

TARGETS = ("pve", "libvirt", "toml", "argv")


@dataclass(frozen=True)
class Converted:
    """The result.

    Attributes:
        text: in the format that was asked for.
        notes: of kind ``untranslated``: what was lost; of kind ``replaced``: what was chosen.
    """

    text: str
    notes: tuple[Note, ...]

    @property
    def losses(self) -> tuple[Note, ...]:
        """What has no counterpart."""
        return tuple(note for note in self.notes if note.kind == "untranslated")


def assumed(arch: str) -> Capabilities:
    """Return a binary that has everything, for where none was asked."""
    return Capabilities((10, 0, 0), arch, measured=False)


def convert(
    machine: Machine,
    target: str,
    *,
    capabilities: Capabilities | None = None,
    guest: GuestProfile | None = None,
    vmid: int = 0,
    one_line: bool = False,
) -> Converted:
    """Write a machine in another format.

    Args:
        machine: what to write.
        target: one of :data:`TARGETS`.
        capabilities: of the QEMU that argv and libvirt are written for.
        guest: the guest that it is planned for.
        vmid: of a PVE configuration.
        one_line: a command line in one line.

    Raises:
        UsageError: no such target, or a value that no QEMU takes.
    """
    binary = capabilities or assumed(machine.arch)
    system = guest or GuestProfile("unknown", assumed=True)
    if target == "toml":
        from vmserial.sources.toml import writer as toml_writer

        return Converted(*toml_writer.write(machine))
    if target == "pve":
        from vmserial.sources.pve import writer as pve_writer

        return Converted(*pve_writer.write(machine, vmid))
    if target == "libvirt":
        from vmserial.sources.libvirt import writer as libvirt_writer

        # KVM among a real binary's accelerators is proven; without a binary it is supposed.
        kvm = capabilities is None or "kvm" in capabilities.accelerators
        kinds = settled(machine, binary, system)
        return Converted(*libvirt_writer.write(machine, kinds, kvm=kvm))
    if target == "argv":
        return _command(machine, binary, system, one_line)
    raise UsageError(f"there is no format {target!r}", hint=f"one of {', '.join(TARGETS)}")


def settled(machine: Machine, binary: Capabilities, guest: GuestProfile) -> Mapping[int, str]:
    """Return the kind that each port gets, as far as the planner can place it."""
    # Only the kinds are asked for, so that no backend can stand in the way.
    bare = tuple(replace(port, chardev=Chardev(Null())) for port in machine.ports)
    made = plan(replace(machine, ports=bare), binary, guest)
    return {assignment.port.index: assignment.kind for assignment in made.assignments}


def _command(
    machine: Machine, binary: Capabilities, guest: GuestProfile, one_line: bool
) -> Converted:
    losses = Losses(machine, f"the command line of QEMU {binary.version_text}")
    own = machine.started is not None
    ports = tuple(_renderable(port, binary, losses, own_objects=own) for port in machine.ports)
    made = plan(replace(machine, ports=ports), binary, guest)
    for refusal in made.refusals:
        names = ", ".join(refusal.ports) or "the VM"
        losses.notes.append(
            Note("untranslated", f"{names}: {refusal.happens}", refusal.where, refusal.fix)
        )
    for port in ports:
        if port.state == "absent":
            losses.port(port, "state=absent", "plug it on the running VM")
    kinds = {a.port.index: a.kind for a in made.assignments}
    for port in ports:
        if port.kind == "auto" and port.index in kinds:
            losses.replaced(port, f"auto becomes {kinds[port.index]}")
    words = [binary.binary or f"qemu-system-{machine.arch}", *render(made.options)]
    text = shlex.join(words) if one_line else pretty(words)
    return Converted(text + "\n", (*losses.notes, *made.machine.notes[len(machine.notes) :]))


def _renderable(
    port: SerialPort, binary: Capabilities, losses: Losses, *, own_objects: bool
) -> SerialPort:
    """Return the port with a backend that this QEMU has; what it has not is named.

    Args:
        port: as it is asked for.
        binary: QEMU's.
        losses: collects what is lost.
        own_objects: the command has the objects that the port names.
    """
    chardev = port.chardev
    try:
        chardevs.option(port.name, chardev, binary.version).value()
    except UsageError as error:
        losses.port(
            port, f"its backend {chardevs.text(chardev)!r}", f"{error.message}; null is written"
        )
        return replace(port, chardev=Chardev(Null()))
    backend = chardev.backend
    odd = isinstance(backend, UnixSocket | TcpSocket) and backend.reconnect_ms % 1000 != 0
    if odd and binary.version < (9, 2, 0):
        losses.port(port, "reconnect-ms in fractions of a second", "QEMU 9.2 knows milliseconds")
    if isinstance(backend, TcpSocket) and backend.tls_creds and not own_objects:
        losses.port(port, f"the object {backend.tls_creds} behind tls-creds",
                    "add -object tls-creds-x509,id=…,dir=… before it")  # fmt: skip
    return port


# ------------------------------------------------------------------ the table of the docs

SAMPLES: tuple[tuple[str, Backend], ...] = (
    ("`socket=PATH`", UnixSocket("/run/vm/a")),
    ("… as client, `reconnect=5`", UnixSocket("/run/vm/a", server=False, reconnect_ms=5000)),
    ("… `reconnect-ms=500`", UnixSocket("/run/vm/a", server=False, reconnect_ms=500)),
    ("… `wait=on`", UnixSocket("/run/vm/a", wait=True)),
    ("… `abstract=on`", UnixSocket("vm-a", abstract=True)),
    ("… `telnet=on`", UnixSocket("/run/vm/a", telnet=True)),
    ("… `websocket=on`", UnixSocket("/run/vm/a", websocket=True)),
    ("`tcp=HOST:PORT`", TcpSocket("127.0.0.1", 4001)),
    ("… as client, `reconnect=5`", TcpSocket("127.0.0.1", 4001, server=False, reconnect_ms=5000)),
    ("… `telnet=on`", TcpSocket("127.0.0.1", 4001, telnet=True)),
    ("… `websocket=on`", TcpSocket("127.0.0.1", 4001, websocket=True)),
    ("… `wait=on`", TcpSocket("127.0.0.1", 4001, wait=True)),
    ("… without a host", TcpSocket("", 4001)),
    ("… `to=4010`", TcpSocket("127.0.0.1", 4001, to=4010)),
    ("… `ipv4=on`", TcpSocket("127.0.0.1", 4001, ipv4=True)),
    ("… `ipv6=off`", TcpSocket("127.0.0.1", 4001, ipv6=False)),
    ("… `nodelay=on`", TcpSocket("127.0.0.1", 4001, nodelay=True)),
    ("… `tls-creds=ID`", TcpSocket("127.0.0.1", 4001, tls_creds="tls0")),
    ("`pty`", Pty()),
    ("`pty=PATH`", Pty("/run/vm/tty")),
    ("`/dev/ttyS0`", HostTty("/dev/ttyS0")),
    ("`file=PATH`", File("/var/log/vm")),
    ("… `append=on`", File("/var/log/vm", append=True)),
    ("… `input-path=PATH`", File("/var/log/vm", input_path="/run/vm/in")),
    ("`pipe=PATH`", Pipe("/run/vm/fifo")),
    ("`udp=HOST:PORT`", Udp("127.0.0.1", 4001)),
    ("… `localport=4002`", Udp("127.0.0.1", 4001, "127.0.0.1", 4002)),
    ("… `ipv4=on`", Udp("127.0.0.1", 4001, ipv4=True)),
    ("`null`", Null()),
    ("`ringbuf=65536`", Ringbuf()),
    ("`stdio`", Stdio(signal=True)),
    ("… `signal=off`", Stdio()),
    ("`vc`", Vc()),
    ("… with a size", Vc(cols=80, rows=24)),
)
"""Every kind of backend and every option of it, as people write it."""


def reference() -> str:
    """Return what each format carries as a Markdown table, as docs/formats.md holds it."""
    lines = ["| backend | TOML | PVE | libvirt | argv |", "|---|---|---|---|---|"]
    for name, backend in SAMPLES:
        cells = [_cell(Chardev(backend), target) for target in ("toml", "pve", "libvirt", "argv")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    logged = [
        _cell(Chardev(Pty(), "/var/log/raw", True), t) for t in ("toml", "pve", "libvirt", "argv")
    ]
    lines.append(f"| `logfile=PATH,logappend=on` | {' | '.join(logged)} |")
    return "\n".join(lines) + "\n"


def _cell(chardev: Chardev, target: str) -> str:
    machine = Machine("x86_64", (SerialPort(0, chardev, "usb"),), machine_type="q35")
    result = convert(machine, target)
    if any(note.message.startswith("serial0") for note in result.losses):
        return "**no**"
    return "directive" if target == "pve" and "#vmserial serial0: type" not in result.text and (
        "#vmserial" in result.text
    ) else "yes"  # fmt: skip
