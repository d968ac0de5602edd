"""The catalogue: all that is known to go wrong with serial ports, by id and by the words seen.

Each finding of ``doctor`` and each refusal of the planner has a document, and so has
each error text of QEMU, of the guest and of the tools around them.  The documents are
Markdown files below ``rules/``, beside the rule that finds the thing; here they are read
(:mod:`~vmserial.catalogue.document`, :mod:`~vmserial.catalogue.library`) and recognized
in a text or a log (:mod:`~vmserial.catalogue.matching`).  Nothing imports it before it is
needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from vmserial.catalogue.document import Effect, RuleDoc, Text
from vmserial.catalogue.library import by_id, documents, ids

if TYPE_CHECKING:
    from vmserial.catalogue.matching import Match, Matcher, Reading

__all__ = [
    "Effect",
    "Match",
    "Reading",
    "RuleDoc",
    "Text",
    "by_id",
    "documents",
    "fragment",
    "ids",
    "matches",
    "nearest",
    "read",
]


def __getattr__(name: str) -> Any:
    # Who looks up one document has no text to recognize.
    if name in {"Match", "Reading"}:
        from vmserial.catalogue import matching

        return getattr(matching, name)
    raise AttributeError(name)


@cache
def _matcher() -> Matcher:
    from vmserial.catalogue.matching import Matcher

    return Matcher(documents())


def matches(text: str) -> tuple[Match, ...]:
    """Return what is known of a log, a dmesg or an error text: each document once, in order."""
    return _matcher().matches(text)


def read(source: Callable[[int], bytes]) -> Reading:
    """Return what is known of a log of any size, read piece by piece.

    Args:
        source: returns so many bytes at most, none at the end, as a file's ``read`` does.
    """
    return _matcher().read(source)


def fragment(words: str) -> list[RuleDoc]:
    """Return the documents in whose texts these words stand; ``…`` is for words left out."""
    return _matcher().fragment(words)


def nearest(words: str, most: int = 3) -> list[RuleDoc]:
    """Return the documents whose id, title or texts are the most like these words."""
    return _matcher().nearest(words, most)
