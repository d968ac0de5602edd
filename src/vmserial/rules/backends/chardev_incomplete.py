"""A chardev that lacks what its backend cannot do without."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command import ChardevEntry
from vmserial.sources.command.edits import SetKey
from vmserial.sources.command.tables import unknown_key
from vmserial.values import is_on

_COMPLETE = frozenset({"null", "pty", "stdio"})
"""Backends that need no more than an id."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the chardevs that QEMU refuses, and the sockets that nobody can reach."""
    for entry in ctx.view.chardevs:
        if entry.backend in _COMPLETE and entry.id:
            continue
        nowhere = _nowhere(entry) and ctx.capabilities.version >= (7, 0, 0)
        words = "" if nowhere else _refused(entry)
        if not nowhere and not words:
            continue
        name = ctx.port_at(entry.option, entry.id)
        names = (name,) if entry.id else ()
        if nowhere:
            # Run with 7.2: it becomes a socket of the file descriptor "".
            repair = EditOptions((SetKey(entry.option, "host", "127.0.0.1"),),
                                 f"{name}: it listens on 127.0.0.1")  # fmt: skip
            yield RULE.finding(
                f"{entry.option}: it names no host: QEMU starts, and listens nowhere",
                entry.option, names, (repair,) if entry.params.get("port") else (),
                severity=Severity.DEAD, assumed=True,
            )  # fmt: skip
        else:
            yield RULE.finding(f"{entry.option}: {words}", entry.option, names, assumed=True)


def _reached(entry: ChardevEntry) -> bool:
    return bool({"path", "host", "fd", "addr.type"} & entry.params.keys())


def _nowhere(entry: ChardevEntry) -> bool:
    """Tell whether a server has no address."""
    listens = is_on(entry.params.get("server")) and not is_on(entry.params.get("wait"), True)
    return entry.backend == "socket" and listens and not _reached(entry)


def _refused(entry: ChardevEntry) -> str:
    """Return QEMU's words about what is missing; empty where nothing is."""
    params = entry.params
    if entry.option.params.is_json:
        return ""
    if not entry.id:
        return "chardev: no id specified"
    if not entry.backend and not unknown_key(params):
        return f'chardev: "{entry.id}" missing backend'
    if entry.backend == "socket" and "path" in params and "host" in params:
        return "None or one of 'path', 'fd' or 'host' option required"
    if entry.backend == "socket" and not _reached(entry) and not is_on(params.get("server")):
        return "Unable to parse FD number"
    if entry.backend == "socket" and "host" in params and not params.get("port"):
        return "chardev: socket: no port given"
    if entry.backend == "udp" and not params.get("port"):
        return "chardev: udp: remote port not specified"
    lacks = {"serial": "serial/tty: no device path", "tty": "serial/tty: no device path",
             "pipe": "pipe: no device path", "file": "file: no filename"}  # fmt: skip
    if entry.backend in lacks and not params.get("path"):
        return f"chardev: {lacks[entry.backend]} given"
    return ""


RULE = Rule("chardev-incomplete", Severity.FAILS, IDS, check)
