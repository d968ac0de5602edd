"""Changes of a command line that keep every other byte.

All changes of one call refer to the options of the same :class:`CommandLine`;
the result is read anew, so its places are true again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vmserial.errors import UsageError
from vmserial.options import Option, Scalar, scalar_text
from vmserial.records import record
from vmserial.sources.command.document import CommandLine, CommandOption, in_this_command
from vmserial.sources.command.sets import overriding
from vmserial.sources.command.words import Word, quoted


@record(frozen=True)
class ReplaceValue:
    """Give an option another value."""

    option: CommandOption
    value: str


@record(frozen=True)
class Remove:
    """Remove an option, and its line if nothing else stands there."""

    option: CommandOption


@record(frozen=True)
class InsertAfter:
    """Add options after another one; after all of them if ``option`` is None."""

    option: CommandOption | None
    options: tuple[Option, ...]


@record(frozen=True)
class InsertBefore:
    """Add options before another one."""

    option: CommandOption
    options: tuple[Option, ...]


@record(frozen=True)
class SetKey:
    """Set one key of an option's value."""

    option: CommandOption
    key: str
    value: Scalar


@record(frozen=True)
class RemoveKey:
    """Remove one key of an option's value."""

    option: CommandOption
    key: str


Edit = ReplaceValue | Remove | InsertAfter | InsertBefore | SetKey | RemoveKey


def edited(command: CommandLine, edits: Iterable[Edit]) -> CommandLine:
    """Return the command line with the changes made.

    Raises:
        UsageError: an option is not of this command line, stands in a file, stands
            alone and was to get a value, or is both changed and removed.
    """
    values: dict[CommandOption, str] = {}
    removed: set[CommandOption] = set()
    inserted: dict[int, list[Option]] = {}
    for edit in edits:
        if isinstance(edit, InsertAfter):
            if edit.option is None:
                last = command.options[-1].last if command.options else command.emulator
            else:
                last = in_this_command(edit.option, command).last
            inserted.setdefault(last, []).extend(edit.options)
            continue
        if isinstance(edit, InsertBefore):
            before = in_this_command(edit.option, command).first - 1
            inserted.setdefault(before, []).extend(edit.options)
            continue
        option = in_this_command(edit.option, command)
        if isinstance(edit, Remove):
            removed.add(option)
            continue
        if option.value is None:
            raise UsageError(
                f"{option.flag} takes no value", hint="remove it, or insert another option",
                where=str(option.where),
            )  # fmt: skip
        if isinstance(edit, ReplaceValue):
            values[option] = edit.value
            continue
        said = overriding(option, edit.key, command.options)
        if said is not None:
            # A later -set gives the key its value.
            if isinstance(edit, RemoveKey):
                removed.add(said.option)
            else:
                value = scalar_text(edit.value)
                values[said.option] = f"{said.group}.{said.id}.{said.key}={value}"
                continue
        # Keys are changed one after the other, on what the last change made of the value.
        current = CommandOption(option.name, option.flag, values.get(option, option.value),
                                option.where)  # fmt: skip
        if isinstance(edit, SetKey):
            values[option] = current.params.with_key(edit.key, edit.value)
        else:
            values[option] = current.params.without_key(edit.key)
    for option in values:
        if option in removed:
            raise UsageError(
                f"{option} is to be both changed and removed", hint="do one of them",
                where=str(option.where),
            )  # fmt: skip
    if "\0" in "".join(values.values()):
        raise UsageError("the value holds a NUL byte", hint="remove it")
    if command.source is None:
        return _edited_list(command, values, removed, inserted)
    return _edited_text(command, command.source, values, removed, inserted)


def _edited_list(
    command: CommandLine,
    values: dict[CommandOption, str],
    removed: set[CommandOption],
    inserted: dict[int, list[Option]],
) -> CommandLine:
    new = {option.last: value for option, value in values.items()}
    gone = {i for option in removed for i in range(option.first, option.last + 1)}
    result: list[str] = [part for o in inserted.get(-1, ()) for part in o.argv()]
    for index, word in enumerate(command.words):
        if index not in gone:
            result.append(new.get(index, word.value))
        result += [part for option in inserted.get(index, ()) for part in option.argv()]
    return CommandLine.from_words(result, command.file)


def _edited_text(
    command: CommandLine,
    source: str,
    values: dict[CommandOption, str],
    removed: set[CommandOption],
    inserted: dict[int, list[Option]],
) -> CommandLine:
    equals = _quotes_equals(command)
    words = command.words
    # A copy of the text in pieces: the gap before each word, then the word; the rest.
    gaps = [source[before:after] for before, after in zip(
        [0, *(word.end for word in words)], [*(word.start for word in words), len(source)],
        strict=True)]  # fmt: skip
    sources: list[str | None] = [word.source for word in words]
    for option, value in values.items():
        sources[option.last] = quoted(value, words[option.last].source, equals=equals)
    for option in sorted(removed, key=lambda option: option.first):
        for index in range(option.first, option.last + 1):
            sources[index] = None
        _close_gap(gaps, option)
    pieces: list[str] = []
    if -1 in inserted:
        pieces.append(_rendered(inserted[-1], " ", equals).lstrip() + " ")
    for index, text in enumerate(sources):
        pieces.append(gaps[index] + (text or ""))
        if index in inserted:
            pieces.append(_rendered(inserted[index], _separator(command, source, index), equals))
    pieces.append(gaps[-1])
    return CommandLine.parse("".join(pieces), command.file)


def _close_gap(gaps: list[str], option: CommandOption) -> None:
    """Take the blanks around a removed option together; a comment stays."""
    before, after = gaps[option.first], gaps[option.last + 1]
    for index in range(option.first + 1, option.last + 1):
        gaps[index] = ""
    last = option.last + 2 == len(gaps)
    if "#" in before or "#" in after:
        gaps[option.first], gaps[option.last + 1] = before.rstrip(" \t"), after
        if not last and not after:
            gaps[option.last + 1] = " "
    elif "\n" in before and "\n" not in after and not last:
        # The next option takes this one's place on the line.
        gaps[option.first], gaps[option.last + 1] = "", before
    elif after or last:
        gaps[option.first] = ""
    # Else a redirection follows at once: a number before it would be its file descriptor.


def _rendered(options: list[Option], separator: str, equals: bool) -> str:
    return "".join(
        separator + " ".join(quoted(part, equals=equals) for part in option.argv())
        for option in options
    )


def _separator(command: CommandLine, source: str, index: int) -> str:
    """Return what stands before the option that ends at a word, as far as it is only blanks."""
    words = command.words
    first = next((o.first for o in command.options if o.last == index), index + 1)
    if first >= min(command.tail, len(words)):
        return " "
    gap = source[words[first - 1].end if first else 0 : words[first].start]
    if not gap or "#" in gap:
        return " "
    # Without its backslash a new line might end the command.
    return re.sub(r"[ \t]*(?<!\\)\n", " \\\\\n", gap) if "\n" in gap and "\\" not in gap else gap


def _quotes_equals(command: CommandLine) -> bool:
    """Tell whether words with ``=`` are quoted although they need not be."""
    return any(_needless(command.words[o.last]) for o in command.options if o.value)


def _needless(word: Word) -> bool:
    return (
        word.source == f"'{word.value}'" and "=" in word.value and quoted(word.value) == word.value
    )
