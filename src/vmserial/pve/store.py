"""A configuration written back: under PVE's lock, with a backup, whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

from vmserial.errors import ConfigError
from vmserial.files import LOCK_SECONDS, locked, replace_file
from vmserial.pve.tree import Conf, raw_of
from vmserial.sources.pve import Document

PVE_LOCKS = Path("/var/lock/qemu-server")
"""Where PVE's lock files are."""


def apply(conf: Conf, mended: Document, *, seconds: float = LOCK_SECONDS) -> Path:
    """Write ``mended`` in the place of what ``conf`` was read from; return the backup's path.

    Raises:
        ConfigError: as :func:`write`.
    """
    return write(conf, raw_of(mended), seconds=seconds)


def write(conf: Conf, new: bytes, *, seconds: float = LOCK_SECONDS) -> Path:
    """Write ``new`` in the place of what ``conf`` was read from; return the backup's path.

    PVE guards each VM by flock(2) on a file of its own and by ``lock:`` in the
    configuration, which a task keeps that lasts (a backup, a migration).

    Raises:
        ConfigError: a task works on the VM, another process holds the lock, the VM is on
            another node, the file changed since it was read, or it cannot be written.
    """
    place = conf.place
    if place.live and place.elsewhere:
        raise ConfigError(
            f"VM {place.vmid} is on node {place.node}, whose lock cannot be taken from here",
            hint=f"call it there: 'ssh {place.node}', and the same command with {place.vmid}",
            where=str(place.path),
        )
    check_lock(conf)
    if place.live:
        # PVE makes it with its first task after a boot; until then it may be missing.
        with contextlib.suppress(OSError):
            PVE_LOCKS.mkdir(mode=0o755)
    with locked(place.lock, seconds):
        return replace_file(place.path, conf.raw, new, place.backups)


def check_lock(conf: Conf) -> None:
    """Refuse a VM on which one of PVE's tasks works.

    Raises:
        ConfigError: its configuration has ``lock:``.
    """
    setting = conf.document.main.values.get("lock")
    if setting is not None:
        raise ConfigError(
            f"the VM is locked by a task of PVE: {setting.value}",
            hint=f"wait for its end; after a crash of that task: qm unlock {conf.place.vmid}",
            where=f"{conf.place.path}:{setting.line}",
        )
