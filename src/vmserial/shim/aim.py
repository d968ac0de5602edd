"""What an installation is about: which binary, where its wrapper goes, and what forbids it."""

from __future__ import annotations

import contextlib
import os

from vmserial.errors import UsageError
from vmserial.shim import places
from vmserial.shim.diversion import Diversion
from vmserial.shim.places import Way
from vmserial.shim.tree import Tree, same


def aim(tree: Tree, binary: str, path: str = "", base: str = places.BASE) -> tuple[Way, str, str]:
    """Return way, target and real binary for an emulator.

    Args:
        tree: where.
        binary: the emulator's path, or that of a link to it.
        path: where to put a wrapper beside it; empty: in its place, by dpkg-divert.
        base: the directory of all installations: what is half-done is known from there.

    Raises:
        UsageError: it is not there, or something else stands where the wrapper would.
    """
    found = tree.resolved(binary)
    home = places.wrapper_home(tree, found)
    if home is not None and path and found != path:
        raise UsageError(
            f"{found} is a wrapper of vmserial already",
            hint=f"use {found} as it is, or remove that shim first: vmserial shim remove",
        )
    if path:
        target = tree.resolved(os.path.dirname(path)) + "/" + path.rpartition("/")[2]  # noqa: PTH120
        there = tree.at(target)
        if not there.parent.is_dir():
            raise UsageError(
                f"there is no directory {target.rpartition('/')[0]}",
                hint="make it, as root: mkdir -m 755",
            )
        if os.path.lexists(there) and places.wrapper_home(tree, target) is None:
            raise UsageError(
                f"{target} is there already, and is no wrapper of vmserial",
                hint="give another path, or remove it",
            )
        if home is not None:
            record = places.record_in(tree, home)
            if record is None:
                raise UsageError(f"{found} is a broken wrapper", hint="name the real binary")
            found = record.real
        _check_binary(tree, found)
        return "path", target, found
    diversion = Diversion(tree, found)
    begun = bool(places.generations(tree, base, places.key_of(found)))
    _check_diversion(tree, diversion, home is not None, begun)
    return "divert", found, diversion.aside


def _check_binary(tree: Tree, path: str) -> None:
    if not tree.at(path).is_file() or not os.access(tree.at(path), os.X_OK):
        raise UsageError(f"{path} is not an executable file", hint="name it with --binary")


def _check_diversion(tree: Tree, diversion: Diversion, wrapped: bool, begun: bool) -> None:
    path, aside = tree.at(diversion.path), tree.at(diversion.aside)
    to = diversion.to()
    if to and (to != diversion.aside or not diversion.local()):
        raise UsageError(
            f"{diversion.path} is diverted to {to} by somebody else",
            hint="see dpkg-divert --list; use --path FILE for a wrapper beside it",
        )
    if wrapped or (to and not path.exists()):
        if not aside.is_file():
            raise UsageError(
                f"the real binary {diversion.aside} is gone: its package was removed",
                hint="install the package again, or run vmserial shim remove",
            )
        return
    _check_binary(tree, diversion.path)
    if aside.exists() and not to and not begun and not same(path, aside):
        raise UsageError(
            f"{diversion.aside} is there already, and dpkg knows nothing of it",
            hint="move it away, or use --path FILE for a wrapper beside the binary",
        )
    if to and path.read_bytes()[:2] == b"#!":
        raise UsageError(
            f"at {diversion.path} stands a script of somebody else before {to}",
            hint="use --path FILE for a wrapper beside it",
        )


def names_of(tree: Tree, target: str) -> tuple[str, ...]:
    """Return the names of the links beside a binary that lead to it (``kvm``)."""
    directory = target.rpartition("/")[0]
    found = []
    with contextlib.suppress(OSError):
        for path in tree.at(directory or "/").iterdir():
            if path.is_symlink() and tree.resolved(f"{directory}/{path.name}") == target:
                found.append(path.name)
    return tuple(sorted(found))
