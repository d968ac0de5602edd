"""A lowered command as a command line, and which of its options comes from where."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.sources.command import CommandLine, CommandOption
from vmserial.sources.command.document import POSITIONAL
from vmserial.sources.command.words import Word


@dataclass(frozen=True, eq=False)
class Origins:
    """The origins of a command's options.

    Attributes:
        command: what was lowered.
        line: the same as a command line; each option's place is its origin's.
    """

    command: LoweredCommand
    line: CommandLine
    _by_word: dict[int, LoweredOption] = field(repr=False)

    @classmethod
    def of_command(cls, command: LoweredCommand) -> Origins:
        """Read a lowered command: its options are told apart already."""
        words = [_word(0, command.program)]
        by_word: dict[int, LoweredOption] = {}
        options: list[CommandOption] = []
        for each in command.options:
            first = len(words)
            argv = each.option.argv()
            for text in argv:
                by_word[len(words)] = each
                words.append(_word(len(words), text))
            flag = argv[0]
            where = each.origin.where or words[first].where(command.name or "command line")
            if flag.startswith("-"):
                name = flag[2:] if flag.startswith("--") else flag[1:]
                value = argv[1] if len(argv) > 1 else None
                options.append(CommandOption(name, flag, value, where, first, len(words) - 1))
            else:
                options.append(CommandOption(POSITIONAL, "", flag, where, first, first))
        line = CommandLine(command.name, None, tuple(words), 0, tuple(options), len(words), ())
        return cls(command, line, by_word)

    def of(self, option: CommandOption) -> LoweredOption | None:
        """Return what an option of :attr:`line` was lowered from."""
        return self._by_word.get(option.first)


def _word(index: int, text: str) -> Word:
    # Nobody prints a lowered command from here: it needs no quotes.
    return Word(text, text, index, index + 1, 0, index + 1)
