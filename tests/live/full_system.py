"""A full Debian system as a disk image, made by mmdebstrap and mke2fs without any mount.

Beside mmdebstrap it takes the packages e2fsprogs, fdisk, dosfstools, mtools and qemu-utils; for
another architecture than this machine's also qemu-user-static.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vmserial.guests.apt import PrivateApt, extract

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


_EFI = {"amd64": ("x64", "ttyS0"), "arm64": ("aa64", "ttyAMA0")}
_ESP_MIB = 128
_MIB = 1 << 20


def with_uefi(system: FullSystem, folder: Path, debian: str = "amd64") -> Path:
    """Return a partitioned qcow2 that boots by itself: systemd-boot in an ESP, and the system."""
    boot, console = _EFI[debian]
    apt = PrivateApt(debian, "trixie")
    for package in apt.download(["systemd-boot-efi"]):
        extract(package, folder / "deb", lambda name: name.endswith(f"systemd-boot{boot}.efi"))
    (loader,) = (folder / "deb").rglob("systemd-boot*.efi")
    entry = folder / "debian.conf"
    entry.write_text(
        "title Debian\nlinux /linux\ninitrd /initrd\n"
        f"options root=/dev/vda2 rw console={console} quiet\n"
    )
    (folder / "loader.conf").write_text("timeout 2\nconsole-mode keep\n")
    esp, disk = folder / "esp", folder / "uefi.img"
    with esp.open("wb") as file:
        file.truncate(_ESP_MIB * _MIB)
    _run("mkfs.vfat", "-n", "ESP", str(esp))
    _run("mmd", "-i", str(esp), "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
    for source, name in (
        (loader, f"EFI/BOOT/BOOT{boot.upper()}.EFI"), (entry, "loader/entries/debian.conf"),
        (folder / "loader.conf", "loader/loader.conf"), (system.kernel, "linux"),
        (system.initrd, "initrd"),
    ):  # fmt: skip
        _run("mcopy", "-i", str(esp), str(source), f"::{name}")
    size = system.image.stat().st_size
    with disk.open("wb") as file:
        file.truncate(size + (_ESP_MIB + 2) * _MIB)
    table = (
        f"label: gpt\nfirst-lba: 2048\nsize={_ESP_MIB}MiB, type=uefi\n"
        f"size={size // _MIB}MiB, type=linux\n"
    )
    subprocess.run(["sfdisk", "-q", str(disk)], input=table.encode(), check=True, timeout=60)
    for source, at in ((esp, 1), (system.image, 1 + _ESP_MIB)):
        _run("dd", "status=none", "conv=notrunc,sparse", "bs=1M", f"seek={at}",
             f"if={source}", f"of={disk}")  # fmt: skip
    image = folder / "uefi.qcow2"
    _run("qemu-img", "convert", "-O", "qcow2", str(disk), str(image))
    disk.unlink()
    return image


def _run(*words: str) -> None:
    # Another architecture's packages set themselves up on an emulated processor.
    subprocess.run(words, check=True, timeout=2400)
