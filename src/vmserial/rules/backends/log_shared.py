"""Two ports that keep one log."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import LOSSES, Rule
from vmserial.sources.command.edits import SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the chardevs whose log file an earlier one has."""
    first: dict[str, str] = {}
    taken = {entry.params.get("logfile", "") for entry in ctx.view.chardevs}
    for entry in ctx.view.chardevs:
        path = entry.params.get("logfile", "")
        if not path:
            continue
        owner = first.setdefault(path, entry.id)
        if owner == entry.id:
            continue
        new = f"{path}.{entry.id}"
        while new in taken:
            new += ".2"
        taken.add(new)
        names = tuple(ctx.chardev_user(id) for id in (owner, entry.id))
        yield RULE.finding(
            f"{entry.option}: {path} is the log of {names[0]} as well: the two write over each "
            "other", entry.option, names,
            (EditOptions((SetKey(entry.option, "logfile", new),),
                         f"{names[1]}: its log is {new}"),), assumed=True,
        )  # fmt: skip


RULE = Rule("log-shared", Severity.LOST, LOSSES, check)
