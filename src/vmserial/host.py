"""What the host's own files and devices have against a plan, looked at before the start."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from vmserial.doctor import Finding, Severity
from vmserial.model import File, HostTty, Pipe, Plan, SerialPort, UnixSocket


def check(made: Plan) -> tuple[Finding, ...]:
    """Return what would keep QEMU from opening the plan's backends, disks and kernels."""
    found: list[Finding] = []
    for assignment in made.assignments:
        found += _port(assignment.port)
    machine = made.machine
    files = [(f"{d.bus}{d.index}", d.path) for d in machine.disks if d.path]
    if machine.boot is not None:
        files += [("kernel", machine.boot.kernel), ("initrd", machine.boot.initrd)]
    for option in made.options:
        if option.role == "firmware" and option.flag == "-bios" and option.raw:
            files.append(("firmware", option.raw))
        files += [("firmware", str(v)) for k, v in option.params
                  if option.role == "firmware" and k == "file"]  # fmt: skip
    for what, path in files:
        if path and not Path(path).exists():
            found.append(
                _finding(
                    "file-missing", f"{what}: {path} does not exist", "QEMU cannot open it",
                    "give the path of an existing file",
                )
            )  # fmt: skip
    return tuple(found)


def _finding(id: str, happens: str, why: str, fix: str, port: SerialPort | None = None) -> Finding:
    return Finding(
        id,
        Severity.FAILS,
        happens,
        why,
        fix,
        (port.name,) if port else (),
        port.where if port else None,
    )


def _port(port: SerialPort) -> Iterator[Finding]:
    backend = port.chardev.backend
    if isinstance(backend, HostTty):
        yield from _character_device(port, backend.path)
    elif isinstance(backend, UnixSocket) and not backend.abstract:
        yield from _unix_socket(port, backend)
    elif isinstance(backend, File):
        yield from _directory(port, backend.path)
    elif isinstance(backend, Pipe) and not any(
        Path(backend.path + end).exists() for end in ("", ".in")
    ):
        yield _finding(
            "pipe-missing",
            f"{port.name}: neither {backend.path} nor {backend.path}.in exists",
            "QEMU opens a pipe, it does not make it",
            f"mkfifo {backend.path}.in {backend.path}.out",
            port,
        )
    if port.chardev.logfile:
        yield from _directory(port, port.chardev.logfile)


def _character_device(port: SerialPort, path: str) -> Iterator[Finding]:
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        yield _finding(
            "tty-missing",
            f"{port.name}: {path}: {error.strerror}",
            "no such serial device",
            "name a tty of this host, or use socket",
            port,
        )
        return
    if not stat.S_ISCHR(mode):
        yield _finding(
            "tty-not-a-device",
            f"{port.name}: {path} is not a character device",
            "a host tty must be one, or QEMU would write into a file",
            "name a tty of this host, or use file=PATH",
            port,
        )


def _directory(port: SerialPort, path: str) -> Iterator[Finding]:
    parent = Path(path).parent
    if not parent.is_dir():
        yield _finding(
            "directory-missing",
            f"{port.name}: the directory {parent} does not exist",
            "QEMU makes the file or socket, not its directory",
            f"mkdir -p {parent}",
            port,
        )


def _unix_socket(port: SerialPort, backend: UnixSocket) -> Iterator[Finding]:
    if not backend.server:
        if not Path(backend.path).exists() and not backend.reconnect_ms:
            yield _finding(
                "socket-missing",
                f"{port.name}: nobody listens on {backend.path}",
                "QEMU is the client here and does not start without its server",
                "start the server first, or add reconnect=5",
                port,
            )
        return
    yield from _directory(port, backend.path)
    if Path(backend.path).exists() and listened(backend.path):
        yield _finding(
            "socket-in-use",
            f"{port.name}: somebody already listens on {backend.path}",
            "QEMU would take the path away from a running VM",
            "stop that VM, or give the port another path",
            port,
        )


def listened(path: str) -> bool:
    """Tell whether a process listens on ``path``, without connecting to it.

    A connection would be the one client of another VM's port; /proc/net/unix
    (proc(5)) shows listeners by the flag __SO_ACCEPTCON, 0x10000.
    """
    wanted = str(Path(path).absolute())
    try:
        lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
    except OSError:
        return False
    for line in lines:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and int(fields[3], 16) & 0x10000 and fields[7] == wanted:
            return True
    return False
