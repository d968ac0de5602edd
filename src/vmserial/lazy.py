"""What an object works out when it is first asked for, and then keeps.

As :func:`functools.cached_property`, which takes a lock each time until Python 3.12: a
microsecond, where judging a VM asks for some hundreds of such facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from functools import cached_property as once
else:

    class once:
        """A method without arguments whose result takes its place in the object."""

        def __init__(self, work) -> None:
            self.work, self.__doc__ = work, work.__doc__

        def __set_name__(self, owner, name: str) -> None:
            self.name = name

        def __get__(self, of, owner=None):
            """Return the result; asked of the class, the method itself."""
            if of is None:
                return self
            of.__dict__[self.name] = found = self.work(of)
            return found


__all__ = ["once"]
