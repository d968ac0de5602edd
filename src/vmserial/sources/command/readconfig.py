"""A file for -readconfig: its sections become options with the file and line they stand at."""

from __future__ import annotations

import re

from vmserial.errors import ConfigError
from vmserial.model import SourceRef
from vmserial.sources.command import tables
from vmserial.sources.command.document import CommandOption

_SECTION = re.compile(r"[ \t]*\[[ \t]*([^\s\"\]]+)(?:[ \t]+\"([^\"]*)\")?[ \t]*\][ \t\r]*\Z")
_SETTING = re.compile(r"[ \t]*([^\s=\"]+)[ \t]*=[ \t]*\"([^\"]*)\"[ \t\r]*\Z")


def read(text: str, file: str) -> tuple[CommandOption, ...]:
    """Read a configuration file of QEMU (util/qemu-config.c).

    Raises:
        ConfigError: a line that QEMU would refuse.
    """
    found: list[tuple[str, int, list[str]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if section := _SECTION.match(line):
            name, identifier = section.groups()
            parts = [f"id={_doubled(identifier)}"] if identifier is not None else []
            found.append((tables.CONFIG_GROUPS.get(name, name), number, parts))
        elif setting := _SETTING.match(line):
            if not found:
                raise ConfigError(
                    "a setting stands before the first section",
                    hint='begin a section, such as [device "serial0"]',
                    where=f"{file}:{number}",
                )
            found[-1][2].append(f"{setting.group(1)}={_doubled(setting.group(2))}")
        else:
            raise ConfigError(
                "the line is neither a section nor a setting",
                hint='write [group "id"] or key = "value"; a comment begins with #',
                where=f"{file}:{number}",
            )
    return tuple(
        CommandOption(name, "", ",".join(parts), SourceRef(file, number))
        for name, number, parts in found
    )


def _doubled(value: str) -> str:
    return value.replace(",", ",,")
