"""A stand-in for :mod:`pkgutil`, which imports inspect: it lists a package's modules."""

from __future__ import annotations

import posix
import sys
from collections.abc import Iterator, Sequence


class ModuleInfo:
    """A module of a package."""

    def __init__(self, name: str, ispkg: bool) -> None:
        self.name, self.ispkg = name, ispkg


def iter_modules(path: Sequence[str]) -> Iterator[ModuleInfo]:
    """Yield a package's modules by name, as the real one does.

    Those of the shim; without one, those of a directory that holds no packages.
    """
    finder = next((f for f in sys.meta_path if hasattr(f, "kinds")), None)
    if finder is None:
        files = sorted(name for name in posix.listdir(path[0]) if name.endswith(".py"))
        yield from (ModuleInfo(name[:-3], False) for name in files if name != "__init__.py")
        return
    for name, kind in sorted(finder.kinds.items()):
        package, _, own = name.rpartition(".")
        if package == path[0]:
            yield ModuleInfo(own, kind == "package")
