"""The kept inputs of each parser: one zip file each below tests/data/fuzz.

python tests/fuzz/store.py PARSER DIRECTORY    keeps the files of DIRECTORY
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data" / "fuzz"
_EPOCH = (2026, 1, 1, 0, 0, 0)


def inputs(name: str) -> list[bytes]:
    """Return a parser's inputs; none if nothing is kept yet."""
    path = DATA / f"{name}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(entry) for entry in archive.namelist()]


def keep(name: str, found: list[bytes]) -> Path:
    """Write a parser's inputs; the same inputs give the same bytes."""
    path = DATA / f"{name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {hashlib.sha256(data).hexdigest()[:16]: data for data in found}
    with zipfile.ZipFile(path, "w") as archive:
        for digest, data in sorted(named.items()):
            entry = zipfile.ZipInfo(digest, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data, compresslevel=9)
    return path


if __name__ == "__main__":
    keep(sys.argv[1], [p.read_bytes() for p in sorted(Path(sys.argv[2]).iterdir())])
