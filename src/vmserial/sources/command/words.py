r"""Shell text into words, losing nothing: each word knows its source, its place and its value.

The grammar is the POSIX shell's as far as a single command needs it: quotes,
backslashes, continued lines, comments, bash's ``$'…'``.  Variables and
substitutions are not expanded; an operator (``;``, ``|``, ``&``, ``<``, ``>``)
is a word of its own.
"""

from __future__ import annotations

import re
import shlex

from vmserial.errors import ConfigError
from vmserial.model import SourceRef
from vmserial.records import record

_GAP = re.compile(r"(?:[ \t\r]+|\n|\\\r?\n|(?:(?<=[\s;|&<>])|\A)#[^\n]*)+")
_OPERATOR = re.compile(r"[0-9]*[<>]+&?[0-9-]*|[;|&]+")
_BARE = re.compile(r"[^ \t\r\n\\'\"$`;|&<>]+")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_QUOTE = re.compile(rf"{_SINGLE.pattern}|{_DOUBLE.pattern}", re.DOTALL)
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_IN_DOUBLE = re.compile(r'\\(\r?\n|[$`"\\])')
_OPENS = re.compile(r"\$[({]|`")
_CLOSES = {"(": ")", "{": "}", "`": "`"}
_EXPANDED = re.compile(r"(?<!\\)[$`]")
_ANSI_ESCAPE = re.compile(
    r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,6}|[0-7]{1,3}|.)", re.DOTALL
)
_ANSI_LETTER = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f",
                "v": "\v"}  # fmt: skip
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")


@record(frozen=True, slots=True)
class Word:
    """One word of a command line.

    Attributes:
        value: what the program gets.
        source: how it is written.
        start: where it begins in the text; in a list of words, its index.
        end: where it ends.
        line: 1-based; 0 in a list of words.
        column: 1-based; in a list of words, the word's number.
        new_line: a line break that no backslash hides stands before it.
        operator: it belongs to the shell, not to the command.
        expanded: the shell would replace a part of it (``$HOME``).
    """

    value: str
    source: str
    start: int
    end: int
    line: int
    column: int
    new_line: bool = False
    operator: bool = False
    expanded: bool = False

    def where(self, file: str) -> SourceRef:
        """Return its place, for messages."""
        return SourceRef(file, self.line) if self.line else SourceRef(f"argument {self.column}")


def split(text: str, file: str) -> tuple[Word, ...]:
    """Split shell text into words.

    Raises:
        ConfigError: a quote is not closed, or a backslash ends the text.
    """
    words: list[Word] = []
    position = line_start = counted = 0
    line = 1
    while position < len(text):
        new_line = False
        if gap := _GAP.match(text, position):
            bare = re.sub(r"\\\r?\n", "", gap.group())
            new_line = "\n" in bare
            position = gap.end()
        if breaks := text.count("\n", counted, position):
            line += breaks
            line_start = text.rindex("\n", 0, position) + 1
        counted = position
        if position >= len(text):
            break
        column = position - line_start + 1
        operator = _OPERATOR.match(text, position)
        if operator:
            value, end, expanded = operator.group(), operator.end(), False
        else:
            value, end, expanded = _word(text, position, SourceRef(file, line))
        words.append(
            Word(value, text[position:end], position, end, line, column, new_line,
                 operator is not None, expanded)
        )  # fmt: skip
        position = end
    return tuple(words)


def _word(text: str, start: int, where: SourceRef) -> tuple[str, int, bool]:
    """Read the word that begins at ``start``: its value, its end, is it expanded."""
    parts: list[str] = []
    position, expanded = start, False
    while position < len(text):
        char = text[position]
        if (end := _substitution(text, position, where)) or (end := _double(text, position, where)):
            expanded = True
            inner = text[position:end]
            parts.append(inner if char != '"' else _IN_DOUBLE.sub(_unescaped, inner[1:-1]))
            position = end
            continue
        if match := _BARE.match(text, position):
            parts.append(match.group())
        elif match := _SINGLE.match(text, position):
            parts.append(match.group(1))
        elif match := _DOUBLE.match(text, position):
            expanded = expanded or bool(_EXPANDED.search(match.group(1)))
            parts.append(_IN_DOUBLE.sub(_unescaped, match.group(1)))
        elif match := _ANSI.match(text, position):
            parts.append(_ANSI_ESCAPE.sub(_ansi, match.group(1)))
        elif char == "\\" and position + 1 < len(text):
            match = re.compile(r"\\(\r?\n|.)", re.DOTALL).match(text, position)
            assert match is not None
            parts.append("" if match.group(1).endswith("\n") else match.group(1))
        elif char == "$" and text[position + 1 : position + 2] != "'":
            expanded = True
            parts.append(char)
            position += 1
            continue
        elif char in "$'\"":
            quote = "'" if char == "$" else char
            raise ConfigError(
                f"a quote {quote} is not closed",
                hint=f"close it with {quote}; the text is read as a shell reads it",
                where=str(where),
            )
        elif char == "\\":
            raise ConfigError(
                "a backslash ends the text",
                hint="remove it, or add the line that is to follow",
                where=str(where),
            )
        else:
            break
        position = match.end()
    return "".join(parts), position, expanded


def _substitution(text: str, start: int, where: SourceRef) -> int:
    """Return where the ``$(…)``, ``${…}`` or `` `…` `` ends that begins here; 0 if none does.

    What stands within it is the shell's own text: blanks and quotes do not end the word.

    Raises:
        ConfigError: it is not closed.
    """
    opening = _OPENS.match(text, start)
    if opening is None:
        return 0
    wanted = [_CLOSES[opening.group()[-1]]]
    position = opening.end()
    while position < len(text):
        char = text[position]
        if char == wanted[-1]:
            wanted.pop()
            if not wanted:
                return position + 1
        elif char == "\\":
            position += 1
        elif wanted[-1] == ")" and (quote := _QUOTE.match(text, position)):
            position = quote.end() - 1
        elif char in "({" and wanted[-1] != "`":
            wanted.append(_CLOSES[char])
        position += 1
    raise ConfigError(
        f"a {opening.group()} is not closed",
        hint=f"close it with {_CLOSES[opening.group()[-1]]}; the text is read as a shell reads it",
        where=str(where),
    )


def _double(text: str, start: int, where: SourceRef) -> int:
    """Return where the double quotes end that begin here and hold a substitution; 0 if none."""
    if text[start] != '"':
        return 0
    position, found = start + 1, False
    while position < len(text):
        if text[position] == '"':
            return position + 1 if found else 0
        if text[position] == "\\":
            position += 2
        elif end := _substitution(text, position, where):
            position, found = end, True
        else:
            position += 1
    return 0


def _unescaped(match: re.Match[str]) -> str:
    return "" if match.group(1).endswith("\n") else match.group(1)


def _ansi(match: re.Match[str]) -> str:
    code = match.group(1)
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number <= 0x10FFFF else match.group()
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _ANSI_LETTER.get(code, code if code in "\\'\"?" else match.group())


def quoted(value: str, like: str = "", *, equals: bool = False) -> str:
    """Return ``value`` as one word of shell text.

    Args:
        value: what the program is to get.
        like: the source of a word whose way of quoting is followed where it is safe.
        equals: a word with ``=`` is quoted too, as ``qm showcmd`` does.
    """
    if like.startswith('"') and like.endswith('"') and not re.search(r'["$`\\!]', value):
        return f'"{value}"'
    if like.startswith("'") and like.endswith("'") and "'" not in value:
        return f"'{value}'"
    if _SAFE.match(value) and not (equals and "=" in value):
        return value
    return shlex.quote(value) if not _SAFE.match(value) else f"'{value}'"


def from_list(values: list[str] | tuple[str, ...]) -> tuple[Word, ...]:
    """Return a list of arguments as words."""
    return tuple(
        Word(value, quoted(value), index, index + 1, 0, index + 1)
        for index, value in enumerate(values)
    )
