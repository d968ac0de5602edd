"""The catalogue: all that is known to go wrong with serial ports, by id and by the words seen.

Each finding of ``doctor`` and each refusal of the planner has an entry, and so has
each error text of QEMU and of the guest about serial ports.  Data and matching
only: no I/O.  Nothing imports it before it is needed, for it is large.
"""

from __future__ import annotations

from vmserial.catalogue import (
    buses,
    chardevs,
    devices,
    general,
    guest,
    libvirt,
    live,
    pve,
    silent,
    start,
)
from vmserial.catalogue.base import Effect, Entry, Text
from vmserial.catalogue.matching import Match, Matcher

__all__ = ["ENTRIES", "Effect", "Entry", "Match", "Text", "by_id", "fragment", "matches", "nearest"]

ENTRIES: tuple[Entry, ...] = (
    *pve.ENTRIES,
    *libvirt.ENTRIES,
    *devices.ENTRIES,
    *chardevs.ENTRIES,
    *buses.ENTRIES,
    *live.ENTRIES,
    *guest.ENTRIES,
    *silent.ENTRIES,
    *start.ENTRIES,
    *general.ENTRIES,
)
"""In the order of recognition: of two that fit one line, the first is meant."""

_MATCHER = Matcher(ENTRIES)


def by_id(id: str) -> Entry | None:
    """Return the entry of that id, or None."""
    return next((entry for entry in ENTRIES if entry.id == id), None)


def matches(text: str) -> list[Match]:
    """Return what is known of a log, a dmesg or an error text: each entry once, in order."""
    return _MATCHER.matches(text)


def fragment(words: str) -> list[Entry]:
    """Return the entries in whose texts these words stand; ``…`` is for words left out."""
    return _MATCHER.fragment(words)


def nearest(words: str, most: int = 3) -> list[Entry]:
    """Return the entries whose id, title or texts are the most like these words."""
    return _MATCHER.nearest(words, most)
