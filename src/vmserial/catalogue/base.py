"""What an entry of the catalogue says, and how a text that somebody saw is told from others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

EVERYBODY = ("PVE", "libvirt", "QEMU")
"""``QEMU``: who writes its command line themselves."""

ALL = "QEMU 5.2 to 11.1"
"""Started with 5.2, 7.2, 10.0 and 11.1, and all of them said it."""

_BLANK = re.compile(r"<([^>]*)>")
_BLANK_MOST = 400


class Effect(StrEnum):
    """What it does to the VM, the worst first."""

    FAILS = "does not start"
    DEAD = "dead port"
    LOSES = "loses data"
    REFUSED = "refused while it runs"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class Text:
    """Words that QEMU, the guest's kernel or a tool prints.

    Attributes:
        words: the exact words; what differs from case to case stands in ``<>``
            as an example.
        seen: who prints it, in which versions.
    """

    words: str
    seen: str = ALL

    @property
    def example(self) -> str:
        """Return the words as somebody would see them."""
        return _BLANK.sub(r"\1", self.words)

    @property
    def pattern(self) -> str:
        """Return a regular expression that finds these words within one line.

        Each blank ends at the first place where the words go on, and is bounded,
        so that no text, however odd, takes long.
        """
        first, *others = (re.escape(part) for part in _BLANK.split(self.words)[::2])
        return first + "".join(rf"(?>[^\n]{{0,{_BLANK_MOST}}}?{part})" for part in others)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that goes wrong with serial ports.

    Attributes:
        id: stable; the one that ``doctor`` and ``plan --json`` give.
        title: one line.
        effect: what it does to the VM.
        happens: what the user sees.
        cause: why.
        way_out: what to do, the first for everybody; others begin with ``PVE:``,
            ``libvirt:`` or ``QEMU:`` where they are for those alone.
        source: how it is known.
        texts: by which words it is recognized; none where all are silent.
        who: who meets it.
        see: ids of what is near to it.
    """

    id: str
    title: str
    effect: Effect
    happens: str
    cause: str
    way_out: tuple[str, ...]
    source: str
    texts: tuple[Text, ...] = ()
    who: tuple[str, ...] = EVERYBODY
    see: tuple[str, ...] = ()
