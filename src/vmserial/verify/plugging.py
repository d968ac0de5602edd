"""Ports that are plugged and unplugged on a running VM, over QMP."""

from __future__ import annotations

import asyncio

from vmserial import chardevs
from vmserial.errors import MonitorError, ShellError
from vmserial.model import Assignment, Pty
from vmserial.verify import mutants, unattended
from vmserial.verify.readback import PERIPHERAL
from vmserial.verify.results import Check, Fault, FaultKind
from vmserial.verify.session import Session
from vmserial.verify.wire.endpoints import PTY_NOTICED
from vmserial.verify.wire.transfer import Line


async def unplug(session: Session, line: Line) -> float:
    """Take the port's device out, wait until QEMU and the guest have let go of it.

    Neither waits for the other; the port is closed as soon as the guest has lost it.

    Returns:
        How long it took, in seconds.

    Raises:
        MonitorError: QEMU refused, or it or the guest did not let go within its bound.
    """
    device = line.assignment.device
    assert device is not None
    begin = session.since()
    with session.vm.monitor.expect(
        "DEVICE_DELETED", lambda data: data.get("device") == device.id,
        f"DEVICE_DELETED of {device.id}",
    ) as deleted:  # fmt: skip
        await session.vm.monitor.execute("device_del", id=device.id)
        # QEMU says it 20 ms after the guest has lost it; the port is let go of in between.
        told, gone = await asyncio.gather(
            deleted.wait(session.limits.node), _gone(session, line), return_exceptions=True
        )
    if isinstance(told, BaseException):
        raise told
    if isinstance(gone, ShellError):
        what = f"QEMU says that {device.id} was deleted, and {gone.message}"
        line.trouble = line.trouble or (Fault(FaultKind.LEFTOVER, what),)
        raise _not_done(what, "device_del")
    if isinstance(gone, BaseException):
        raise gone
    took = session.since() - begin
    # What QEMU says it did is not yet done: its object tree has to say so, too.
    left = await session.vm.monitor.execute("qom-list", path=PERIPHERAL)
    if any(one["name"] == device.id for one in left):
        raise _not_done(f"QEMU says that {device.id} was deleted, and still has it", "device_del")
    return took


async def _gone(session: Session, line: Line) -> None:
    """Wait until the guest has lost a device, and have it let go of its port."""
    await session.agent.gone(line.assignment.identity, session.limits.node)
    if line.node is not None:
        await session.agent.close(line.path)
        line.left()


def _not_done(what: str, command: str) -> MonitorError:
    return MonitorError(
        what, command=command, error_class="NotDone", hint="is something between us and QEMU?"
    )


async def plug(session: Session, line: Line, unseen: Check | None = None) -> float:
    """Put the port's device in, wait for its node and open it.

    Args:
        session: of the VM.
        line: the port.
        unseen: nobody has opened its chardev; that is done when this check has said whether the
            guest had its node before.

    Returns:
        How long the guest took to show the node, in seconds.

    Raises:
        MonitorError: QEMU refused it.
    """
    device = line.assignment.device
    assert device is not None
    line.trouble = ()
    begin = session.since()
    await session.vm.monitor.execute("device_add", device.qmp())
    if unseen is not None:
        await unattended.first(session, [line], session.limits.node, lambda _: unseen)
    async for _ in session.found([line], session.limits.node):
        return session.seconds["nodes"] - begin
    return session.since() - begin


async def add_chardev(session: Session, assignment: Assignment) -> Line:
    """Create the port's chardev on the running VM and connect to it."""
    port = assignment.port
    answer = await session.vm.monitor.execute(
        "chardev-add",
        chardevs.qmp(port.name, port.chardev, session.environment.capabilities.version),
    )
    places = await session.ends.places(session.vm)
    if "pty" in (answer or {}):
        places[port.name] = f"pty:{answer['pty']}"
    line = Line(assignment)
    await session.ends.connect(line, places)
    session.lines[line.name] = line
    if isinstance(port.chardev.backend, Pty):
        await asyncio.sleep(PTY_NOTICED)
    return line


async def remove_chardev(session: Session, line: Line) -> None:
    """Remove the port's chardev from the running VM.

    QEMU says "busy" for a moment after device_del (7.2 and 10.0), so it is
    asked again within the bound.

    Raises:
        MonitorError: QEMU refused it for longer than that.
    """
    end = session.since() + session.limits.command
    pause = 0.01
    while True:
        try:
            await session.vm.monitor.execute("chardev-remove", id=line.name)
        except MonitorError as error:
            if "busy" not in error.message or session.since() + pause > end:
                raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)
        else:
            break
    if line.assignment.chardev_id in await session.ends.places(session.vm):
        raise _not_done(
            f"QEMU says that chardev {line.name} was removed, and still has it", "chardev-remove"
        )
    await line.endpoint.close()
    del session.lines[line.name]


async def renew_chardev(session: Session, line: Line) -> None:
    """Replace the chardev of a port whose device is out by a fresh one of the same kind.

    What a client sent and no device took stays in the old one and would be the
    first that the next device receives, at any later time.

    Raises:
        MonitorError: QEMU refused it.
    """
    await remove_chardev(session, line)
    fresh = await add_chardev(session, line.assignment)
    line.endpoint = fresh.endpoint
    for mutant in (mutants.parse(text, session.seed) for text in session.request.mutants):
        # What was put into the old connection's path belongs into the new one's.
        if mutant.port == line.name and not mutant.other:
            mutant.install({line.name: line.endpoint})
    session.lines[line.name] = line
