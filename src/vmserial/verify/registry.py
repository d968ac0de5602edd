"""A registry of checks: those announced and those done, so that a lost VM loses none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vmserial.verify.results import Check, Verdict

Key = tuple[str, ...]


def _key(check: Check) -> Key:
    return (
        check.vm, check.case, check.kind, check.port, check.direction, check.mode,
        check.unplugged, check.plugged,
    )  # fmt: skip


class CheckRegistry:
    """Checks that are announced, then decided one by one.

    Args:
        sink: told each decided check, in order.
    """

    def __init__(self, sink: Callable[[Check], None]) -> None:
        self._sink = sink
        self._open: dict[Key, Check] = {}

    def expect(self, check: Check) -> Check:
        """Announce a check; its verdict is not yet known.  Returns it."""
        self._open[_key(check)] = check
        return check

    def decide(self, check: Check, **found: Any) -> Check:
        """Give a check its verdict and what else was found, and pass it on.

        It need not have been announced: what is found on the way counts as well.
        """
        decided = replace(check, **found)
        self._open.pop(_key(check), None)
        self._sink(decided)
        return decided

    def close(self, verdict: Verdict, detail: str) -> int:
        """Decide all that is open in one way; return how many there were."""
        left = list(self._open.values())
        for check in left:
            self.decide(check, verdict=verdict, detail=detail)
        return len(left)
