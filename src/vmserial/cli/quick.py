"""Where the program starts, and the short way of plain calls.

People put showcmd, doctor, plan and ``fix --diff`` into loops and pipes, as they do ``virsh
domxml-to-native``.  Most of a call's time went into importing click and into making data
classes.  So a call that needs no parser is answered here without either, with the stand-ins of
:mod:`vmserial.light`.  Whatever is not plain sailing (another option, an error, a binary that
must be asked) is left to the whole program, which starts anew in the same process; what it
says is all that is said.

``VMSERIAL_QUICK=0`` in the environment always takes the whole program.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Sequence

_SWITCH = "VMSERIAL_QUICK"

_FLAGS = {
    "showcmd": ((), ("--pretty",), ("--json",)),
    "doctor": ((), ("--json",)),
    "plan": ((), ("--json",)),
    # Without --no-check a QEMU is started.
    "fix": (("--diff", "--no-check"),),
}
"""Of each verb the options that a plain call may have, sorted."""

_NEVER = ("asyncio", "click", "multiprocessing", "rich", "socket", "subprocess")
"""Who needs these has more to do than to read and to plan: a binary that must be asked."""

_Call = tuple[str, str, tuple[str, ...]]
"""Verb, file, options."""


def main() -> None:
    """Run the program."""
    if os.environ.get(_SWITCH) != "0" and "_VMSERIAL_COMPLETE" not in os.environ:
        found = _plain(sys.argv[1:])
        if found is not None:
            _answer(*found)
    from vmserial.cli.main import run

    _leave(run())


def _leave(code: int) -> None:
    """End the process, and leave it to the system to take the interpreter down.

    Python itself needs 20 ms for it after a verification.  All that is to be done at the end is
    done before.
    """
    import atexit
    import threading

    if threading.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)  # Python has its words and a status of its own for this
    os._exit(code)


def _plain(words: Sequence[str]) -> _Call | None:
    """Return a call that needs no parser; None for any other."""
    if len(words) < 2 or words[0] not in _FLAGS:
        return None
    files = [word for word in words[1:] if not word.startswith("-")]
    flags = tuple(sorted(word for word in words[1:] if word.startswith("-")))
    if len(files) != 1 or flags not in _FLAGS[words[0]]:
        return None
    try:
        # What can be read only once is left to the whole program.
        readable = stat.S_ISREG(os.stat(files[0]).st_mode)  # noqa: PTH116 - pathlib takes 4 ms
    except (OSError, ValueError):
        return None
    return (words[0], files[0], flags) if readable else None


class _Page(io.StringIO):
    """A stream that keeps what is said on it, in one row with the other stream."""

    def __init__(self, real: io.TextIOWrapper, said: list[tuple[io.TextIOWrapper, str]]) -> None:
        super().__init__()
        self.real, self.said = real, said

    def write(self, text: str, /) -> int:
        self.said.append((self.real, text))
        return len(text)

    def isatty(self) -> bool:
        return self.real.isatty()


def _answer(verb: str, path: str, flags: Sequence[str]) -> None:
    """Print the answer and end the process, or begin it anew as the whole program."""
    out, err = sys.stdout, sys.stderr
    if not isinstance(out, io.TextIOWrapper) or not isinstance(err, io.TextIOWrapper):
        return
    if not sys.executable or (verb != "showcmd" and out.isatty()):
        return  # there would be no way back; a terminal gets rich's tables
    said: list[tuple[io.TextIOWrapper, str]] = []
    code = 0
    try:
        sys.stdout, sys.stderr = _Page(out, said), _Page(err, said)
        code = _said(verb, path, flags)
        if sys.modules["vmserial.paths"].TROUBLE:
            raise LookupError  # the whole program says where nothing could be remembered
        for stream, content in said:  # all or nothing
            content.encode(stream.encoding, "surrogateescape")
        for stream in (out, err):
            stream.reconfigure(errors="surrogateescape")
        for index, (stream, content) in enumerate(said):
            stream.write(content)
            if index + 1 == len(said) or said[index + 1][0] is not stream:
                stream.flush()
    except KeyboardInterrupt:
        os._exit(130)
    except BrokenPipeError:
        os._exit(141)
    except Exception:  # noqa: BLE001 - whatever it is, the whole program says it
        os.environ[_SWITCH] = "0"
        sys.stdout, sys.stderr = out, err
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    sys.modules["re"].keep()  # lazyre's
    os._exit(code)  # nothing is left to do; taking the interpreter down takes 5 ms


def _said(verb: str, path: str, flags: Sequence[str]) -> int:
    """Run a verb as its module without click does, and return the exit code."""
    import gc

    gc.disable()
    if path.lower().endswith(".toml"):
        import tomllib  # noqa: F401 - it makes a NamedTuple, which needs the real typing
    from vmserial.light import typing

    sys.modules["typing"] = typing
    from vmserial.light import finder

    finder.install()
    from vmserial.light import dataclasses, lazyre, pkgutil

    sys.modules |= {"dataclasses": dataclasses, "pkgutil": pkgutil, "re": lazyre}
    _without_urls()
    lazyre.remember(_patterns())
    sys.modules |= dict.fromkeys(_NEVER)  # type: ignore[arg-type] # None forbids the import
    from vmserial.cli.subject import FixWords, resolved
    from vmserial.cli.vm_options import VmOptions

    # Read once, as the whole program does: else each who asks reads the file again.
    asked, as_json = resolved(VmOptions(path)), "--json" in flags
    if verb == "showcmd":
        from vmserial.cli.command_text import command_text

        text = command_text(asked, pretty="--pretty" in flags, as_json=as_json)
        sys.stdout.write(text)
        return 0
    if verb == "plan":
        from vmserial.cli.plan_text import plan

        return plan(asked, as_json=as_json)
    if verb == "doctor":
        from vmserial.cli.doctor_text import doctor

        return doctor(asked, FixWords(), as_json=as_json)
    from vmserial.cli.mending import fix

    return fix(asked, FixWords(diff=True, no_check=True))


def _patterns() -> str:
    """Return the file in which compiled patterns are remembered: in the cache of paths.py."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.cache")  # noqa: PTH111 - pathlib takes 4 ms
    return f"{base}/vmserial/patterns.{sys.implementation.cache_tag}.json"


def _without_urls() -> None:
    """Import pathlib without urllib.parse, of which only ``Path.as_uri`` needs a name."""
    from types import ModuleType

    stub = ModuleType("urllib.parse")
    stub.quote_from_bytes = None  # type: ignore[attr-defined] # whoever calls it takes the long way
    given = {name: sys.modules.get(name) for name in ("urllib", "urllib.parse")}
    sys.modules |= {"urllib": ModuleType("urllib"), "urllib.parse": stub}
    try:
        import pathlib  # noqa: F401 - with the stub
    finally:
        for name, module in given.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
