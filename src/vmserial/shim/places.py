"""Where an installation's files are, what it wrote down about itself, and what is there.

::

    TARGET                        the wrapper, where the emulator was
    BASE/<key>/<generation>/      all that one wrapper reads; its directory is in its text
        modules code.<magic> source/ facts.json names/ shim.json

A new installation is a new generation; only then the wrapper is exchanged.  So
at each moment a wrapper has its own files, whole.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from vmserial.errors import UsageError
from vmserial.shim.mark import MARK
from vmserial.shim.tree import Tree

BASE = "/usr/lib/vmserial-shim"
LOG = "/var/log/vmserial-shim.log"

RECORD = "shim.json"
NEW = ".new-"

_KEY = re.compile(r".+-[0-9a-f]{8}\Z")
_GENERATION = re.compile(r"\.new-[0-9a-f]{8}\Z|.+-[0-9a-f]{12}-[0-9]+\Z")
"""What is ours in BASE, which a user names: nothing else there is looked at or removed."""

Way = Literal["divert", "path"]


@dataclass(frozen=True)
class Record:
    """What an installation wrote down about itself.

    Attributes:
        version: vmserial's.
        way: ``divert`` (dpkg-divert) or ``path`` (a wrapper beside the binary).
        target: the wrapper's path.
        real: the real binary's path.
        home: the generation's directory.
        python: the interpreter.
        log: the log's path.
        names: further names of the emulator (``kvm``).
        files: the SHA-256 of each file in ``home``, by its path there.
    """

    version: str
    way: Way
    target: str
    real: str
    home: str
    python: str
    log: str
    names: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the text of ``shim.json``."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Read it.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        values = {entry.name: data[entry.name] for entry in fields(cls)}
        for name in ("version", "target", "real", "home", "python", "log"):
            if not isinstance(values[name], str):
                raise TypeError(name)
        if values["way"] not in ("divert", "path") or not isinstance(values["files"], dict):
            raise ValueError("way")
        return cls(**{**values, "names": tuple(values["names"])})


def key_of(target: str) -> str:
    """Return the name of a wrapper's directory in BASE: readable, and unique."""
    plain = target.strip("/").replace("/", "-")
    return f"{plain[-60:]}-{hashlib.sha256(target.encode()).hexdigest()[:8]}"


def wrapper_home(tree: Tree, target: str) -> str | None:
    """Return the directory that a wrapper of ours names; None if no such wrapper is there."""
    try:
        with tree.at(target).open("rb") as stream:
            text = stream.read(1 << 16)
    except OSError:
        return None
    lines = text.split(b"\n")
    if not (lines[0].startswith(b"#!") and len(lines) > 1 and lines[1].startswith(MARK)):
        return None
    last = next((line for line in reversed(lines) if line.startswith(b"main(")), b"")
    try:
        return os.fsdecode(ast.literal_eval(last[4:].decode())[1])
    except (ValueError, SyntaxError, TypeError, IndexError):
        return ""


def record_in(tree: Tree, home: str) -> Record | None:
    """Return what a generation says about itself; None if it is not whole."""
    try:
        data = json.loads(tree.at(f"{home}/{RECORD}").read_bytes())
        return Record.from_json(data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def generations(tree: Tree, base: str, key: str) -> list[str]:
    """Return the directories of all generations of one wrapper, the half-written too."""
    try:
        found = tree.at(f"{base}/{key}").iterdir()
        names = sorted(path.name for path in found if _GENERATION.match(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(
            f"cannot look into {base}/{key}: {error.strerror}", hint="run it as root"
        ) from None
    return [f"{base}/{key}/{name}" for name in names]


def installations(tree: Tree, base: str) -> Iterator[tuple[str, Record | None]]:
    """Yield each wrapper's key, and its record: of the generation in use, else of any.

    Raises:
        UsageError: the base cannot be read.
    """
    try:
        found = tree.at(base).iterdir()
        keys = sorted(p.name for p in found if p.is_dir() and _KEY.match(p.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot look into {base}: {error.strerror}", hint="run as root") from None
    for key in keys:
        if not generations(tree, base, key) and any(tree.at(f"{base}/{key}").iterdir()):
            continue  # somebody else's, by its content
        records = [r for home in generations(tree, base, key) if (r := record_in(tree, home))]
        used = [r for r in records if wrapper_home(tree, r.target) == r.home]
        yield key, next(iter([*used, *records]), None)
