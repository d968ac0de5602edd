"""Ask QEMU about a user's command line without running its VM.

A private copy of the command (:mod:`vmserial.qemu.isolation`) is started paused:
no guest instruction runs, no disk, network or display of the user's is there.
QEMU then says which ports it wired up, and where its devices are; or it says in
its own words why it does not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmserial.doctor import Finding, Severity
from vmserial.errors import LostVMError, MonitorError, QemuStartError, UsageError
from vmserial.machines import Platform, architecture
from vmserial.model import Capabilities, SourceRef
from vmserial.options import Option, render
from vmserial.paths import RunDirectory
from vmserial.qemu import binary as binaries
from vmserial.qemu.hints import hint_for
from vmserial.qemu.isolation import isolate, uses_kvm
from vmserial.qemu.loop import run_interruptible
from vmserial.qemu.private import PrivateCommand
from vmserial.qemu.process import VirtualMachine
from vmserial.sources.command import CommandLine, CommandView

if TYPE_CHECKING:
    from vmserial.catalogue import Match

MEMORY_MIB = 512
"""RAM of the private copy; whatever the user's VM has, its host may have less."""

_ANY_BOARD = Platform(
    name="", prefixes=(), root_bus="", pcie=False, board_slots=frozenset(), root_ports=0,
    isa=False, ide="", uart=None, source="",
)  # fmt: skip
"""Of an architecture that is not known."""

PROBE_BOUND = 30.0
"""Seconds from the start to the last answer; QEMU needs 0.3."""

_DEPTH = 16
"""Bridges behind each other that are followed."""


@dataclass(frozen=True)
class PortSeen:
    """What QEMU says of one port.

    Attributes:
        name: ``serialN``.
        chardev_id: of its private backend.
        driver: its device; empty for -serial.
        device_id: of its device; empty for -serial.
        open: a device has opened the chardev; None if QEMU does not start.
        pci: its path of PCI slots and functions from the root bus (``1d.0/00.0``); empty
            if it is not on PCI.
        attached: of a usb-serial, it is plugged in while no client is there; None of others.
        controller: of a usb-serial, the type of its controller; empty of others.
        where: its place in the command.
        silent: its owner's host side is ``null``: nobody misses it where it is dead.
        host: its owner's host side, such as ``socket /run/a``; of two ports it may be the same.
        inline: its owner gave that with -serial itself, without a chardev.
    """

    name: str
    chardev_id: str
    driver: str
    device_id: str
    open: bool | None = None
    pci: str = ""
    attached: bool | None = None
    controller: str = ""
    where: SourceRef | None = None
    silent: bool = False
    host: str = ""
    inline: bool = False

    @property
    def dead(self) -> bool:
        """QEMU has no UART for this -serial.  Of a device ``open`` does not tell that.

        A virtserialport is not open until the guest opens it; all others always are.
        """
        return not self.driver and self.open is False and not self.silent


@dataclass(frozen=True)
class Probed:
    """What QEMU says of a command.

    Attributes:
        starts: QEMU starts with it, as far as the board and its devices go.
        words: what it wrote, above all why it does not start.
        version: of the binary.
        machine_type: as asked for; empty for the binary's default.
        ports: in the order of their numbers.
        without_device: ports that were asked for by a chardev that no device uses: their names
            and the chardevs' ids.
        pci: by device id, the paths of all devices of the command that are on PCI.
        usb: by device id, what QEMU's ``info usb`` says of its place.
        front_ends: by chardev id, whether a device or a monitor has opened it.
        argv: as it was started, without the monitor.
        notes: what was left out.
        seconds: how long it took.
    """

    starts: bool
    words: str
    version: str
    machine_type: str
    ports: tuple[PortSeen, ...]
    without_device: tuple[tuple[str, str], ...] = ()
    pci: dict[str, str] = field(default_factory=dict, hash=False)
    usb: dict[str, str] = field(default_factory=dict, hash=False)
    front_ends: dict[str, bool] = field(default_factory=dict, hash=False)
    argv: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return asdict(self)


def probe_command(
    command: CommandLine,
    *,
    binary: str = "",
    arch: str = "",
    root: Path | None = None,
    timeout: float = PROBE_BOUND,
) -> Probed:
    """Start a private copy of a command paused, ask QEMU, and end it.  Not for an event loop.

    Args:
        command: the user's.
        binary: the QEMU to ask; empty: the command's own if it is here, else ``$PATH``'s.
        arch: where neither the command's emulator nor its machine type tells it.
        root: where the files of -readconfig are; None: as named.
        timeout: seconds for all of it.

    Raises:
        ConfigError: a value of the command, or a file of -readconfig, is broken.
        BinaryError: there is no such QEMU, or it cannot be asked.
        UsageError: the architecture is not known.
        QemuError: it stopped answering.
    """
    view, capabilities = understand(command, binary=binary, arch=arch, root=root)
    with RunDirectory() as rundir:
        private = isolate(view, capabilities, rundir.socket)
        return run_interruptible(probe(private, capabilities, rundir=rundir, timeout=timeout))


def understand(
    command: CommandLine, *, binary: str = "", arch: str = "", root: Path | None = None
) -> tuple[CommandView, Capabilities]:
    """Return what a command says, and what the binary that is to run it has.

    Raises:
        ConfigError, BinaryError, UsageError: as :func:`probe_command`.
    """

    def read_file(name: str) -> str:
        path = Path(name) if root is None else root / name.lstrip("/")
        return path.read_text(encoding="utf-8", errors="surrogateescape")

    view = CommandView.of(command, arch=arch, read_file=read_file)
    if not view.arch and Path(command.program).name in {"kvm", "qemu-kvm"}:
        # PVE's and RHEL's names of the emulator for the host's own architecture.
        view = CommandView.of(command, arch=_host(), read_file=read_file)
    path = _binary(command, view, binary)
    return view, binaries.probe(path, arch=view.arch)


def _host() -> str:
    return os.uname().machine


def _binary(command: CommandLine, view: CommandView, explicit: str) -> str:
    if explicit:
        return binaries.find(view.arch, explicit)
    if not view.arch:
        raise UsageError(
            f"nothing tells which architecture {command.program or 'this command'} emulates",
            hint="name it with --arch, or give a command with qemu-system-<arch>",
        )
    name = command.program
    if f"qemu-system-{view.arch}" in name and Path(name).is_file():
        return binaries.find(view.arch, name)
    return binaries.find(view.arch)


def argv_of(private: PrivateCommand, capabilities: Capabilities) -> tuple[str, ...]:
    """Return the words that start a private command, without what it boots."""
    kvm = uses_kvm(capabilities)
    own = [Option("-accel", "kvm" if kvm else "tcg", role="machine")]
    board = _board(private)
    if board is not None:
        # The user's model may need KVM, and has no part in serial ports.
        if cpu := "host" if kvm else _tcg_cpu(private.arch):
            own.append(Option("-cpu", raw=cpu, role="machine"))
        own.append(Option("-m", str(max(MEMORY_MIB, board.least_memory_mib)), role="machine"))
    return (
        capabilities.binary,
        *render([*private.options, *own]),
        "-display",
        "none",
    )


def _board(private: PrivateCommand) -> Platform | None:
    """Return the board; None for one that may take no other processor or size of RAM than its own.

    The Raspberry Pis and many boards of 32-bit arm refuse another one; those that ports are
    planned for take any, of an architecture that is not known all.
    """
    try:
        return architecture(private.arch).platform(private.machine_type)
    except UsageError:
        return _ANY_BOARD


def _tcg_cpu(arch: str) -> str:
    try:
        return architecture(arch).tcg_cpu
    except UsageError:
        return ""


async def probe(
    private: PrivateCommand,
    capabilities: Capabilities,
    *,
    rundir: RunDirectory,
    timeout: float = PROBE_BOUND,
) -> Probed:
    """Start a private command paused, ask QEMU, and end it.

    Args:
        private: from :func:`vmserial.qemu.isolation.isolate`, with sockets in ``rundir``.
        capabilities: of the binary.
        rundir: where its sockets are.
        timeout: seconds for all of it.

    Raises:
        QemuError: it stopped answering.
        BinaryError: the binary cannot be started.
    """
    argv = argv_of(private, capabilities)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    answers = _Answers()
    starts, words = True, ""
    try:
        async with asyncio.timeout(timeout):
            async with VirtualMachine(
                argv, rundir=rundir, paused=True, reset_is_loss=False, start_bound=timeout
            ) as vm:
                await _ask(vm, private, answers)
            words = vm.stderr_text().strip()
    except QemuStartError as error:
        starts, words = False, error.stderr.strip() or error.message
    except TimeoutError:
        raise LostVMError(
            f"QEMU did not answer within {timeout:g} s", hint="is the host overloaded?"
        ) from None
    return Probed(
        starts,
        words,
        capabilities.version_text,
        private.machine_type,
        tuple(
            PortSeen(
                port.name, port.chardev_id, port.driver, port.device_id,
                answers.open.get(port.chardev_id), answers.pci.get(port.device_id, ""),
                answers.attached.get(port.device_id),
                answers.controllers.get(port.device_id, ""),
                port.where,
                port.silent,
                port.host,
                port.inline,
            )
            for port in private.ports
        ),
        private.without_device,
        answers.pci,
        answers.usb,
        answers.open,
        argv,
        private.notes,
        round(loop.time() - begin, 3),
    )  # fmt: skip


# ------------------------------------------------------------------ the questions


@dataclass
class _Answers:
    open: dict[str, bool] = field(default_factory=dict)
    pci: dict[str, str] = field(default_factory=dict)
    usb: dict[str, str] = field(default_factory=dict)
    attached: dict[str, bool] = field(default_factory=dict)
    controllers: dict[str, str] = field(default_factory=dict)


async def _ask(vm: VirtualMachine, private: PrivateCommand, answers: _Answers) -> None:
    execute = vm.monitor.execute
    for entry in await execute("query-chardev"):
        answers.open[str(entry["label"])] = bool(entry["frontend-open"])
    for entry in await execute("qom-list", path="/machine/peripheral"):
        if str(entry["type"]).startswith("child<"):
            path = await _pci_path(vm, f"/machine/peripheral/{entry['name']}")
            if path:
                answers.pci[str(entry["name"])] = path
    usb = [port.device_id for port in private.ports if port.driver == "usb-serial"]
    for name in usb:
        await _usb(vm, name, answers)
    if usb:
        for line in (await vm.monitor.command_line("info usb")).splitlines():
            if match := re.match(r"\s*Device (\S+), (Port .*?), Product .*, ID: (\S+)", line):
                answers.usb[match[3]] = match[2]


async def _usb(vm: VirtualMachine, name: str, answers: _Answers) -> None:
    """Ask whether a usb-serial is plugged in, and what it is plugged into."""
    path = f"/machine/peripheral/{name}"
    with contextlib.suppress(MonitorError):
        attached = await vm.monitor.execute("qom-get", path=path, property="attached")
        answers.attached[name] = bool(attached)
        kind = "usb-hub"
        while kind == "usb-hub":
            bus = await vm.monitor.execute("qom-get", path=path, property="parent_bus")
            path = str(bus).rpartition("/")[0]
            kind = str(await vm.monitor.execute("qom-get", path=path, property="type"))
        answers.controllers[name] = kind


async def _pci_path(vm: VirtualMachine, path: str) -> str:
    """Return the slots and functions from the root bus to a device; empty if it is not on PCI.

    ``query-pci`` does not show what is behind a bridge before firmware numbered
    the buses; the object tree does.
    """
    found: list[str] = []
    for _ in range(_DEPTH):
        try:
            place = await vm.monitor.execute("qom-get", path=path, property="addr")
            bus = await vm.monitor.execute("qom-get", path=path, property="parent_bus")
        except MonitorError:
            break
        if not isinstance(place, int) or place < 0:
            break
        found.insert(0, f"{place >> 3:02x}.{place & 7}")
        path = str(bus).rpartition("/")[0]
    return "/".join(found)


# ------------------------------------------------------------------ what it means


def findings(probed: Probed) -> tuple[Finding, ...]:
    """Return what is wrong with a command, as QEMU itself shows it."""
    if not probed.starts:
        return tuple(_start_findings(probed))
    found = []
    kept = sum(not port.driver and port.open is True for port in probed.ports)
    for port in probed.ports:
        if port.dead:
            found.append(
                Finding(
                    "onboard-uart-limit",
                    Severity.DEAD,
                    f"QEMU starts, and {port.name} is silently dead: "
                    f"{probed.machine_type or 'the machine'} of QEMU {probed.version} has "
                    f"{kept} on-board UART{'s' * (kept != 1)}",
                    "seen on the paused VM: no device opened its chardev (query-chardev: "
                    "frontend-open is false)",
                    "give it a device: `vmserial fix` does",
                    (port.name,),
                    port.where,
                )
            )
        elif port.attached is False:
            found.append(
                Finding(
                    "usb-not-plugged",
                    Severity.DEAD,
                    f"the guest has no {port.name} until a client opens its chardev",
                    "seen on the paused VM: without always-plugged=on a usb-serial is plugged in "
                    "only while a client is there (qom-get: attached is false)",
                    "add always-plugged=on to its device: `vmserial fix` does",
                    (port.name,),
                    port.where,
                )
            )
    return tuple(found)


_AFTERWARDS = frozenset({"serial-backend"})
"""What QEMU says after the line that tells why."""


def _start_findings(probed: Probed) -> Sequence[Finding]:
    # Large, and only the way to an error needs it.
    from vmserial import catalogue

    known = catalogue.matches(probed.words)
    # A warning before the end is not what ended it.
    meant = [match for match in known if match.doc.effect is catalogue.Effect.FAILS] or known
    meant = [match for match in meant if match.doc.id not in _AFTERWARDS] or meant
    if not meant:
        return [
            Finding(
                "start-failed",
                Severity.FAILS,
                probed.words or "QEMU said nothing",
                "the private copy of the command was started paused, without disks and networks",
                hint_for(probed.words),
            )
        ]
    return [_known(match.doc.id, match, probed) for match in meant]


def _known(id: str, match: Match, probed: Probed) -> Finding:
    ports = [port for port in probed.ports if _names(match.line, port)]
    return Finding(
        id,
        Severity.FAILS,
        match.line,
        match.doc.cause,
        match.doc.resolution[0],
        tuple(port.name for port in ports),
        ports[0].where if ports else None,
    )


def _names(line: str, port: PortSeen) -> bool:
    ids = [re.escape(one) for one in (port.chardev_id, port.device_id) if one]
    return re.search(rf"(?<![\w.-])(?:{'|'.join(ids)})(?![\w.-])", line) is not None
