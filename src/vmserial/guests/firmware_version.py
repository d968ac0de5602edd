"""Which version a UEFI's image is: of its package, or as the image tells; nothing is fetched.

On its own, as `plan` asks it at each call, and what fetches packages takes longer to import.
"""

from __future__ import annotations

import re
from pathlib import Path

from vmserial.paths import cache_dir

_OF_DIRECTORY = {"OVMF": ("ovmf", "ovmf-generic"), "AAVMF": ("qemu-efi-aarch64",)}
"""The packages of a directory of /usr/share, where they are not called alike; as of 2026 Debian's
ovmf is empty and depends on ovmf-generic."""

_IN_IMAGE = re.compile(rb"(?:2\0)(?:0\0)(?:[0-9]\0){2}\.\0(?:[0-9]\0){2}(?:[!-~]\0)*")
"""A release in UTF-16, as AAVMF of 2025.02 and later has it; of OVMF it is packed."""


_TOLD_WITHIN = 1 << 20
"""Bytes of an image in which it is looked for; AAVMF has it in the first 32 KiB."""


def version_of(path: Path, data: bytes | None = None, root: str = "/") -> str:
    """Return the version of a UEFI's image: its package's, or what the image tells; or empty.

    Args:
        path: of the image.
        data: what is in it; None: it is read.
        root: where the machine's files are.
    """
    here = Path(root, str(path).lstrip("/"))
    try:
        real = here.resolve()
        parts = real.relative_to(Path(root).resolve()).parts
        if parts[:2] == ("usr", "share") and len(parts) > 2:
            packages = _OF_DIRECTORY.get(parts[2], (parts[2],))
            if real.name.startswith("AAVMF32"):
                packages = ("qemu-efi-arm",)
            for package in packages:
                if version := installed_version(package, root):
                    return version
        note = next((one / "version" for one in real.parents if (one / "version").is_file()), None)
        if note is not None and note.is_relative_to(cache_dir("firmware")):
            return note.read_text("utf-8")
        if data is None:
            with real.open("rb") as stream:
                data = stream.read(_TOLD_WITHIN)
        found = _IN_IMAGE.search(data[:_TOLD_WITHIN])
    except (OSError, ValueError):
        return ""
    return found[0].decode("utf-16-le") if found else ""


def installed_version(package: str, root: str = "/") -> str:
    """Return the version of an installed package; empty where dpkg does not know it."""
    try:
        text = Path(root, "var/lib/dpkg/status").read_text("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(rf"^Package: {re.escape(package)}\n(?:.+\n)*?Version: (\S+)$", text, re.M)
    return found[1] if found else ""
