"""Finds vmserial's own compiled modules without looking through directories.

The standard machinery asks each finder, lists directories and splits paths for every module:
half of what importing a small one takes.  Here a module's file is where its name says.  What is
not there, or not compiled from the source as it is now, is left to the standard machinery.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER
from types import CodeType, ModuleType
from typing import Any

_HEAD = 16
"""Bytes before the code of a .pyc file: magic, flags, the source's time and size (PEP 552)."""


class _Loader:
    """Runs code that was read already."""

    def __init__(self, code: CodeType) -> None:
        self.code = code

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the machinery."""
        del spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        exec(self.code, module.__dict__)


class Finder:
    """Finds modules of one package.

    Args:
        package: its name.
        directory: where it is.
    """

    def __init__(self, package: str, directory: str) -> None:
        self.prefix, self.directory = f"{package}.", directory
        self.tail = f".{sys.implementation.cache_tag}.pyc"

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where a module is, with its code; None for one that is not found so."""
        del path, target
        if not name.startswith(self.prefix):
            return None
        above, _, own = f"{self.directory}/{name[len(self.prefix) :].replace('.', '/')}".rpartition(
            "/"
        )
        whole = f"{above}/{own}"
        for source, compiled, package in (
            (f"{whole}.py", f"{above}/__pycache__/{own}{self.tail}", False),
            (f"{whole}/__init__.py", f"{whole}/__pycache__/__init__{self.tail}", True),
        ):
            code = _code(source, compiled)
            if code is not None:
                loader: Any = _Loader(code)  # two methods are all that the machinery asks for
                spec = ModuleSpec(name, loader, origin=source, is_package=package)
                spec.has_location = True
                spec.cached = compiled  # else it is worked out anew
                if package:
                    spec.submodule_search_locations = [whole]
                return spec
        return None


def _code(source: str, compiled: str) -> CodeType | None:
    """Return a module's compiled code if it is of its source as that is now."""
    try:
        with open(compiled, "rb", 0) as stream:  # noqa: PTH123 - pathlib is what this saves
            data = stream.read()
        now = os.stat(source)  # noqa: PTH116 - as above
    except OSError:
        return None
    head = (
        MAGIC_NUMBER
        + bytes(4)
        + (int(now.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
        + (now.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    )
    if data[:_HEAD] != head:
        return None
    code = marshal.loads(data[_HEAD:])
    return code if isinstance(code, CodeType) else None


def install() -> None:
    """Put the finder first, where compiled modules stand beside their sources."""
    import vmserial

    if sys.pycache_prefix is None and not sys.flags.optimize and vmserial.__file__:
        directory = os.path.dirname(vmserial.__file__)  # noqa: PTH120 - as above
        sys.meta_path.insert(0, Finder("vmserial", directory))
