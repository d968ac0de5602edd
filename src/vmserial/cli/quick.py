"""Where the program starts, and the short way of ``vmserial showcmd FILE``.

People put showcmd into loops and pipes, as they do ``virsh domxml-to-native``.
Three quarters of its time went into importing click and into making data classes.
So a call that needs no parser is answered here without either, with the
stand-ins of :mod:`vmserial.light`.  Whatever is not plain sailing (an option, an
error, a binary that must be asked) is left to the whole program, which starts
anew in the same process; what it says is all that is said.

``VMSERIAL_QUICK=0`` in the environment always takes the whole program.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Sequence

_SWITCH = "VMSERIAL_QUICK"

_FORMS = {"--pretty": (True, False), "--json": (False, True)}
"""(pretty, as JSON)."""

_NEVER = ("asyncio", "click", "multiprocessing", "rich", "socket", "subprocess")
"""Who needs these has more to do than to read and to plan: a binary that must be asked."""


def main() -> None:
    """Run the program."""
    if os.environ.get(_SWITCH) != "0" and "_VMSERIAL_COMPLETE" not in os.environ:
        found = _plain(sys.argv[1:])
        if found is not None:
            _answer(*found)
    from vmserial.cli.main import main as whole

    whole()


def _plain(words: Sequence[str]) -> tuple[str, bool, bool] | None:
    """Return file, pretty and JSON of a call that needs no parser; None for any other."""
    if len(words) < 2 or words[0] != "showcmd":
        return None
    files = [word for word in words[1:] if not word.startswith("-")]
    forms = [_FORMS[word] for word in words[1:] if word in _FORMS]
    if len(files) != 1 or len(forms) > 1 or len(files) + len(forms) + 1 != len(words):
        return None
    try:
        # What can be read only once is left to the whole program.
        readable = stat.S_ISREG(os.stat(files[0]).st_mode)  # noqa: PTH116 - pathlib takes 4 ms
    except (OSError, ValueError):
        return None
    pretty, as_json = forms[0] if forms else (False, False)
    return (files[0], pretty, as_json) if readable else None


def _answer(path: str, pretty: bool, as_json: bool) -> None:
    """Print the command line and end the process, or begin it anew as the whole program."""
    out, err = sys.stdout, sys.stderr
    if not isinstance(out, io.TextIOWrapper) or not isinstance(err, io.TextIOWrapper):
        return
    if not sys.executable:
        return  # there would be no way back
    notes = io.StringIO()
    try:
        sys.stderr = notes
        text = _text(path, pretty, as_json)
        if sys.modules["vmserial.paths"].TROUBLE:
            raise LookupError  # the whole program says where nothing could be remembered
        said = ((err, notes.getvalue()), (out, text))
        for stream, content in said:  # all or nothing
            content.encode(stream.encoding, "surrogateescape")
        for stream, content in said:
            stream.reconfigure(errors="surrogateescape")
            stream.write(content)
            stream.flush()
    except KeyboardInterrupt:
        os._exit(130)
    except BrokenPipeError:
        os._exit(141)
    except Exception:  # noqa: BLE001 - whatever it is, the whole program says it
        os.environ[_SWITCH] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    os._exit(0)  # nothing is left to do; taking the interpreter down takes 5 ms


def _text(path: str, pretty: bool, as_json: bool) -> str:
    import gc

    gc.disable()
    if path.lower().endswith(".toml"):
        import tomllib  # noqa: F401 - it makes a NamedTuple, which needs the real typing
    from vmserial.light import typing

    sys.modules["typing"] = typing
    from vmserial.light import dataclasses, pkgutil

    sys.modules |= {"dataclasses": dataclasses, "pkgutil": pkgutil}
    sys.modules |= dict.fromkeys(_NEVER)  # type: ignore[arg-type] # None forbids the import
    from vmserial.cli.asked import Asked
    from vmserial.cli.command_text import command_text

    return command_text(Asked(path), pretty=pretty, as_json=as_json)
