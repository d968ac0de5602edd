"""Paths of unix sockets that the system takes."""

from __future__ import annotations

import zlib

from vmserial.limits import SUN_PATH_MAX


def shorter(path: str, stem: str) -> str:
    """Return a path nearer to the root, in a directory that is there if the given one is.

    Args:
        path: one that is too long.
        stem: how the new name begins.

    Returns:
        The path; empty if there is none.
    """
    raw = path.encode("utf-8", "surrogateescape")
    directory = path.rpartition("/")[0]
    name = f"{stem}-{zlib.crc32(raw):08x}"
    while directory:
        found = f"{directory}/{name}"
        if len(found.encode("utf-8", "surrogateescape")) <= SUN_PATH_MAX:
            return found
        directory = directory.rpartition("/")[0]
    return ""
