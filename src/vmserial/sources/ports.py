"""What all readers share about serial ports: numbers, kinds, default and shared backends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import get_args

from vmserial import chardevs
from vmserial.devices import KINDS
from vmserial.errors import ConfigError
from vmserial.model import (
    Backend,
    Chardev,
    File,
    HostTty,
    Note,
    Pipe,
    PortState,
    Pty,
    SerialPort,
    SourceRef,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
)
from vmserial.sources.pve.values import UNPRINTABLE

MAX_INDEX = 4095
"""The last port's number.  No machine carries as many; past it a number is a mistake."""

STATES: tuple[str, ...] = get_args(PortState)

_PLACEHOLDER = re.compile(r"\{([a-z_]*)\}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a name that is not known: the nearest one, else all of them."""
    names = [str(entry) for entry in known]
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"


def kind_name(name: str, where: str) -> str:
    """Return ``name`` if it is ``auto`` or a device kind.

    Raises:
        ConfigError: it is neither; the nearest name is in the hint.
    """
    if name != "auto" and name not in KINDS:
        raise ConfigError(
            f"there is no device type {name!r}",
            hint=nearest(name, ("auto", *KINDS)),
            where=where,
        )
    return name


def default_socket_dir(name: str) -> str:
    """Return the directory of a VM's sockets where nobody named one."""
    return f"/run/vmserial/{name}"


def own_backend(
    text: str, index: int, *, name: str, sockets: str, where: SourceRef | None
) -> Chardev:
    """Return the backend of one port; ``{n}`` is its number and ``{name}`` the VM's name.

    Args:
        text: in the form of :func:`vmserial.chardevs.parse`.
        index: the port's number.
        name: the VM's name.
        sockets: a bare ``socket`` listens on this path with the number after it.
        where: for the error's place.

    Raises:
        ConfigError: the text is wrong.
    """
    for placeholder in _PLACEHOLDER.findall(text):
        if placeholder not in {"n", "name"}:
            raise ConfigError(
                f"{{{placeholder}}} is not a placeholder",
                hint="{n} is the port's number, {name} the VM's name",
                where=str(where or ""),
            )
    own = text.replace("{n}", str(index)).replace("{name}", name)
    if UNPRINTABLE.search(own):
        raise ConfigError(
            f"the backend of serial{index} holds a control character or is not UTF-8",
            hint="remove these bytes",
            where=str(where or ""),
        )
    return chardevs.parse(own, where, socket_path=f"{sockets}{index}")


def shared_backend(
    text: str, indexes: Sequence[int], *, name: str, sockets: str, where: SourceRef | None
) -> dict[int, Chardev]:
    """Return the backend of each port where one text was given for all of them.

    Where ``{n}`` is absent, a TCP or UDP port counts up with the port's number, and
    what cannot be shared (a file, a device, a socket's path, stdio) is an error.

    Args:
        text: as in :func:`own_backend`.
        indexes: the ports' numbers.
        name: as in :func:`own_backend`.
        sockets: as in :func:`own_backend`.
        where: as in :func:`own_backend`.

    Raises:
        ConfigError: the text is wrong, or the ports would collide.
    """
    found: dict[int, Chardev] = {}
    for index in indexes:
        chardev = own_backend(text, index, name=name, sockets=sockets, where=where)
        if "{n}" not in text:
            chardev = replace(chardev, backend=_counted(chardev, index, where))
        found[index] = chardev
    check_distinct(
        [SerialPort(index, chardev, where=where) for index, chardev in found.items()],
        "put {n} into it: each port then has its own",
    )
    return found


def _counted(chardev: Chardev, index: int, where: SourceRef | None) -> Backend:
    """Return the backend with its network ports moved up by the port's number."""
    backend = chardev.backend
    moved: Backend
    if isinstance(backend, TcpSocket) and backend.port:
        moved = replace(
            backend,
            port=backend.port + index,
            to=None if backend.to is None else backend.to + index,
        )
        last = index + max(backend.port, backend.to or 0)
    elif isinstance(backend, Udp):
        local = None if not backend.localport else backend.localport + index
        moved = replace(backend, port=backend.port + index, localport=local)
        last = index + max(backend.port, backend.localport or 0)
    else:
        return backend
    if last > 65535:
        raise ConfigError(
            f"the network port of serial{index} would be {last}",
            hint="start lower: the number counts up with the port's",
            where=str(where or ""),
        )
    return moved


def _claims(chardev: Chardev) -> list[str]:
    """Return what on the host this backend has for itself."""
    backend = chardev.backend
    claims = [f"the log {chardev.logfile}"] if chardev.logfile else []
    match backend:
        case UnixSocket():
            claims.append(f"the socket {backend.path}")
        case TcpSocket() if backend.server and backend.port:
            claims.append(f"the TCP port {backend.host}:{backend.port}")
        case Udp() if backend.localport:
            claims.append(f"the UDP port {backend.localaddr}:{backend.localport}")
        case HostTty() | Pipe():
            claims.append(backend.path)
        case File():
            claims.append(f"the file {backend.path}")
        case Pty() if backend.path:
            claims.append(f"the link {backend.path}")
        case Stdio():
            claims.append("stdio")
        case _:
            pass
    return claims


def check_distinct(ports: Iterable[SerialPort], hint: str) -> None:
    """Refuse two ports that would share something on the host.

    Raises:
        ConfigError: naming both ports and what they would share.
    """
    owners: dict[str, SerialPort] = {}
    for port in ports:
        for claim in _claims(port.chardev):
            first = owners.setdefault(claim, port)
            if first is not port:
                raise ConfigError(
                    f"{first.name} and {port.name} would share {claim}",
                    hint=hint,
                    where=str(port.where or ""),
                )


def no_ports_note(file: str) -> Note:
    """Return the note about a description that has no serial port at all."""
    return Note(
        "warning",
        "no serial port is configured",
        SourceRef(file),
        "add one (PVE: 'serial0: socket', TOML: 'ports = 1'), or use --ports",
    )
