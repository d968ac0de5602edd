"""A socket with TLS credentials that nobody made."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the sockets whose credentials are no object of the command."""
    if not ctx.complete:
        return
    made = {option.params.get("id") for option in ctx.view.options if option.name == "object"}
    for entry in ctx.view.chardevs:
        credentials = entry.params.get("tls-creds")
        if entry.backend != "socket":
            continue
        if "tls-authz" in entry.params and not credentials:
            words = "'tls_authz' option requires 'tls_creds' option"
        elif credentials and credentials not in made:
            words = f"No TLS credentials with id '{credentials}'"
        else:
            continue
        yield RULE.finding(
            f"{entry.option}: {words}", entry.option, ctx.ports_at(entry.option, entry.id)
        )


RULE = Rule("object-missing", Severity.FAILS, IDS, check, among=("socket",))
