"""A key that no -chardev has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import IDS, Rule
from vmserial.sources.command.tables import CHARDEV_KEYS, unknown_key


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the host sides with such a key, each with the first one."""
    for option, id, _, params in ctx.view.host_ends():
        if CHARDEV_KEYS.keys() >= params.keys():
            continue
        key = unknown_key(params)
        if key and not option.params.is_json:
            yield RULE.finding(
                f"{option}: Invalid parameter '{key}'", option, ctx.ports_at(option, id),
                fix=_way_out(key, params),
            )  # fmt: skip


def _way_out(key: str, params: Mapping[str, str]) -> str:
    """Return what to do: write the key that is nearly called so, or none."""
    if not params.get("backend") and params.get("id"):
        return f"the backend stands first: -chardev {key},id={params['id']}"
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(key, CHARDEV_KEYS, 1)
    return f"write {near[0]} for {key}" if near else f"leave {key} away"


RULE = Rule("parameter-unknown", Severity.FAILS, IDS, check)
