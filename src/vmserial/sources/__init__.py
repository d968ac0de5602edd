"""Text into a Machine: PVE configurations, libvirt domains, our own TOML, QEMU commands.

:func:`load` reads a file of any kind; its content tells which
(:mod:`vmserial.sources.detect`).
"""

from __future__ import annotations

import os
import re
import select
import stat

from vmserial.errors import ConfigError, UsageError
from vmserial.model import Machine
from vmserial.sources.detect import Kind, detect, refused_binary

MAX_BYTES = 4 << 20
"""No configuration is larger; whatever is, is another kind of file."""

WAIT_SECONDS = 10.0
"""How long a pipe may be silent before reading it is given up."""


def load(
    path: str,
    *,
    vmid: int | None = None,
    snapshot: str | None = None,
    pending: bool = False,
    arch: str = "",
) -> Machine:
    """Read a configuration file.

    Args:
        path: of a PVE configuration, a libvirt domain, TOML of our own or a QEMU command.
        vmid: a PVE VM's number; else it is the file's name if that is ``<digits>.conf``.
        snapshot: of a PVE configuration, this snapshot instead of the current settings.
        pending: of a PVE configuration, as it is after the pending changes.
        arch: of a PVE configuration or a command, the architecture where it does not say one.

    Raises:
        UsageError: the file is not there or cannot be read.
        ConfigError: it is no configuration, or a wrong one.
    """
    return of_bytes(
        read_bytes(path), path, vmid=vmid, snapshot=snapshot, pending=pending, arch=arch
    )


def of_bytes(
    raw: bytes,
    name: str,
    *,
    kind: Kind | None = None,
    vmid: int | None = None,
    snapshot: str | None = None,
    pending: bool = False,
    arch: str = "",
) -> Machine:
    """Read what :func:`load` reads, from its bytes.

    Args:
        raw: all bytes of it.
        name: what messages call it; ``…/100.conf`` tells a PVE VM's number.
        kind: what it is where that is known already.
        vmid: as :func:`load` takes it.
        snapshot: as :func:`load` takes it.
        pending: as :func:`load` takes it.
        arch: as :func:`load` takes it.

    Raises:
        ConfigError: it is no configuration, or a wrong one.
    """
    kind = kind or detect(raw, name)
    if kind != "pve" and (snapshot is not None or pending):
        raise _no_snapshots(name)
    # Each reader is imported where it is needed: the others' modules cost a warm command
    # line several milliseconds.
    if kind == "domain":
        from vmserial.sources import libvirt

        return libvirt.machine(libvirt.Domain.of(libvirt.Document.parse(raw, name)))
    if kind == "toml":
        from vmserial.sources.toml.reader import read

        return read(_utf8(name, raw), name)
    if kind == "command":
        from vmserial.sources.command import CommandLine
        from vmserial.sources.command.machine import machine as of_command

        return of_command(CommandLine.from_bytes(raw, name), arch=arch, read_file=read_file)
    from vmserial.sources.pve import Document, machine

    # A byte that is not UTF-8 must survive, so that the document stays lossless.
    document = Document.parse(raw.decode("utf-8", "surrogateescape"), name)
    if vmid is None and (match := re.search(r"(?:\A|/)([0-9]{1,9})\.conf\Z", name)):
        vmid = int(match.group(1))
    return machine(document, vmid, snapshot=snapshot, pending=pending, arch=arch)


def read_file(path: str) -> str:
    """Read a file that a command's -readconfig names.

    Raises:
        ConfigError: it is larger than any configuration.
        ValueError: it cannot be read.
    """
    try:
        return read_bytes(path).decode("utf-8", "surrogateescape")
    except ConfigError:
        raise
    except UsageError as error:
        raise ValueError(error.message.removeprefix("cannot read the configuration: ")) from None


def _no_snapshots(path: str) -> UsageError:
    return UsageError(
        "only a PVE configuration has snapshots and pending changes",
        hint="leave that option out",
        where=path,
    )


def read_bytes(path: str) -> bytes:
    """Read a file of bounded size; a pipe may be silent for a bounded time.

    Raises:
        UsageError: it is not there, cannot be read, or is silent.
        ConfigError: it is larger than any configuration.
    """
    try:
        # Non-blocking: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"cannot read the configuration: {words}",
            hint="check the path; a PVE configuration is /etc/pve/qemu-server/<VMID>.conf",
            where=path.encode("utf-8", "backslashreplace").decode(),
        ) from None
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise UsageError(
                "this is a directory, not a configuration",
                hint="name a file in it, such as 100.conf",
                where=path,
            )
        pieces: list[bytes] = []
        size = 0
        while size <= MAX_BYTES:
            if not select.select([descriptor], [], [], WAIT_SECONDS)[0]:
                raise UsageError(
                    f"nothing came from the pipe for {WAIT_SECONDS:g} s",
                    hint="check what writes to it, or give a file",
                    where=path,
                )
            piece = os.read(descriptor, MAX_BYTES + 1 - size)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
    except OSError as error:
        raise UsageError(
            f"cannot read the configuration: {error.strerror}",
            hint="check the file and its permissions",
            where=path,
        ) from None
    finally:
        os.close(descriptor)
    if refused := refused_binary(pieces[0], path):
        raise refused
    raise ConfigError(
        f"the file is larger than {MAX_BYTES >> 20} MiB: it is no configuration",
        hint="give the configuration (100.conf or a .toml file), not a disk or a kernel",
        where=path,
    )


def _utf8(path: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"byte {raw[error.start]:#04x} is not UTF-8, as TOML must be",
            hint="save the file as UTF-8",
            where=f"{path}:{line}",
        ) from None
