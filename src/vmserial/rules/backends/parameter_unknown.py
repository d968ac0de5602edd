"""A key that no -chardev has."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command.tables import CHARDEV_KEYS, CHARDEV_LISTS


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the host sides with such a key, each with the first one."""
    for option, id, _, params in ctx.view.host_ends():
        if option.params.is_json:
            continue
        key = next((key for key in params if not _known(key)), "")
        if key:
            yield RULE.finding(
                f"{option}: Invalid parameter '{key}'", option, ctx.ports_at(option, id),
                fix=_way_out(key),
            )  # fmt: skip


def _known(key: str) -> bool:
    return key in CHARDEV_KEYS or key.startswith(CHARDEV_LISTS)


def _way_out(key: str) -> str:
    """Return what to do: write the key that is nearly called so, or none."""
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(key, CHARDEV_KEYS, 1)
    return f"write {near[0]} for {key}" if near else f"leave {key} away"


RULE = Rule("parameter-unknown", Severity.FAILS, IDS, check)
