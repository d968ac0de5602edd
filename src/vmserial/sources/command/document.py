r"""A QEMU command line as it was written, and its options.

A :class:`CommandLine` is made from a list of arguments or from shell text: what
``qm showcmd --pretty``, libvirt's logs, ``virsh domxml-to-native`` or a script
hold.  :meth:`CommandLine.text` gives back what was read, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vmserial.errors import ConfigError, UsageError
from vmserial.lazy import once
from vmserial.model import Note, SourceRef
from vmserial.records import record
from vmserial.sources.command import tables, words
from vmserial.sources.command.params import Params
from vmserial.sources.command.words import Word

_EMULATOR = re.compile(
    r"(?:.*/)?(?:qemu-system-(?:[A-Za-z0-9_]|\$\{?[A-Za-z_]\w*\}?)[^/\s=]*|qemu-kvm|kvm|qemu)\Z",
    re.DOTALL,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_NAMES_SOMEONE = frozenset({"-u", "-g", "-U", "-a", "--user", "--group"})
"""Of sudo, setpriv and ``exec -a``: the next word is a user, a group or a name."""

POSITIONAL = "hda"
"""What QEMU takes a word without a dash for: the first disk."""


@record(frozen=True)
class CommandOption:
    """One option of a command line, or one section of a -readconfig file.

    Attributes:
        name: without its dashes; ``hda`` for a disk image that stands alone.
        flag: as written; empty for a disk image and for a section of a file.
        value: its argument, or None.
        where: its place.
        first: the index of its first word; -1 for a section of a file.
        last: the index of its last word.
    """

    name: str
    flag: str
    value: str | None
    where: SourceRef
    first: int = -1
    last: int = -1

    @property
    def in_file(self) -> bool:
        """It stands in a -readconfig file, so that an edit of the command cannot change it."""
        return self.first < 0

    @once
    def params(self) -> Params:
        """Its value's keys.

        Raises:
            ConfigError: the value is broken JSON.
        """
        return Params.parse(
            self.value or "",
            tables.IMPLIED_KEY.get(self.name, ""),
            where=str(self.where),
            json_too=self.name in tables.READS_JSON,
        )

    def __str__(self) -> str:
        return f"{self.flag or '-' + self.name} {self.value}" if self.value else f"-{self.name}"


@record(frozen=True)
class CommandLine:
    """A command line as it was written.

    Attributes:
        file: the name of what it was read from, for messages.
        source: the text; None if it was a list of arguments.
        words: all words, those of wrappers and of the shell as well.
        emulator: the index of the emulator's word; -1 if only options were given.
        options: its options in order.
        tail: the index of the first word after the command (``>log``, ``&``, a next line).
        notes: what is odd.
    """

    file: str
    source: str | None
    words: tuple[Word, ...]
    emulator: int
    options: tuple[CommandOption, ...]
    tail: int
    notes: tuple[Note, ...]

    @classmethod
    def parse(cls, text: str, file: str = "command line") -> CommandLine:
        """Read shell text.

        Raises:
            ConfigError: a quote is open, no emulator is named, an argument is missing.
        """
        if "\0" in text:
            raise ConfigError(
                "the text holds a NUL byte",
                hint="of /proc/PID/cmdline give the list of words: they are separated by NUL",
                where=f"{file}:{text.count(chr(10), 0, text.index(chr(0))) + 1}",
            )
        return cls._of(words.split(text, file), text, file)

    @classmethod
    def from_bytes(cls, raw: bytes, file: str) -> CommandLine:
        """Read shell text, or ``/proc/PID/cmdline`` with a NUL after each word.

        Raises:
            ConfigError: as :meth:`parse` and :meth:`from_words`.
        """
        text = raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
        if text.endswith("\0") and text.count("\0") > 1:
            return cls.from_words(text[:-1].split("\0"), file)
        return cls.parse(text, file)

    @classmethod
    def from_words(cls, values: Sequence[str], file: str = "command line") -> CommandLine:
        """Read a list of arguments, the emulator first.

        Raises:
            ConfigError: no emulator is named, an argument is missing.
        """
        for index, value in enumerate(values, 1):
            if "\0" in value:
                raise ConfigError(
                    "the argument holds a NUL byte", hint="no program's argument can hold one",
                    where=f"argument {index}",
                )  # fmt: skip
        return cls._of(words.from_list(tuple(values)), None, file)

    @classmethod
    def _of(cls, all_words: tuple[Word, ...], source: str | None, file: str) -> CommandLine:
        if not all_words:
            raise ConfigError(
                "the command line is empty", hint="give qemu-system-… and its options", where=file
            )
        reader = _Options(all_words, file, is_text=source is not None)
        reader.read()
        return cls(
            file, source, all_words, reader.emulator, tuple(reader.options), reader.tail,
            tuple(reader.notes),
        )  # fmt: skip

    def text(self) -> str:
        """Return the text; equal to what was parsed.  A list of arguments becomes shell text."""
        if self.source is not None:
            return self.source
        return " ".join(word.source for word in self.words)

    def argv(self) -> list[str]:
        """Return the arguments of the emulator, itself first, without wrappers."""
        return [word.value for word in self.words[max(self.emulator, 0) : self.tail]]

    @property
    def program(self) -> str:
        """The emulator as named; empty if only options were given."""
        return self.words[self.emulator].value if self.emulator >= 0 else ""

    @property
    def prefix(self) -> tuple[Word, ...]:
        """What stands before the emulator: a wrapper and its words, ``VAR=value``."""
        return self.words[: max(self.emulator, 0)]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that are set before the emulator."""
        pairs = (word.value.partition("=") for word in self.prefix if _ASSIGNMENT.match(word.value))
        return {name: value for name, _, value in pairs}

    def named(self, *names: str) -> tuple[CommandOption, ...]:
        """Return the options of these names in order."""
        return tuple(option for option in self.options if option.name in names)


class _Options:
    """Finds the emulator and groups the words after it."""

    def __init__(self, all_words: tuple[Word, ...], file: str, *, is_text: bool) -> None:
        self.words, self.file, self.is_text = all_words, file, is_text
        self.options: list[CommandOption] = []
        self.notes: list[Note] = []
        self.emulator = self.find_emulator()
        self.tail = len(all_words)

    def find_emulator(self) -> int:
        first = self.words[0].value
        for index, word in enumerate(self.words):
            named = index > 0 and self.words[index - 1].value in _NAMES_SOMEONE
            if word.operator or named or _ASSIGNMENT.match(word.value):
                continue
            if _EMULATOR.match(word.value):
                return index
        if (
            len(first) > 1
            and first.startswith("-")
            and tables.has_argument(first.lstrip("-")) is not None
        ):
            return -1
        program = next((w for w in self.words if not _ASSIGNMENT.match(w.value)), None)
        if not self.is_text and program is self.words[0]:
            # A list is one command: its first word is the program, whatever it is called.
            return 0
        raise ConfigError(
            "no QEMU system emulator is named",
            hint="give the whole command, with qemu-system-<arch>, qemu-kvm or kvm in it",
            where=str(self.words[0].where(self.file)),
        )

    def note(self, word: Word, message: str, hint: str) -> None:
        self.notes.append(Note("warning", message, word.where(self.file), hint))

    def read(self) -> None:
        index = self.emulator + 1
        while index < len(self.words):
            word = self.words[index]
            dashed = word.value.startswith("-")
            if word.operator or (word.new_line and not dashed):
                self.tail = index
                break
            index = self.dashed(index) if dashed else self.positional(index)
        for word in self.words[max(self.emulator, 0) : self.tail]:
            if word.expanded:
                self.note(
                    word,
                    f"the shell would replace a part of {word.source}, it is taken as written",
                    "give the command as it is run: ps, /proc/PID/cmdline, qm showcmd",
                )
            elif "\\\n" in word.value and "'" in word.source:
                self.note(
                    word,
                    "a continued line stands within single quotes, where it is a part of the value",
                    "`qm showcmd --pretty` breaks such lines; leave --pretty out",
                )

    def positional(self, index: int) -> int:
        word = self.words[index]
        if word.value.isspace() and word.source.startswith("\\"):
            self.note(
                word,
                "a blank stands after the backslash, so that the line is not continued",
                "remove the blank",
            )
        self.add(POSITIONAL, "", word.value, index, index)
        return index + 1

    def dashed(self, index: int) -> int:
        word = self.words[index]
        name = word.value[2:] if word.value.startswith("--") else word.value[1:]
        takes = tables.has_argument(name)
        following = self.words[index + 1] if index + 1 < len(self.words) else None
        if takes:
            if following is None or following.operator:
                raise ConfigError(
                    f"{word.value} requires an argument",
                    hint="give it, or remove the option",
                    where=str(word.where(self.file)),
                )
            self.add(name, word.value, following.value, index, index + 1)
            return index + 2
        if takes is None:
            self.note(
                word,
                f"{word.value!r} is no option that QEMU 5.2 to 11 knows; it is kept",
                "check its spelling, or remove it",
            )
            # An unknown option's next word is most likely its argument (PVE's own -id).
            if (
                following is not None and not following.operator and not following.new_line
                and not following.value.startswith("-")
            ):  # fmt: skip
                self.add(name, word.value, following.value, index, index + 1)
                return index + 2
        self.add(name, word.value, None, index, index)
        return index + 1

    def add(self, name: str, flag: str, value: str | None, first: int, last: int) -> None:
        where = self.words[first].where(self.file)
        self.options.append(CommandOption(name, flag, value, where, first, last))


def in_this_command(option: CommandOption, command: CommandLine) -> CommandOption:
    """Return ``option`` if an edit of ``command`` can change it.

    Raises:
        UsageError: it stands in a file, or it is another command's.
    """
    if option.in_file:
        raise UsageError(
            f"-{option.name} stands in a file that -readconfig reads",
            hint="change it there, or leave -readconfig out",
            where=str(option.where),
        )
    if option not in command.options:
        raise UsageError(
            f"{option} is not an option of this command line",
            hint="take the options anew after each edit",
            where=str(option.where),
        )
    return option
