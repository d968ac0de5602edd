"""A socket whose options are those of the other end."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command import ChardevEntry
from vmserial.sources.command.edits import RemoveKey
from vmserial.values import is_on


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the sockets that QEMU refuses for an option of the other end."""
    for entry in ctx.view.chardevs:
        words, key = _refused(entry, ctx.capabilities.version)
        if not words:
            continue
        name = ctx.port_at(entry.option, entry.id)
        repair = (
            EditOptions((RemoveKey(entry.option, key),), f"{name}: {key}= is gone") if key else None
        )
        yield RULE.finding(
            f"{entry.option}: {words}", entry.option, (name,) if entry.id else (),
            (repair,) if repair else (),
        )  # fmt: skip


def _refused(entry: ChardevEntry, version: tuple[int, int, int]) -> tuple[str, str]:
    """Return QEMU's words, and the key that can go without a loss; both empty: it is content."""
    if entry.backend != "socket" or entry.option.params.is_json:
        return "", ""
    params = entry.params
    if is_on(params.get("server")):
        if "reconnect" in params:
            # Of a server it says nothing: there is nobody to go to again.
            return (
                "'reconnect' option is incompatible with socket in server listen mode",
                "reconnect",
            )
        return "", ""
    if "wait" in params and version >= (6, 0, 0):
        # Whether server=on is missing or wait= is too much, only its owner knows.
        return "'wait' option is incompatible with socket in client connect mode", ""
    if is_on(params.get("websocket")):
        return "Websocket client is not implemented", ""
    return "", ""


RULE = Rule("socket-options-clash", Severity.FAILS, IDS, check, among=("socket",))
