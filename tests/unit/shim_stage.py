"""A stage for the shim: a directory that nobody else can change, and wrappers in it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmserial.guests import profile
from vmserial.judging import RepairPolicy
from vmserial.model import Capabilities
from vmserial.model.recorded import from_json
from vmserial.shim import bundle
from vmserial.shim.facts import Facts
from vmserial.shim.install import Order, install, run
from vmserial.shim.tree import Tree

RECORDED = Path(__file__).parents[1] / "data" / "capabilities"

PORTS = (
    "-machine", "virt", "-nodefaults",
    "-chardev", "socket,id=serial0,path=/run/s0,server=on,wait=off", "-serial", "chardev:serial0",
    "-chardev", "socket,id=serial1,path=/run/s1,server=on,wait=off",
    "-device", "isa-serial,chardev=serial1",
)  # fmt: skip
"""The article's case: aarch64 with an isa-serial."""


@contextlib.contextmanager
def stage() -> Iterator[Path]:
    """Give a directory that only this user can change, and its parents too.

    pytest's own lies below /tmp, where the shim reads nothing.
    """
    for place in (Path.home() / ".cache", Path.home(), Path("/var/lib"), Path("/opt")):
        if place.is_dir() and os.access(place, os.W_OK) and not Tree().stranger(str(place)):
            break
    else:
        raise AssertionError("no directory here belongs to root or this user alone")
    made = Path(tempfile.mkdtemp(prefix="vmserial-test-", dir=place.resolve()))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def capabilities(arch: str = "aarch64") -> Capabilities:
    """Return what Debian 12's QEMU has."""
    return from_json(json.loads((RECORDED / f"qemu-7.2-{arch}.json").read_text()))


def facts_of(real: str, arch: str = "aarch64", **wishes: Any) -> Facts:
    """Return facts as if ``real`` were Debian 12's QEMU."""
    return Facts(
        Tree().key(real), capabilities(arch), profile.unknown(arch), RepairPolicy(**wishes)
    )  # fmt: skip


@dataclass(frozen=True)
class Shim:
    """An installed wrapper.

    Attributes:
        directory: where all of it is.
        path: the wrapper.
        real: what it starts.
        home: the wrapper's own files.
    """

    directory: Path
    path: str
    real: str
    home: Path

    @property
    def log(self) -> Path:
        """What it has changed."""
        return self.directory / "log"

    def run(self, *words: str | bytes, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """Start it and wait for the end."""
        return subprocess.run([self.path, *words], capture_output=True, timeout=60, **more)

    def patched(self, old: str, new: str) -> Shim:
        """Return one whose wrapper has a text exchanged: a defect on purpose."""
        text = Path(self.path).read_text()
        assert text.count(old) == 1, (text.count(old), old)
        path = f"{self.path}-patched"
        Path(path).write_text(text.replace(old, new))
        Path(path).chmod(0o755)
        return Shim(self.directory, path, self.real, self.home)

    def before(self, real: str) -> Shim:
        """Return one with the same files that starts another binary."""
        path = self.directory / f"before-{Path(real).name}"
        text = bundle.wrapper(bundle.PYTHON, real, str(self.home), str(self.log))
        path.write_bytes(text)
        path.chmod(0o755)
        return Shim(self.directory, str(path), real, self.home)


def installed(directory: Path, real: str, arch: str = "aarch64", **wishes: Any) -> Shim:
    """Install a wrapper before ``real``."""
    tree = Tree()
    real = tree.resolved(real)
    target = str(directory / "qemu-system-aarch64")
    order = Order(
        "path", target, real, facts_of(real, arch, **wishes), base=str(directory / "lib"),
        log=str(directory / "log"),
    )  # fmt: skip
    run(install(tree, order))
    home = next((directory / "lib").glob("*/*/shim.json")).parent
    return Shim(directory, target, real, home)
