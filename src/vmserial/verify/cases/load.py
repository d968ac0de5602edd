"""A device that is taken out of the middle of a stream."""

from __future__ import annotations

import asyncio

from vmserial.errors import LostVMError, ShellError
from vmserial.verify import plugging
from vmserial.verify.results import Check, Fault, FaultKind, Verdict
from vmserial.verify.session import Session
from vmserial.verify.wire.alignment import KEY, common_prefix
from vmserial.verify.wire.transfer import Line, Transfer

PIECE = (65536,)
"""Payload of the stream's one frame, which is sent again and again."""

_PIECES = 64
_SENT = 65536
"""Bytes of 4 MiB that have come from the guest when its device is taken out."""

_RECEIVED = 16
"""The same for what the guest receives; a 16550 needs a millisecond for it."""

_DISCONNECT = 3.0
"""Seconds within which QEMU notices that a client is gone; a pty's is looked at once a second."""


async def leave(session: Session, line: Line) -> None:
    """Close the host's end of a port and wait until QEMU has seen it, within a bound."""
    await line.endpoint.close()
    loop = asyncio.get_running_loop()
    end = loop.time() + _DISCONNECT
    while loop.time() < end:
        for chardev in await session.vm.monitor.execute("query-chardev"):
            name = str(chardev["filename"])
            if chardev["label"] == line.assignment.chardev_id and name.startswith("disconnected:"):
                return
        # There is no event for it.
        await asyncio.sleep(0.01)


async def cut_sender(session: Session, line: Line, transfer: Transfer, check: Check) -> None:
    """Unplug while the guest sends, and decide the check.

    Raises:
        ShellError, MonitorError: the stream did not begin, or the device did not go.
        LostVMError: the VM was lost.
    """
    await session.exchange.upload([transfer])
    assert transfer.upload is not None
    file = transfer.upload.file
    load = f"{file}.load"
    await session.shell.run(
        f"vs_i=0; while [ $vs_i -lt {_PIECES} ]; do cat {file}; vs_i=$((vs_i + 1)); done >{load}",
        session.limits.command,
    )
    bound = session.limits.bytes(len(transfer.out.data) * _PIECES)
    endpoint = line.endpoint
    endpoint.clear()
    stream = asyncio.ensure_future(session.agent.send(line.path, load, bound))
    try:
        await session.exchange.standstill.drained(line.ends, _SENT, session.limits.transfer)
        _under_way(line, endpoint.count, _SENT)
        took = await plugging.unplug(session, line)
    finally:
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
    await session.shell.run(f"rm -f {file} {load}", session.limits.command)
    carried = endpoint.received
    fault, words = before_unplug(carried, transfer.out.data, line.assignment.kind)
    session.registry.decide(
        check,
        verdict=Verdict.FAIL if fault else Verdict.PASS,
        bytes=len(carried),
        detail=f"taken out after {len(carried)} bytes, in {took:.3f} s{words}",
        faults=(Fault(fault, "before the unplug"),) if fault else (),
    )


def before_unplug(carried: bytes, sent: bytes, kind: str) -> tuple[FaultKind | None, str]:
    """Return what is wrong with what came of a stream, if anything is, and the words for it.

    A virtconsole is not held back by a client that reads too slowly: QEMU drops what it cannot
    hand on (hw/char/virtio-console.c, ``flush_buf()``, throttles a port that is no console), so
    a gap in a stream at full speed tells of this busy host, and not of the unplug.
    """
    gone = missing(carried, sent)
    if gone is None:
        return FaultKind.CORRUPT, "; what came before was not what was sent"
    if gone and kind == "virtconsole":
        return None, f"; QEMU dropped {gone} before, as a virtconsole's reader was too slow"
    return (FaultKind.LOSS, f"; {gone} of those before are missing") if gone else (None, "")


def missing(carried: bytes, sent: bytes) -> int | None:
    """Return how many bytes are left out of a stream; None if anything else came.

    Args:
        carried: what came of it, from its beginning on.
        sent: what it repeats; random, so that a few bytes tell where in it they are from.
    """
    twice = sent * 2
    done = at = gone = 0
    while done < len(carried):
        run = common_prefix(carried, done, twice, at)
        done, at = done + run, (at + run) % len(sent)
        if run >= len(sent) or done == len(carried):
            continue
        found = twice.find(carried[done : done + KEY], at)
        if found < 0 or done + gone + found - at > _PIECES * len(sent):
            return None
        gone, at = gone + found - at, found % len(sent)
    return gone


async def cut_receiver(session: Session, line: Line, transfer: Transfer, check: Check) -> None:
    """Unplug while the guest receives, and decide the check; errors as :func:`cut_sender`.

    From a usb-serial the client goes first, as it must for every user: QEMU's
    goes on taking bytes from its chardev after the device has left its bus, and
    usb_wakeup() then follows a null pointer (SIGSEGV on 5.2, 7.2, 10.0 and 11.1).
    """
    data, limits = transfer.into.data * _PIECES, session.limits
    stream = asyncio.ensure_future(line.endpoint.send(data, limits.bytes(len(data))))
    try:
        wanted = line.came + _RECEIVED
        count = await session.agent.counted(line.path, wanted, limits.transfer, limits.idle)
        _under_way(line, count - line.came, _RECEIVED)
        left = ""
        if line.assignment.kind == "usb":
            stream.cancel()
            await leave(session, line)
            left = ", its client having left in mid-stream"
        took = await plugging.unplug(session, line)
    finally:
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
    session.registry.decide(
        check,
        verdict=Verdict.PASS,
        detail=f"taken out of {len(data)} bytes, after {count - line.came} of them or a little "
        f"more, in {took:.3f} s{left}",
    )


def _under_way(line: Line, count: int, wanted: int) -> None:
    if count < wanted and line.endpoint.gone:
        raise LostVMError(
            f"{line.name}, the host's end: {line.endpoint.gone}", hint="QEMU may have ended"
        )
    if count < wanted:
        raise ShellError(
            f"the stream did not get under way: {count} bytes came",
            hint="see the guest's messages",
        )
