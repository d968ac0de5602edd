"""A stand-in for :mod:`re` whose patterns are compiled when they are first looked for.

Modules compile their patterns when they are imported, some hundreds; a call uses a few dozen
of them.  Even these took a sixth of a call, and :mod:`re` itself some more: so what they were
compiled to is remembered in a file, and handed to the machine below :mod:`re` as it is.  Where
that knows it not (a first call, another Python, no cache), :mod:`re` compiles it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_MOST = 400
"""Patterns that are remembered at most; some hold a VM's own number."""

_METHODS = frozenset(
    {"match", "search", "fullmatch", "sub", "subn", "finditer", "findall", "split"}
)

A = ASCII = 256
I = IGNORECASE = 2  # noqa: E741 - re's own name
M = MULTILINE = 8
S = DOTALL = 16
X = VERBOSE = 64

_SPECIAL = {i: f"\\{chr(i)}" for i in b"()[]{}?*+-|^$\\.&~# \t\n\r\v\f"}

_sre: Any = __import__("_sre")  # type checkers do not know it

_VERSION = [sys.version, _sre.MAGIC]

_path = ""
_remembered: dict[str, Any] = {}
_fresh: dict[str, Any] = {}
_made: dict[tuple[Any, int], Any] = {}


def remember(path: str) -> None:
    """Take what patterns were compiled to from a file, and let :func:`keep` write there.

    Args:
        path: of the file; what is not this user's, or does not fit, is not taken.
    """
    global _path
    _path = path
    try:
        with open(path, encoding="ascii") as stream:  # noqa: PTH123 - pathlib takes 4 ms
            if os.fstat(stream.fileno()).st_uid != os.geteuid():
                return
            import json

            # Not loads(): that looks for white space with a pattern, and there are none yet.
            data, _ = json.JSONDecoder().raw_decode(stream.read())
        if data["version"] == _VERSION:
            _remembered.update(data["patterns"])
    except (OSError, ValueError, KeyError, TypeError):
        pass


def keep() -> None:
    """Write what was compiled anew beside what was remembered; in vain where that cannot be."""
    if not _fresh or not _path or len(_remembered) >= _MOST:
        return
    import json

    text = json.dumps({"version": _VERSION, "patterns": {**_remembered, **_fresh}})
    aside = f"{_path}.{os.getpid()}"
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="ascii") as stream:  # noqa: PTH123
                stream.write(text)
            os.replace(aside, _path)  # noqa: PTH105 - pathlib takes 4 ms
        except OSError:
            os.unlink(aside)  # noqa: PTH108
    except OSError:
        pass


def _compiled(text: Any, flags: int) -> Any:
    """Return a real pattern."""
    made = _made.get((text, flags))
    if made is None:
        known = f"{flags}{'s' if isinstance(text, str) else 'b'}" + (
            text if isinstance(text, str) else text.decode("latin-1")
        )
        made = _made[text, flags] = _of_memory(text, known) or _of_re(text, flags, known)
    return made


def _of_memory(text: Any, known: str) -> Any:
    given = _remembered.get(known)
    if given is None:
        return None
    try:
        flags, code, groups, index, names = given
        # The machine looks through the code before it takes it.
        return _sre.compile(
            text, flags, [int(each) for each in code.split()], groups, index, tuple(names)
        )
    except (ValueError, TypeError, AttributeError, RuntimeError, OverflowError):
        return None


def _of_re(text: Any, flags: int, known: str) -> Any:
    """Compile a pattern, and keep what the real module gives to the machine."""
    compiler, machine = _real()._compiler, _sre

    class Watched:
        """The machine, seen by the compiler."""

        def __getattr__(self, name: str) -> Any:
            return getattr(machine, name)

        def compile(self, pattern: Any, flags: int, code: Any, groups: int, index: Any,
                    names: Any) -> Any:  # fmt: skip
            """Note what it gets."""
            words = " ".join(str(int(each)) for each in code)
            _fresh[known] = [int(flags), words, groups, dict(index), list(names)]
            return machine.compile(pattern, flags, code, groups, index, names)

    compiler._sre = Watched()
    try:
        return compiler.compile(text, flags)
    finally:
        compiler._sre = machine


def _real() -> Any:
    """Import the real module, wherever this one stands in its place."""
    found = _real.__dict__.get("found")
    if found is None:
        given = sys.modules.pop("re", None)
        try:
            import re as found
        finally:
            if given is not None:
                sys.modules["re"] = given
        _real.__dict__["found"] = found
    return found


class _Pattern:
    """A pattern that becomes the real one when something is looked for with it."""

    def __init__(self, pattern: Any, flags: Any = 0) -> None:
        self._text, self._flags = pattern, int(flags)

    def __getattr__(self, name: str) -> Any:
        if name == "pattern":  # other patterns are made of it
            return self._text
        if name in _METHODS:
            # Who only keeps the method, as json does, has not looked for anything yet.
            return lambda *values, **named: self._method(name)(*values, **named)
        return getattr(_compiled(self._text, self._flags), name)

    def _method(self, name: str) -> Callable[..., Any]:
        made = _compiled(self._text, self._flags)
        self.__dict__ |= {each: getattr(made, each) for each in _METHODS}
        return getattr(made, name)  # type: ignore[no-any-return]


def compile(pattern: Any, flags: Any = 0) -> Any:
    """Return a pattern that is compiled later."""
    return _Pattern(pattern, flags)


def escape(pattern: Any) -> Any:
    """Return a text as a pattern that matches it alone."""
    if isinstance(pattern, str):
        return pattern.translate(_SPECIAL)
    return str(pattern, "latin1").translate(_SPECIAL).encode("latin1")


def match(pattern: Any, string: Any, flags: Any = 0) -> Any:
    """Look for a pattern at the beginning."""
    return _compiled(pattern, int(flags)).match(string)


def fullmatch(pattern: Any, string: Any, flags: Any = 0) -> Any:
    """Hold a whole text against a pattern."""
    return _compiled(pattern, int(flags)).fullmatch(string)


def search(pattern: Any, string: Any, flags: Any = 0) -> Any:
    """Look for a pattern anywhere."""
    return _compiled(pattern, int(flags)).search(string)


def findall(pattern: Any, string: Any, flags: Any = 0) -> Any:
    """Return all that a pattern matches."""
    return _compiled(pattern, int(flags)).findall(string)


def finditer(pattern: Any, string: Any, flags: Any = 0) -> Any:
    """Yield all that a pattern matches."""
    return _compiled(pattern, int(flags)).finditer(string)


def sub(pattern: Any, repl: Any, string: Any, count: int = 0, flags: Any = 0) -> Any:
    """Replace what a pattern matches."""
    return _compiled(pattern, int(flags)).sub(repl, string, count)


def split(pattern: Any, string: Any, maxsplit: int = 0, flags: Any = 0) -> Any:
    """Split a text at what a pattern matches."""
    return _compiled(pattern, int(flags)).split(string, maxsplit)


def __getattr__(name: str) -> Any:
    return getattr(_real(), name)
