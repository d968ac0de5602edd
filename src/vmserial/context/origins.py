"""A lowered command as a command line, and which of its options comes from where."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmserial.lazy import once
from vmserial.model import SourceRef
from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.options import JsonOption, Option
from vmserial.sources.command import CommandLine, CommandOption, tables
from vmserial.sources.command.document import POSITIONAL
from vmserial.sources.command.params import Param, Params
from vmserial.sources.command.words import Word

_NONE = frozenset[str]()
_HELP = frozenset({"help", "?"})


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
        by_word: dict[int, LoweredOption] = {}
        options: list[CommandOption] = []
        name = command.name or "command line"
        first = 1
        for each in command.options:
            option = each.option
            by_word[first] = each
            flag = option.flag
            if not flag.startswith("-"):
                where = each.origin.where or _word(first, flag).where(name)
                options.append(CommandOption(POSITIONAL, "", flag, where, first, first))
                first += 1 if option.alone else 2
                continue
            last = first if option.alone else first + 1
            options.append(_Said(each, option, name, first, last))
            first = last + 1
        return cls(command, _Line(command, tuple(options)), by_word)

    def of(self, option: CommandOption) -> LoweredOption | None:
        """Return what an option of :attr:`line` was lowered from."""
        return self._by_word.get(option.first)


# What follows is worked out when it is asked for: of most options nobody wants the text, and what
# their lowering said of their keys need not be read back from it.


class _Line(CommandLine):
    """The command line that a lowered command is."""

    def __init__(self, command: LoweredCommand, options: tuple[CommandOption, ...]) -> None:
        last = options[-1].last + 1 if options else 1
        self.__dict__.update(
            file=command.name, source=None, emulator=0, options=options, tail=last, notes=(),
            lowered=command,
        )  # fmt: skip

    @once
    def words(self) -> tuple[Word, ...]:
        """All words."""
        argv = self.__dict__["lowered"].argv()
        return tuple([_word(index, text) for index, text in enumerate(argv)])

    @property
    def program(self) -> str:
        """The emulator."""
        program: str = self.__dict__["lowered"].program
        return program


class _Said(CommandOption):
    """An option of a lowered command."""

    def __init__(
        self, lowered: LoweredOption, option: Option, file: str, first: int, last: int
    ) -> None:
        flag = option.flag
        self.__dict__.update({
            "name": flag[2:] if flag.startswith("--") else flag[1:], "flag": flag,
            "first": first, "last": last, "option": option, "lowered": lowered, "file": file,
        })  # fmt: skip

    @once
    def where(self) -> SourceRef:
        """Its origin's place."""
        own = self.__dict__
        lowered: LoweredOption = own["lowered"]
        return lowered.origin.where or _word(self.first, self.flag).where(own["file"])

    @once
    def value(self) -> str | None:
        """Its argument."""
        option: Option = self.__dict__["option"]
        return option.value()

    @once
    def params(self) -> Params:
        """Its value's keys."""
        option: Option = self.__dict__["option"]
        values = option.said(tables.IMPLIED_KEY.get(self.name, ""))
        if values is None:
            return _read(self.name, self.value, self.where)
        return _Keys(self, values, option)


class _Keys(Params):
    """The keys of an option whose lowering says them."""

    def __init__(self, of: _Said, values: dict[str, str], option: Option) -> None:
        self.__dict__.update({
            "of": of, "option": option, "values": values, "bare": _NONE,
            "is_json": isinstance(option, JsonOption),
            "asks_for_help": option.head in _HELP,
        })  # fmt: skip

    @once
    def source(self) -> str:
        """The value as it is written."""
        option: Option = self.__dict__["option"]
        return option.value() or ""

    @once
    def items(self) -> tuple[Param, ...]:
        """The keys and values with their places in the text."""
        of: _Said = self.__dict__["of"]
        return _read(of.name, self.source, of.where).items


def _read(name: str, value: str | None, where: SourceRef) -> Params:
    """Read a value's text."""
    return Params.parse(
        value or "", tables.IMPLIED_KEY.get(name, ""), where=str(where),
        json_too=name in tables.READS_JSON,
    )  # fmt: skip


def _word(index: int, text: str) -> Word:
    # Nobody prints a lowered command from here: it needs no quotes.
    return Word(text, text, index, index + 1, 0, index + 1)
