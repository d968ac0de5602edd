"""A backend that no QEMU has, or not this one; mostly ``-serial chardev,x`` for ``chardev:x``."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule

_KNOWN = frozenset(
    """
    braille console dbus file hub memory msmouse mux null parallel parport pipe pty
    qemu-vdagent ringbuf serial socket spiceport spicevmc stdio testdev tty udp vc wctablet
    """.split()
)
"""The backends of -chardev from QEMU 5.2 to 11.1."""

_ASKED = frozenset({"console", "hub"})
"""Those of newer versions or other hosts, in no module: a binary that lacks them says so."""

_FORMS = frozenset({"file", "pipe", "tcp", "telnet", "tn3270", "udp", "unix", "vc", "websocket"})
"""What stands before the colon in the short forms."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the options whose backend QEMU does not know."""
    lacks = _ASKED - ctx.capabilities.chardevs if ctx.capabilities.chardevs else frozenset()
    known = _KNOWN - lacks
    for option, id, backend, _ in ctx.view.host_ends():
        if backend and backend not in known:
            yield RULE.finding(f"{option}: '{backend}' is not a valid char driver name", option,
                               ctx.ports_at(option, id))  # fmt: skip
    for port in ctx.view.ports:
        if port.host.form != "unknown" or port.kind == "mon":
            continue
        value = port.option.value or ""
        words = f"'{value}' is not a valid char driver"
        if value.partition(":")[0] in _FORMS:
            words = f"could not connect serial device to character backend '{value}'"
        meant = value.removeprefix("chardev").lstrip(",=")
        fix = f"write -{port.option.name} chardev:{meant}" if meant in ctx.chardevs else ""
        yield RULE.finding(f"{port.option}: {words}", port.option,
                           ctx.ports_at(port.option, ""), fix=fix)  # fmt: skip


RULE = Rule("chardev-backend-unknown", Severity.FAILS, IDS, check)
