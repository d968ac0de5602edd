r"""A command line with one option a line; whatever stands around the command stays as it is."""

from __future__ import annotations

from vmserial.sources.command.document import CommandLine


def pretty(command: CommandLine) -> str:
    r"""Return the text with each option on a line of its own, joined by `` \`` and a newline.

    Variables before the command, wrappers (sudo, ip netns exec), redirections, ``&`` and words
    that the shell expands keep their text: only the blanks between the options change.
    """
    first = max(command.emulator, 0)
    inside = command.words[first : command.tail]
    begins = {option.first for option in command.options} - {first}
    lines = inside[0].source
    for index, word in enumerate(inside[1:], first + 1):
        lines += (" \\\n  " if index in begins else " ") + word.source
    if command.source is None:
        return " ".join([*(word.source for word in command.prefix), lines])
    return command.source[: inside[0].start] + lines + command.source[inside[-1].end :]
