"""Tests side by side: how many, and what stays together (``make test``: ``-p abreast -n auto``).

pytest-xdist has marks for groups (``--dist loadgroup``), but writes them into the tests' names,
which pytest 9 no longer lets it: the groups were silently none.  So the names alone decide here.
"""

from __future__ import annotations

import os
import re

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

TOGETHER = {
    "libvirt": r"live/test_\w*libvirt\w*\.py::",
    "mutants": r"live/test_verify_commands\.py::test_a_mutant_",
    "damage": r"live/test_verify_live\.py::test_damage_",
    "mypy": r"unit/test_lint\.py::test_types",
}
"""One worker runs these one after the other: they share a libvirtd or a VM, or write one cache."""


def group(nodeid: str) -> str:
    """Return what a test stays together with; its own name if it is free."""
    for name, pattern in TOGETHER.items():
        if re.search(pattern, nodeid):
            return name
    return nodeid


class Abreast(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each worker the next test, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        # Else those with the largest group come first, whatever the order is.
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Abreast:
    """Choose the scheduler."""
    return Abreast(config, log)


# Before xdist's own, which was registered after this one.
@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many run at once: two more than there are cores.

    More than half of the unit tests' time, and a third of the live ones', is waiting for what
    never comes.
    """
    return len(os.sched_getaffinity(0)) + 2
