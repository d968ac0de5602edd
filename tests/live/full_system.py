"""A full Debian system as a disk image, made by mmdebstrap and mke2fs without any mount."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "fasel"
USER = "mona"
_PACKAGES = "systemd,systemd-sysv,udev,login,passwd,dbus"


@dataclass(frozen=True)
class FullSystem:
    """The files: the disk, its kernel's, and a password's."""

    image: Path
    kernel: Path
    initrd: Path
    config: Path
    password: Path

    def words(self, user: str = "root") -> list[str]:
        """Return verify's options for it."""
        return [
            "--image", str(self.image), "--kernel", str(self.kernel), "--initrd",
            str(self.initrd), "--kernel-config", str(self.config), "--login",
            f"{user}:{self.password}",
        ]  # fmt: skip


def make(folder: Path, debian: str = "amd64", suite: str = "trixie") -> FullSystem:
    """Make a system with root's password and a user's; takes a minute, as root."""
    root, image = folder / "root", folder / "disk.img"
    hook = (
        "set -e; "
        f"printf 'root:{PASSWORD}\\n' | chroot \"$1\" chpasswd; "
        f'chroot "$1" useradd -m -s /bin/bash {USER}; '
        f"printf '{USER}:{PASSWORD}\\n' | chroot \"$1\" chpasswd"
    )
    _run(
        "mmdebstrap", "--variant=minbase", f"--architectures={debian}", "--mode=root",
        f"--include={_PACKAGES},linux-image-{debian}", f"--customize-hook={hook}", suite, str(root),
    )  # fmt: skip
    found = {}
    for name, pattern in (("kernel", "vmlinuz-*"), ("initrd", "initrd.img-*"),
                          ("config", "config-*")):  # fmt: skip
        (source,) = (root / "boot").glob(pattern)
        found[name] = Path(shutil.copy(source, folder / name))
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(image), "1500M")
    shutil.rmtree(root)
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    return FullSystem(image, found["kernel"], found["initrd"], found["config"], password)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=600)
