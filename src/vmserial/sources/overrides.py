"""A machine from options alone, and options laid over a machine that a file described."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vmserial.errors import ConfigError, UsageError
from vmserial.machines import architecture
from vmserial.model import (
    Chardev,
    Cpu,
    DirectBoot,
    Machine,
    Note,
    SerialPort,
    SourceRef,
    Topology,
    UnixSocket,
)
from vmserial.sources import ports
from vmserial.sources.pve.values import ARCH_NOT_SAID, UNPRINTABLE

MEMORY_MIB = (16, 4 << 20)
"""Least and most memory, in MiB; PVE's own bounds."""

ACCELERATORS = ("auto", "kvm", "tcg")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_FLAG = re.compile(r"[+-]?[A-Za-z0-9._-]+(=[^,]*)?\Z")


@dataclass(frozen=True, slots=True)
class Overrides:
    """Options as a user gives them; an empty one changes nothing.

    Attributes:
        arch: QEMU's target or an alias of it.
        name: the VM's name.
        machine_type: ``virt``, ``q35``, ``pc`` or a versioned name.
        ports: how many: ``serial0`` to ``serial<ports - 1>``, no others.
        kind: the device kind of every port but serial0 (``--type``).
        console_kind: the device kind of serial0; empty is ``auto`` or what the file says.
        backend: of every port, with ``{n}`` and ``{name}``
            (:func:`vmserial.sources.ports.shared_backend`).
        port_kinds: device kinds of single ports: pairs of number and kind.
        port_backends: backends of single ports: pairs of number and text.
        socket_dir: where a bare ``socket`` listens; else where the file's sockets
            are, else ``/run/vmserial/<name>``.
        hotplug: every port but serial0 can be unplugged and plugged.
        accel: ``auto``, ``kvm`` or ``tcg``.
        memory_mib: in MiB.
        vcpus: as cores of one socket.
        cpu: the model and flags, as ``-cpu`` takes them.
        kernel: ``-kernel``.
        initrd: ``-initrd``.
        append: ``-append``; without any kernel it changes nothing here: it says what the
            guest's own command line has, which the guest's profile takes.
    """

    arch: str = ""
    name: str = ""
    machine_type: str = ""
    ports: int | None = None
    kind: str = ""
    console_kind: str = ""
    backend: str = ""
    port_kinds: tuple[tuple[int, str], ...] = ()
    port_backends: tuple[tuple[int, str], ...] = ()
    socket_dir: str = ""
    hotplug: bool | None = None
    accel: str = ""
    memory_mib: int | None = None
    vcpus: int | None = None
    cpu: str = ""
    kernel: str = ""
    initrd: str = ""
    append: str = ""


def from_options(o: Overrides) -> Machine:
    """Return the machine that options alone describe; one port if no number is given.

    Raises:
        UsageError: an option's value is wrong; the option is named.
    """
    if not o.arch:
        raise UsageError(
            "nobody says which architecture the VM has",
            hint="give --arch aarch64 or --arch x86_64, or a configuration file",
            where="--arch",
        )
    bare = Machine(_arch(o.arch), (), origin="options")
    return apply(bare, o if o.ports is not None else replace(o, ports=1))


def apply(machine: Machine, o: Overrides) -> Machine:
    """Return ``machine`` with the options laid over it.

    Raises:
        UsageError: an option's value is wrong; the option is named.
    """
    machine = _identity(machine, o)
    changes: dict[str, Any] = {}
    if o.accel:
        changes["accel"] = _choice("--accel", o.accel, ACCELERATORS)
    if o.memory_mib is not None:
        changes["memory_mib"] = _range("--memory", o.memory_mib, *MEMORY_MIB)
    if o.vcpus is not None:
        count = _range("--vcpus", o.vcpus, 1, 4096)
        changes["topology"] = Topology(count, 1, count)
    if o.cpu:
        changes["cpu"] = _cpu(o.cpu)
    if o.kernel:
        changes["boot"] = DirectBoot(
            _text("--kernel", o.kernel), _text("--initrd", o.initrd), _text("--append", o.append)
        )
    elif machine.boot is not None and (o.initrd or o.append):
        # The input names a kernel already.
        changes["boot"] = replace(
            machine.boot,
            initrd=_text("--initrd", o.initrd) or machine.boot.initrd,
            append=_text("--append", o.append) or machine.boot.append,
        )
    elif o.initrd:
        raise UsageError("--initrd without --kernel", hint="add --kernel", where="--initrd")
    machine = replace(machine, **changes)
    return _backends(_kinds(_numbered(machine, o), o), o)


# ------------------------------------------------------------------ single values


def _text(option: str, text: str) -> str:
    if UNPRINTABLE.search(text):
        raise UsageError(
            "the value holds a control character or is not UTF-8",
            hint="remove these bytes",
            where=option,
        )
    return text


def _choice(option: str, text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise UsageError(
            f"{text!r} is none of {', '.join(choices)}",
            hint=ports.nearest(text, choices),
            where=option,
        )
    return text


def _range(option: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise UsageError(
            f"{value} is not from {low} to {high}", hint="choose another number", where=option
        )
    return value


def _arch(name: str) -> str:
    try:
        return architecture(name).name
    except UsageError as error:
        raise UsageError(error.message, hint=error.hint, where="--arch") from None


def _cpu(text: str) -> Cpu:
    model, *flags = text.split(",")
    if not _WORD.match(model):
        raise UsageError(
            f"{model!r} is not a cpu model", hint="write host, max or cortex-a57", where="--cpu"
        )
    for flag in flags:
        if not _FLAG.match(flag) or UNPRINTABLE.search(flag):
            raise UsageError(
                f"{flag!r} is not a cpu flag",
                hint="write +aes, -pcid or sve=off after the model, with commas",
                where="--cpu",
            )
    return Cpu(model, tuple(flags))


def _machine_options(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the properties that follow the machine type: ``aia=aplic-imsic``."""
    found = []
    for word in words:
        key, sign, value = word.partition("=")
        if not (sign and _WORD.match(key) and _WORD.match(value)):
            raise UsageError(
                f"{word!r} is not a property of a machine type",
                hint="write it as virt,aia=aplic-imsic",
                where="--machine",
            )
        found.append((key, value))
    return tuple(found)


def _identity(machine: Machine, o: Overrides) -> Machine:
    """Return it with the name, the architecture and the machine type."""
    if o.name:
        if not _NAME.match(o.name):
            raise UsageError(
                f"{o.name!r} cannot be a VM's name",
                hint="at most 63 letters, digits, '.', '_' and '-'",
                where="--name",
            )
        machine = replace(machine, name=o.name)
    if o.arch:
        arch = _arch(o.arch)
        machine = replace(
            machine,
            arch=arch,
            # Of another board its owner has no command.
            started=machine.started if arch == machine.arch else None,
            left_behind=machine.left_behind if arch == machine.arch else (),
            notes=tuple(
                n
                for n in (*machine.notes, *(machine.left_behind if arch != machine.arch else ()))
                if not n.message.startswith(ARCH_NOT_SAID)
            ),
        )
        if machine.origin == "pve":
            # PVE adds the keyboard to the tablet on aarch64 only.
            machine = replace(machine, keyboard=machine.tablet and arch == "aarch64")
    if o.machine_type:
        entry = architecture(machine.arch)
        name, *rest = o.machine_type.split(",")
        options = _machine_options(rest)
        if not _WORD.match(name) or entry.platform(name) is None:
            raise UsageError(
                f"{name!r} is not a machine type of {entry.name} that serial ports can "
                "be planned on",
                hint=ports.nearest(name, [p.name for p in entry.platforms]),
                where="--machine",
            )
        machine = replace(
            machine, machine_type=name, machine_options=options or machine.machine_options,
            started=None, left_behind=(), notes=(*machine.notes, *machine.left_behind),
        )  # fmt: skip
    return machine


# ------------------------------------------------------------------ ports


def _numbered(machine: Machine, o: Overrides) -> Machine:
    """Return it with exactly the ports that ``ports`` asks for."""
    if o.ports is None:
        return machine
    count = _range("--ports", o.ports, 0, ports.MAX_INDEX + 1)
    kept = {port.index: port for port in machine.ports if port.index < count}
    notes = machine.notes
    if machine.where is not None and count:
        notes = tuple(n for n in notes if n != ports.no_ports_note(machine.where.file))
    if len(kept) < len(machine.ports):
        names = [port.name for port in machine.ports if port.index >= count]
        notes = (
            *notes,
            Note(
                "warning",
                f"--ports {count} leaves out {', '.join(names)} of the configuration",
                machine.where,
                "ask for more ports to keep them",
            ),
        )
    where, sockets = SourceRef("--ports"), _sockets(machine, o)
    for index in range(count):
        if index not in kept:
            chardev = ports.own_backend(
                "socket", index, name=machine.name, sockets=sockets, where=where
            )
            kept[index] = SerialPort(index, chardev, where=where)
    return replace(machine, ports=tuple(kept[n] for n in sorted(kept)), notes=notes)


def _sockets(machine: Machine, o: Overrides) -> str:
    """Return the path on which a bare ``socket`` listens, without the port's number."""
    if o.socket_dir:
        if not o.socket_dir.startswith("/"):
            raise UsageError(
                f"{o.socket_dir!r} is not an absolute directory",
                hint="begin it with /",
                where="--socket-dir",
            )
        return _text("--socket-dir", o.socket_dir.rstrip("/")) + "/serial"
    for port in machine.ports:
        if _is_own_socket(port):
            # Beside those of the file: PVE's are /var/run/qemu-server/100.serial0.
            assert isinstance(port.chardev.backend, UnixSocket)
            return port.chardev.backend.path.removesuffix(str(port.index))
    if machine.origin == "pve":
        # PVE's own line says only "socket", and PVE chooses this path.
        return f"/var/run/qemu-server/{machine.vmid}.serial"
    return ports.default_socket_dir(machine.name) + "/serial"


def _is_own_socket(port: SerialPort) -> bool:
    """Tell whether the port listens on a socket that is named after it."""
    backend = port.chardev.backend
    return (
        isinstance(backend, UnixSocket)
        and backend.server
        and not backend.abstract
        and backend.path.endswith(port.name)
    )


def _kinds(machine: Machine, o: Overrides) -> Machine:
    """Return it with the device kinds and hot-pluggability that were asked for."""
    kind = ports.kind_name(o.kind, "--type") if o.kind else ""
    console = ports.kind_name(o.console_kind, "--console") if o.console_kind else ""
    single = {index: ports.kind_name(name, "--type") for index, name in o.port_kinds}
    _known(machine, single, "--type")
    made = []
    for port in machine.ports:
        wanted = single.get(port.index) or (kind if port.index else console) or port.kind
        hotplug = port.hotplug if o.hotplug is None or port.index == 0 else o.hotplug
        made.append(replace(port, kind=wanted, hotplug=hotplug))
    return replace(machine, ports=tuple(made))


def _backends(machine: Machine, o: Overrides) -> Machine:
    """Return it with the backends that were asked for."""
    single = dict(o.port_backends)
    _known(machine, single, "--backend")
    if not (o.backend or single or o.socket_dir):
        return machine
    where, sockets = SourceRef("--backend"), _sockets(machine, o)
    found: dict[int, Chardev] = {}
    if o.backend:
        indexes = [port.index for port in machine.ports if port.index not in single]
        found = ports.shared_backend(
            o.backend, indexes, name=machine.name, sockets=sockets, where=where
        )
    elif o.socket_dir:
        # A directory alone moves the sockets that the file has, with their options.
        for port in machine.ports:
            backend = port.chardev.backend
            if _is_own_socket(port) and isinstance(backend, UnixSocket):
                there = ports.own_backend(
                    "socket", port.index, name=machine.name, sockets=sockets, where=where
                ).backend
                assert isinstance(there, UnixSocket)
                found[port.index] = replace(port.chardev, backend=replace(backend, path=there.path))
        if not found:
            raise UsageError(
                "--socket-dir moves the ports' own sockets, and none of them has one",
                hint="add --backend socket, or leave it out", where="--socket-dir",
            )  # fmt: skip
    for index, text in single.items():
        found[index] = ports.own_backend(
            text, index, name=machine.name, sockets=sockets, where=where
        )
    made = tuple(replace(p, chardev=found.get(p.index, p.chardev)) for p in machine.ports)
    ports.check_distinct(made, "give each port a place of its own")
    return replace(machine, ports=made)


def _known(machine: Machine, single: dict[int, str], option: str) -> None:
    """Refuse an option for a port that is not there."""
    present = {port.index for port in machine.ports}
    for index in single:
        if index not in present:
            names = ", ".join(port.name for port in machine.ports[:8]) or "none"
            raise ConfigError(
                f"there is no serial{index} to give this to",
                hint=f"ports: {names}; ask for more with --ports",
                where=option,
            )
