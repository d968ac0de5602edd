"""Debian's network installer as a guest, from its own package."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from vmserial.guests.apt import PrivateApt, extract
from vmserial.paths import cache_dir, locked

_BOUND = 900.0
"""Seconds to wait for another process that fetches it."""


def installer(debian: str, suite: str = "trixie", release: int = 13) -> tuple[Path, Path]:
    """Return the kernel and the initrd of Debian's network installer, from its package."""
    where = cache_dir("full", f"installer-{suite}-{debian}")
    kernel, initrd = where / "linux", where / "initrd.gz"
    with locked(where / "lock", _BOUND):
        if not kernel.is_file():
            name = f"debian-installer-{release}-netboot-{debian}"
            (package,) = PrivateApt(debian, suite).download([name])
            folder = Path(tempfile.mkdtemp(dir=where))
            # Both are also there for the graphical one.
            names = extract(
                package, folder,
                lambda one: "/text/" in one and one.endswith(("/linux", "/initrd.gz")),
            )  # fmt: skip
            for one in sorted(names):
                (folder / one).rename(where / one.rpartition("/")[2])
            shutil.rmtree(folder)
            package.unlink()
    return kernel, initrd
