"""dpkg-divert(1): a package's file under another name, also after the package's upgrade."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from vmserial.errors import UsageError
from vmserial.shim.tree import Tree

SUFFIX = ".distrib"
_BOUND = 60.0


@dataclass(frozen=True)
class Diversion:
    """The diversion of one path.

    Attributes:
        tree: where.
        path: the file that a package owns, or none does.
    """

    tree: Tree
    path: str

    @property
    def aside(self) -> str:
        """Where dpkg puts the package's file."""
        return self.path + SUFFIX

    def to(self) -> str:
        """Return where the path is diverted to at present; empty if it is not.

        Raises:
            UsageError: dpkg-divert is missing or fails.
        """
        name = self._run("--truename", self.path).strip()
        return "" if name == self.path else name

    def local(self) -> bool:
        """Tell whether the diversion that is there is an administrator's, not a package's."""
        return self._run("--listpackage", self.path).strip() == "LOCAL"

    def add(self) -> None:
        """Register it; no file is moved."""
        self._run("--local", "--no-rename", "--divert", self.aside, "--add", self.path)

    def remove(self) -> None:
        """Strike it out; no file is moved."""
        self._run("--local", "--no-rename", "--divert", self.aside, "--remove", self.path)

    def _run(self, *words: str) -> str:
        program = shutil.which("dpkg-divert", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise UsageError(
                "there is no dpkg-divert: this is no Debian or Proxmox VE",
                hint="install the shim beside the binary instead: --path FILE (for libvirt's "
                "<emulator>) or --dir DIR (for PATH)",
            )
        root = ["--root", self.tree.root] if self.tree.root else []
        try:
            done = subprocess.run(
                [program, *root, *words], capture_output=True, text=True, timeout=_BOUND,
                env={**os.environ, "LC_ALL": "C"},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"dpkg-divert does not run: {error}", hint="run it by hand") from None
        if done.returncode:
            text = done.stderr.strip().removeprefix("dpkg-divert: error: ")
            raise UsageError(f"dpkg-divert: {text}", hint=f"see dpkg-divert --list '*{self.path}*'")
        return done.stdout
