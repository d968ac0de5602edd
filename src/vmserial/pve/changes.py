"""What was mended, and what cannot be; data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One thing that was mended.

    Attributes:
        id: of the finding that it answers.
        ports: their names.
        text: what was, and what is now.
    """

    id: str
    ports: tuple[str, ...]
    text: str
