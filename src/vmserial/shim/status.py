"""Is an installed shim whole, does it know its binary, what did it change last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

from vmserial import __version__
from vmserial.errors import UsageError
from vmserial.shim import bundle, places
from vmserial.shim.diversion import Diversion
from vmserial.shim.facts import Facts
from vmserial.shim.install import damaged
from vmserial.shim.places import Record
from vmserial.shim.tree import Tree

AGAIN = "run vmserial shim install --again"
_TAIL = 64 << 10


@dataclass(frozen=True)
class State:
    """One installation.

    Attributes:
        target: the wrapper's path; where nothing is known of it, its directory.
        record: what it wrote down about itself.
        facts: what it knows.
        wrong: what is wrong, each with what to do.
        notes: what is only to be known.
        last: the last lines of the log about it.
    """

    target: str
    record: Record | None
    facts: Facts | None
    wrong: tuple[str, ...]
    notes: tuple[str, ...]
    last: tuple[str, ...]


def states(tree: Tree, base: str, lines: int = 5) -> Iterator[State]:
    """Yield the state of each installation.

    Raises:
        UsageError: the base cannot be read.
    """
    for key, record in places.installations(tree, base):
        if record is None:
            text = f"half-installed, or damaged: {AGAIN}, or vmserial shim remove"
            yield State(f"{base}/{key}", None, None, (text,), (), ())
            continue
        facts = _facts(tree, record)
        yield State(
            record.target, record, facts, tuple(_wrong(tree, record, facts)),
            tuple(_notes(record)), _last(tree, record, lines),
        )  # fmt: skip


def _facts(tree: Tree, record: Record) -> Facts | None:
    try:
        return Facts.from_json(json.loads(tree.at(f"{record.home}/facts.json").read_bytes()))
    except (OSError, ValueError, UsageError):
        return None


def _wrong(tree: Tree, record: Record, facts: Facts | None) -> Iterator[str]:
    home = places.wrapper_home(tree, record.target)
    if home is None:
        yield f"no wrapper stands at {record.target}: {AGAIN}, or vmserial shim remove"
    else:
        text = bundle.wrapper(record.python, record.real, record.home, record.log)
        if home != record.home or tree.at(record.target).read_bytes() != text:
            yield f"the wrapper is not the one that this version makes: {AGAIN}"
    for path in damaged(tree, record):
        yield f"{path} was changed or is not safe: {AGAIN}"
    if not tree.at(record.real).is_file():
        yield (
            f"the real binary {record.real} is gone: install its package again, or run "
            "vmserial shim remove"
        )
    elif facts is None or facts.binary != tree.key(record.real):
        yield f"the binary has changed since the installation, its facts are stale: {AGAIN}"
    if record.way == "divert":
        diversion = Diversion(tree, record.target)
        if diversion.to() != diversion.aside:
            yield f"dpkg knows of no diversion of {record.target}: {AGAIN}"
    for path in (record.home, tree.resolved(record.python)):
        if stranger := tree.stranger(path):
            yield f"{stranger} can be changed by others than root: the shim passes all on unmended"
    if not tree.root:
        try:
            code, _ = bundle.compiled((), [record.python])
            if code not in record.files:
                yield f"Python has changed, each start takes a second longer: {AGAIN}"
        except UsageError as error:
            yield f"{error.message}: {error.hint}"


def _notes(record: Record) -> Iterator[str]:
    if record.version != __version__:
        yield f"installed by vmserial {record.version}, this is {__version__}: {AGAIN}"


def _last(tree: Tree, record: Record, most: int) -> tuple[str, ...]:
    """Return the last lines of the log that a wrapper of these names wrote."""
    names = {record.target.rpartition("/")[2], *record.names}
    try:
        with tree.at(record.log).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - _TAIL))
            text = stream.read(_TAIL).decode("ascii", "backslashreplace")
    except OSError:
        return ()
    found = []
    for line in text.splitlines():
        program = line.partition(" ")[2].partition("[")[0]
        if program.rpartition("/")[2] in names:
            found.append(line)
    return tuple(found[-most:]) if most else ()
