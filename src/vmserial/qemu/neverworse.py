"""Whether a mended command is worse than the one that its owner wrote, asked of a real QEMU.

Both are started paused, side by side, as private copies (:mod:`vmserial.qemu.isolation`):
nothing of the user's is opened.  The mended one is worse if it does not start where the
first one does, or if a port or another front end that was there before no longer is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmserial.errors import LostVMError, VmserialError
from vmserial.model import Capabilities
from vmserial.paths import RunDirectory
from vmserial.qemu.isolation import isolate
from vmserial.qemu.liveprobe import PortSeen, Probed, probe, understand
from vmserial.qemu.loop import run_interruptible
from vmserial.sources.command import CommandLine, CommandView

_DISCARDING = "discarding-"
"""Of the null chardev that QEMU gives a board's UART that no -serial is for."""

BOUND = 20.0
"""Seconds for both together; on an idle machine they take 0.3."""


@dataclass(frozen=True)
class Worse:
    """In which way a mended command is worse.

    Attributes:
        words: QEMU's own, why the mended one does not start; empty if it does.
        closed: ports and chardevs that a device had opened, and none has any more.
    """

    words: str = ""
    closed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it in one sentence."""
        if self.words:
            return f"the command starts as it is; mended it does not: {self.words}"
        return (
            f"mended, {', '.join(self.closed)} would be dead: QEMU opens it as it is, and no "
            "longer after the change (query-chardev: frontend-open)"
        )


def worse(
    before: CommandLine,
    after: CommandLine,
    *,
    binary: str = "",
    arch: str = "",
    root: Path | None = None,
    timeout: float = BOUND,
) -> Worse | None:
    """Start both commands paused and compare; None: the mended one is no worse.

    Not for an event loop.

    Args:
        before: the command as its owner starts it.
        after: the mended one.
        binary: the QEMU to ask; empty: the command's own if it is here, else ``$PATH``'s.
        arch: where neither the command's emulator nor its machine type tells it.
        root: where the files of -readconfig are; None: as named.
        timeout: seconds for both together.

    Raises:
        ConfigError: a value of a command, or a file of -readconfig, is broken.
        BinaryError: there is no such QEMU, or it cannot be asked.
        UsageError: the architecture is not known, or a device cannot be made private.
        QemuError, LostVMError: the first command's QEMU gave no answer.
    """
    view, capabilities = understand(before, binary=binary, arch=arch, root=root)
    mended, _ = understand(after, binary=capabilities.binary, arch=capabilities.target, root=root)
    return run_interruptible(_worse(view, mended, capabilities, timeout))


async def _worse(
    before: CommandView, after: CommandView, capabilities: Capabilities, timeout: float
) -> Worse | None:
    first, second = await asyncio.gather(
        _asked(before, capabilities, timeout), _asked(after, capabilities, timeout),
        return_exceptions=True,
    )  # fmt: skip
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, LostVMError) and first.starts:
        return Worse(second.message)
    if isinstance(second, BaseException):
        raise second
    return compared(first, second)


async def _asked(view: CommandView, capabilities: Capabilities, timeout: float) -> Probed:
    with RunDirectory() as rundir:
        private = isolate(view, capabilities, rundir.socket)
        return await probe(private, capabilities, rundir=rundir, timeout=timeout)


def compared(before: Probed, after: Probed) -> Worse | None:
    """Return in which way what QEMU says of the second command is worse; pure."""
    if not before.starts:
        return None
    if not after.starts:
        return Worse(after.words or "QEMU ended and said nothing")
    closed = tuple(_closed(before, after))
    return Worse(closed=closed) if closed else None


def _closed(before: Probed, after: Probed) -> Iterator[str]:
    """Yield the ports, then the other chardevs, that were in use and no longer are."""
    for port, now in _pairs(before.ports, after.ports):
        if alive(port) and (now is None or not alive(now)):
            yield port.name
    ports = {port.chardev_id for port in before.ports}
    for label, open_ in before.front_ends.items():
        own = label.startswith(_DISCARDING)
        if open_ and label not in ports and not own and not after.front_ends.get(label):
            yield f"the chardev {label}"


def _pairs(
    before: Sequence[PortSeen], after: Sequence[PortSeen]
) -> Iterator[tuple[PortSeen, PortSeen | None]]:
    """Yield each port of the first command and what it is in the second one; None: nothing.

    A chardev's id tells it.  A port without one may have got any id: it is known by its host
    side, and where that was mended as well it is one of those that are left.
    """
    named = {port.chardev_id for port in before if not port.inline}
    by_id = {port.chardev_id: port for port in after}
    left = [port for port in after if port.chardev_id not in named]
    open_: list[PortSeen] = []
    for port in before:
        if not port.inline:
            yield port, by_id.get(port.chardev_id)
            continue
        same = [one for one in left if one.host == port.host]
        if same:
            now = next((one for one in same if one.name == port.name), same[0])
            left.remove(now)
            yield port, now
        else:
            open_.append(port)
    for port in open_:
        yield port, left.pop(0) if left else None


def alive(port: PortSeen) -> bool:
    """Tell whether a device serves a port, and the guest has it without a client's help.

    A virtserialport opens its chardev only when the guest opens the port.
    """
    if port.driver == "virtserialport":
        return True
    return port.open is True and port.attached is not False


def checked(
    before: CommandLine,
    after: CommandLine,
    *,
    binary: str = "",
    arch: str = "",
    root: Path | None = None,
) -> tuple[Worse | None, str]:
    """As :func:`worse`; what cannot be compared is said in the second value, and not raised."""
    try:
        return worse(before, after, binary=binary, arch=arch, root=root), ""
    except VmserialError as error:
        return None, error.message
