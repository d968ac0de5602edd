"""-set: a key of an option that stands before it.

QEMU looks for the option as it reads -set (util/qemu-config.c, ``qemu_set_option()``): what
comes later, and what is written in JSON, it does not find.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vmserial.records import record
from vmserial.sources.command.document import CommandOption

_SET = re.compile(r"([^.]+)\.([^.]+)\.([^=]+)=(.*)\Z", re.DOTALL)


@record(frozen=True)
class SetOption:
    """One -set.

    Attributes:
        group: ``device``, ``chardev``, …: the name of the option that it changes.
        id: the id of that option.
        key: the key.
        value: its value.
        option: where it comes from.
    """

    group: str
    id: str
    key: str
    value: str
    option: CommandOption


def set_of(option: CommandOption) -> SetOption | None:
    """Read a -set; None: QEMU cannot."""
    match = _SET.match(option.value or "")
    if match is None:
        return None
    group, id, key, value = match.groups()
    return SetOption(group, id, key, value, option)


def target_of(said: SetOption, options: Sequence[CommandOption]) -> CommandOption | None:
    """Return the option that a -set changes; None where QEMU finds none."""
    for option in options:
        if option is said.option:
            return None
        if option.name == said.group and _is_called(option, said.id):
            return option
    return None


def _is_called(option: CommandOption, id: str) -> bool:
    return option.params.get("id") == id and not option.params.is_json


def late_target_of(said: SetOption, options: Sequence[CommandOption]) -> CommandOption | None:
    """Return the option that a -set is about, where it stands behind it."""
    later = [each for each in options if each.name == said.group and _is_called(each, said.id)]
    return later[0] if later and target_of(said, options) is None else None


def overriding(option: CommandOption, key: str, options: Sequence[CommandOption]) -> (
    SetOption | None
):  # fmt: skip
    """Return the last -set that gives a key of an option its value."""
    found = None
    for other in options:
        if other.name != "set":
            continue
        said = set_of(other)
        if said is not None and said.key == key and target_of(said, options) is option:
            found = said
    return found
