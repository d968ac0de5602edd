"""A stand-in for :mod:`pkgutil` within the shim: it lists the modules that the shim brings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence


class ModuleInfo:
    """A module of a package."""

    def __init__(self, name: str, ispkg: bool) -> None:
        self.name, self.ispkg = name, ispkg


def iter_modules(path: Sequence[str]) -> Iterator[ModuleInfo]:
    """Yield a package's modules by name, as the real one does."""
    finder = next(f for f in sys.meta_path if hasattr(f, "kinds"))
    for name, kind in sorted(finder.kinds.items()):
        package, _, own = name.rpartition(".")
        if package == path[0]:
            yield ModuleInfo(own, kind == "package")
