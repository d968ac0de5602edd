"""A lowered command as a command line, and which of its options comes from where."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.sources.command import CommandLine, CommandOption


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
        """Read a lowered command.

        Raises:
            ConfigError: its words are no command line.
        """
        line = CommandLine.from_words(command.argv())
        by_word: dict[int, LoweredOption] = {}
        word = line.emulator + 1
        for option in command.options:
            for _ in option.option.argv():
                by_word[word] = option
                word += 1
        options = []
        for read in line.options:
            lowered = by_word.get(read.first)
            where = lowered.origin.where if lowered else None
            options.append(replace(read, where=where) if where else read)
        return cls(command, replace(line, options=tuple(options)), by_word)

    def of(self, option: CommandOption) -> LoweredOption | None:
        """Return what an option of :attr:`line` was lowered from."""
        return self._by_word.get(option.first)
