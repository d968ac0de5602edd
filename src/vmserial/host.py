"""Looks at the host: what stands at the paths and ports that a command names."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping

from vmserial.model.host import Family, HostFacts, PathKind, TcpListener
from vmserial.values import is_on

_LISTEN = "0A"
"""TCP_LISTEN of include/net/tcp_states.h, as /proc/net/tcp prints it."""

_ACCEPTS = 0x10000
"""__SO_ACCEPTCON in the flags of /proc/net/unix (proc(5)): somebody listens."""

_WITH_PATH = frozenset({"serial", "tty", "parallel", "parport", "file", "pipe", "pty"})


def look(sides: Iterable[tuple[str, Mapping[str, str]]], files: Iterable[str] = ()) -> HostFacts:
    """Look at what backends and files need of this host.

    Nothing is opened and nobody is connected to: a connection would be the one client of
    another VM's port.

    Args:
        sides: backends (by -chardev's name) with their keys, as -chardev has them.
        files: further paths (kernels, disks).
    """
    wanted: list[str] = []
    tcp = unix = False
    for backend, params in sides:
        path = params.get("path", "")
        wanted += [params.get("logfile", ""), params.get("input-path", "")]
        if backend == "socket":
            tcp = tcp or bool(params.get("port"))
            unix = unix or bool(path)
            wanted.append("" if is_on(params.get("abstract")) else path)
        elif backend in _WITH_PATH:
            wanted.append(path)
        if backend == "pipe" and path:
            wanted += [f"{path}.in", f"{path}.out"]
    paths = {path: kind_of(path) for path in filter(None, (*wanted, *files))}
    for path in tuple(paths):
        directory = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
        if directory not in paths:
            paths[directory] = kind_of(directory)
    listeners = _tcp() if tcp else None
    return HostFacts(
        paths, _unix() if unix else frozenset(), listeners or (), listeners is not None
    )  # fmt: skip


def kind_of(path: str) -> PathKind:
    """Tell what stands at a path, its links followed."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - pathlib takes 4 ms to import
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError):
        return "unknown"
    kinds: tuple[tuple[int, PathKind], ...] = (
        (stat.S_IFREG, "file"), (stat.S_IFDIR, "directory"), (stat.S_IFIFO, "fifo"),
        (stat.S_IFSOCK, "socket"), (stat.S_IFCHR, "character"), (stat.S_IFBLK, "block"),
    )  # fmt: skip
    return next((kind for bits, kind in kinds if stat.S_IFMT(mode) == bits), "unknown")


def listened(path: str) -> bool:
    """Tell whether a process listens on ``path``, without connecting to it."""
    return os.path.abspath(path) in _unix()  # noqa: PTH100 - as above


def _unix() -> frozenset[str]:
    found = set()
    for line in _lines("/proc/net/unix") or ():
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and int(fields[3], 16) & _ACCEPTS:
            found.add(fields[7])
    return frozenset(found)


def _tcp() -> tuple[TcpListener, ...] | None:
    """Return the TCP listeners of this network namespace; None where they cannot be read."""
    found: list[TcpListener] = []
    seen = False
    families: tuple[tuple[Family, str], ...] = ((4, "/proc/net/tcp"), (6, "/proc/net/tcp6"))
    for family, file in families:
        lines = _lines(file)
        seen = seen or lines is not None
        for line in lines or ():
            fields = line.split()
            if len(fields) < 4 or fields[3] != _LISTEN:
                continue
            address, _, port = fields[1].partition(":")
            found.append(TcpListener(family, _address(family, address), int(port, 16)))
    return tuple(found) if seen else None


def _address(family: Family, text: str) -> str:
    """Return an address in the usual form; each 32-bit word is printed as the host's integer."""
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if family == 4:
        return ".".join(map(str, raw))
    if not any(raw[:-1]) and raw[-1] < 2:
        return "::1" if raw[-1] else "::"
    return ":".join(f"{int.from_bytes(raw[at : at + 2], 'big'):x}" for at in range(0, 16, 2))


def _lines(file: str) -> list[str] | None:
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 - as above
            return stream.read().splitlines()[1:]
    except OSError:
        return None
