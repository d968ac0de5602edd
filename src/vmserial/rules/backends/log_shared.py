"""Two ports that keep one log."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import LOSSES, Rule
from vmserial.sources.command import CommandOption
from vmserial.sources.command.edits import SetKey
from vmserial.sources.command.entries import HostEnd


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the chardevs that write a file which an earlier one writes, as its log or itself."""
    first: dict[str, tuple[CommandOption, str]] = {}
    ends = [end for end in ctx.view.host_ends() if end[2] == "file" or "logfile" in end[3]]
    taken = {path for end in ends for _, path in _written(end)}
    for end in ends:
        option, id = end[:2]
        for key, path in _written(end):
            owner = first.setdefault(path, (option, id))
            if owner == (option, id):
                continue
            new = f"{path}.{id}"
            while new in taken:
                new += ".2"
            taken.add(new)
            names = _name(ctx, *owner), _name(ctx, option, id)
            # The file of a backend is what its owner reads; a log may be moved.
            repairs = [EditOptions((SetKey(option, "logfile", new),),
                                   f"{names[1]}: its log is {new}")]  # fmt: skip
            yield RULE.finding(
                f"{option}: {path} is written by {names[0]} as well: the two write over each "
                "other", option, names, repairs if key == "logfile" and id else (), assumed=True,
            )  # fmt: skip


def _written(end: HostEnd) -> Iterator[tuple[str, str]]:
    """Yield the ordinary files that a host side writes: (the option's key, the path)."""
    _, _, backend, params = end
    keys = ("path", "logfile") if backend == "file" else ("logfile",)
    for key in keys:
        # A device, such as /dev/null, takes the words of any number.
        if (path := params.get(key, "")) and not path.startswith("/dev/"):
            yield key, path


def _name(ctx: RuleContext, option: CommandOption, id: str) -> str:
    if id:
        return ctx.chardev_user(id)
    return next(iter(ctx.ports_at(option, id)), str(option))


RULE = Rule("log-shared", Severity.LOST, LOSSES, check)
