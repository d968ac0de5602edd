"""Where in a user's files something stands, and what a reader has to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vmserial.records import record


@record(frozen=True)
class SourceRef:
    """Where something was written: a file and a line (1-based), or an option."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Note:
    """Something the user must hear about the input; never fatal.

    Attributes:
        kind: ``warning`` (the input is odd), ``untranslated`` (a key that has no
            part in the command), ``replaced`` (translated to something else).
    """

    kind: Literal["warning", "untranslated", "replaced"]
    message: str
    where: SourceRef | None = None
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text
