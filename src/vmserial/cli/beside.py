"""The same work on many things, on all processors: processes beside this one, forked from it."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

WORTH = 32
"""Things from which on it pays: a process takes as long as about ten VMs of PVE."""


def each(work: Callable[[A], B], things: Sequence[A], *, processes: int | None = None) -> list[B]:
    """Return what is made of each thing, in their order.

    The first is done here and before all others: what it imports, and asks of QEMU, the others
    then have.  What a process cannot give is made here, where its error is seen.

    Args:
        work: makes one; what it gives can be pickled.
        things: what it is made of.
        processes: how many, this one among them; None: as many as there are processors.
    """
    count = processes or len(os.sched_getaffinity(0))
    if count < 2 or len(things) < WORTH:
        return [work(thing) for thing in things]
    first, rest = work(things[0]), things[1:]
    # What is there now stays: to look it through for garbage takes a twelfth of the time, and
    # would give each process a copy of it.
    gc.freeze()
    size = -(-len(rest) // count)
    parts = [rest[start : start + size] for start in range(0, len(rest), size)]
    children = [_begun(work, part) for part in parts[1:]]
    try:
        made = [first, *(work(thing) for thing in parts[0])]
        for part, child in zip(parts[1:], children, strict=True):
            there = child.read()
            made += [work(thing) for thing in part] if there is None else there
    finally:
        for child in children:
            child.end()
    return made


class _Child(Generic[B]):
    """A process that works on its part.

    Args:
        pid: its number.
        reader: where what it made can be read.
    """

    def __init__(self, pid: int, reader: int) -> None:
        self.pid, self.reader, self.ended = pid, reader, False

    def read(self) -> list[B] | None:
        """Wait for what it made; None where it failed."""
        with open(self.reader, "rb", closefd=False) as pipe:
            raw = pipe.read()
        self.ended = True
        if os.waitpid(self.pid, 0)[1]:
            return None
        made: list[B] = pickle.loads(raw)
        return made

    def end(self) -> None:
        """Leave nothing behind: it ends when nobody reads what it writes, or when it is done."""
        os.close(self.reader)
        if not self.ended:
            os.kill(self.pid, signal.SIGTERM)  # what it asks a QEMU is then ended, too
            os.waitpid(self.pid, 0)


def _begun(work: Callable[[A], B], part: Sequence[A]) -> _Child[B]:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn where there are threads: none of ours holds a lock here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        os.close(writer)
        return _Child(pid, reader)
    code = 1
    try:
        os.close(reader)
        raw = pickle.dumps([work(thing) for thing in part])
        with open(writer, "wb") as pipe:  # noqa: PTH123 - a descriptor
            pipe.write(raw)
        code = 0
    finally:
        # Nothing of what the process above it has to end is this one's to end.
        os._exit(code)
