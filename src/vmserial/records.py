"""The frozen dataclasses of which judging a VM makes hundreds.

To mypy, which every commit passes, they are frozen.  While the program runs they are not: the
``__init__`` of a frozen one sets each field by way of ``object.__setattr__``, which takes four
times as long as a plain assignment, and was a tenth of what judging a domain took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen: bool, eq: bool = True, slots: bool = False):
        """Return what makes a class a dataclass that compares and hashes as a frozen one."""
        if not dataclass.__kwdefaults__:
            # The stand-in of the standard library's (light/) sets all fields at once anyhow.
            return dataclass(frozen=frozen, eq=eq, slots=slots)
        return dataclass(eq=eq, unsafe_hash=frozen and eq, slots=slots)


__all__ = ["record"]
