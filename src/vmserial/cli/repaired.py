"""What all kinds of `fix` print and write: changes, what is left, a diff, the result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vmserial.cli.output import complain, printable
from vmserial.cli.subject import FixWords, input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError

if TYPE_CHECKING:
    from vmserial.judging import Change
    from vmserial.model import Finding


def finish(
    asked: VmOptions,
    words: FixWords,
    *,
    before: str,
    after: str,
    changes: Sequence[Change],
    left: Sequence[Finding],
    printed: bool,
) -> int:
    """Tell what was mended and what is left, then print or write the result.

    Args:
        asked: whose ``input`` is the file.
        words: where it is to go.
        before: the text as it was.
        after: the mended text.
        changes: what was mended.
        left: what is wrong still.
        printed: without any option the result itself goes to stdout; else a diff does.

    Returns:
        0: nothing is left; 1: something is.

    Raises:
        UsageError: --apply without a file.
    """
    shown = words.diff or not (words.apply or words.output or printed)
    # First: what cannot be written is not mended.
    wrote = write(input_of(asked).path, words, before, after)
    for change in changes:
        complain(f"{'would mend' if shown else 'mended'}: {change.text}  [{change.id}]")
    if asked.kinds and not changes:
        complain("know: --type had no part in this: no port needs another device")
    for finding in left:
        complain(f"left: {finding.happens}  [{finding.id}]\n  hint: {finding.fix}")
    if not changes and not left:
        complain("nothing is wrong; nothing was changed")
    if words.diff:
        sys.stdout.write(printable(diff(before, after, asked.input or "command")))
    elif words.apply or words.output not in {"", "-"}:
        if wrote:
            complain(wrote)
    elif printed or words.output == "-":
        # As it is: a shell must read exactly these words.
        sys.stdout.write(after)
    elif changes:
        sys.stdout.write(printable(diff(before, after, asked.input)))
        complain("nothing was written: --apply writes it in place, -o FILE elsewhere")
    return 1 if left else 0


def write(path: str, words: FixWords, before: str, after: str) -> str:
    """Write the result in the input's place or into another file, where that was asked for.

    Args:
        path: the input's; empty if it is no file.
        words: where it is to go.
        before: the text as it was.
        after: the mended text.

    Returns:
        What was written where; empty if there was nothing to write.

    Raises:
        UsageError: there is no file to write to.
        ConfigError: it cannot be written, or was changed meanwhile.
    """
    from vmserial.files import new_file, replace_file

    def raw(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    if words.output == "-" or not (words.output or words.apply):
        return ""
    if words.output:
        new_file(words.output, raw(after))
        return f"written: {words.output}"
    if not path:
        raise no_file()
    if before == after:
        return ""
    backup = replace_file(path, raw(before), raw(after))
    return f"written: {path}; as it was: {backup}"


def no_file() -> UsageError:
    """Return the refusal of --apply for what is no file."""
    return UsageError(
        "--apply needs a file to write to, and this input is none",
        hint="-o FILE writes the result into a new file", where="--apply",
    )  # fmt: skip


def diff(before: str, after: str, name: str, then: str = "mended") -> str:
    """Return a unified diff."""
    import difflib  # `doctor` shows none

    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, f"{name} ({then})"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
