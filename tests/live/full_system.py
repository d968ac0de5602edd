"""A full Debian system as a disk image, made by mmdebstrap and mke2fs; kept in the cache.

For this machine's own architecture the packages set themselves up in a chroot, kernel and initrd
included.  Emulated, that takes more than half an hour; so another architecture's are set up by
this machine's own tools (dpkg's ``--force-script-chrootless``, which Debian 13's systemd, PAM
and passwd know), its kernel is only unpacked, and its initrd is busybox and three modules.
Nothing of the other architecture runs before it is booted.

Beside mmdebstrap it takes the packages dosfstools, e2fsprogs, fdisk, kmod, mtools, passwd,
qemu-utils and systemd, and root's rights.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vmserial.guests import initramfs
from vmserial.guests.apt import PrivateApt, extract
from vmserial.guests.making import _Modules
from vmserial.paths import cache_dir, locked

PASSWORD = "fasel"
USER = "mona"
_HASH = (
    "$6$vmserial$RvNlOQwcmlEzAZmLT8uJ9PeHg/zJr3UogP379xlcvxzxCMLLqRb/EVIqnVaXh4gzg4svKe82wrXt8Dc3"
    "icXr/0"
)
_PACKAGES = "systemd,systemd-sysv,udev,login,passwd,dbus,kmod"
_MORE = {
    "": "",
    # It has the cloud kernel and no password.
    "cloud": ",cloud-init,sudo,iproute2",
    # What on a desktop has an eye on serial ports: ModemManager and brltty.
    "desktop": ",lxde-core,lightdm,xserver-xorg,network-manager,modemmanager,brltty",
}
"""Further ones, by the kind of system."""
_BOUND = 1500.0
"""Seconds that mmdebstrap may take beside other work; alone it is one minute."""
_OLD = 24 * 3600.0
"""Seconds after which a system of another recipe that nobody asked for is removed."""
_IMAGE = {"": "1500M", "cloud": "1500M", "desktop": "3000M"}


@dataclass(frozen=True)
class FullSystem:
    """The files of a system.

    Attributes:
        folder: where they are.
        debian: its architecture's name in Debian.
    """

    folder: Path
    debian: str

    @property
    def image(self) -> Path:
        """Return the disk, which is a file system without partitions."""
        return self.folder / "disk.img"

    @property
    def kernel(self) -> Path:
        """Return its kernel."""
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        """Return what it is started with."""
        return self.folder / "initrd"

    @property
    def config(self) -> Path:
        """Return what its kernel was built with."""
        return self.folder / "config"

    @property
    def password(self) -> Path:
        """Return the file that holds the password of root and of the user."""
        return self.folder / "password"

    @property
    def uefi(self) -> Path:
        """Return the same system in partitions, for UEFI."""
        return self.folder / "uefi.qcow2"

    def words(self, user: str = "root", password: Path | None = None) -> list[str]:
        """Return verify's options for it."""
        return [
            "--image", str(self.image), "--kernel", str(self.kernel), "--initrd",
            str(self.initrd), *self.login(user, password),
        ]  # fmt: skip

    def login(self, user: str = "root", password: Path | None = None) -> list[str]:
        """Return the part of them that is also of a start by UEFI."""
        return [
            "--kernel-config", str(self.config), "--login", f"{user}:{password or self.password}"
        ]  # fmt: skip


def kept(debian: str, suite: str = "trixie", kind: str = "") -> FullSystem:
    """Return a system from the cache; made before where there is none of this recipe."""
    home, name = cache_dir("full"), "-".join(filter(None, (suite, kind, debian)))
    # The code itself, however it is laid out.
    code = ast.dump(ast.parse(Path(__file__).read_bytes()))
    recipe = hashlib.sha256(code.encode()).hexdigest()[:12]
    where = home / f"{name}-{recipe}"
    with locked(home / f"{name}.lock", 2 * _BOUND):
        if not where.is_dir():
            for old in (*home.glob(f"{name}-*"), *home.glob(f".{name}-*")):
                # Another checkout, whose recipe is another, may be at it.
                if time.time() - old.stat().st_mtime > _OLD:
                    _remove(old)
            aside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
            try:
                made = make(aside, debian, suite, kind)
                _partition(made)
                # Whoever writes it is found out, and not by the next run.
                for file in aside.iterdir():
                    file.chmod(0o444)
                aside.rename(where)
            finally:
                _remove(aside)
        os.utime(where)
    return FullSystem(where, debian)


def make(folder: Path, debian: str, suite: str = "trixie", kind: str = "") -> FullSystem:
    """Make a system with root's password and a user's, and say how long each step took.

    A cloud image has neither.  Systems of other kinds than the usual one are made for this
    machine's own architecture alone.
    """
    made, work = FullSystem(folder, debian), folder / "work"
    work.mkdir()
    root = work / "root"
    clock = _Clock(f"{suite} {debian}")
    own = debian == _run("dpkg", "--print-architecture").strip()
    assert own or not kind
    packages = _PACKAGES + _MORE[kind]
    kernel = f"linux-image-{'cloud-' if kind == 'cloud' else ''}{debian}"
    _apart(
        work, "mmdebstrap", "--variant=minbase", f"--architectures={debian}",
        *(("--mode=root", f"--include={packages},{kernel}") if own
          else ("--mode=chrootless", f"--include={_PACKAGES}")),
        "--skip=cleanup/tmp", suite, str(root),
    )  # fmt: skip
    clock("mmdebstrap")
    if kind != "cloud":
        _run("usermod", "--prefix", str(root), "--password", _HASH, "root")
        _run("useradd", "--prefix", str(root), "-m", "-s", "/bin/bash", "--password", _HASH, USER)
    (root / "etc/hostname").write_text("debian\n")
    if own:
        (initrd,) = (root / "boot").glob("initrd.img-*")
        shutil.copy(initrd, made.initrd)
    else:
        made.initrd.write_bytes(_unpacked_kernel(root, work, debian, suite))
        clock("kernel and initrd")
    for file, pattern in ((made.kernel, "vmlinuz-*"), (made.config, "config-*")):
        (source,) = (root / "boot").glob(pattern)
        shutil.copy(source, file)
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(made.image), _IMAGE[kind])
    clock("mke2fs")
    _remove(work)
    made.password.write_text(f"{PASSWORD}\n")
    return made


class _Clock:
    """Says how long what was just done took; pytest shows it with -s."""

    def __init__(self, what: str) -> None:
        self._what, self._began = what, time.monotonic()

    def __call__(self, step: str) -> None:
        now = time.monotonic()
        print(f"{self._what}: {step} {now - self._began:.0f} s", flush=True)
        self._began = now


# ------------------------------------------------------------------ mmdebstrap, apart

_NAMESPACE = r"""
set -e
work=$1; shift
mount --bind "$work" "$work"
cp -a /etc "$work/etc"
# Debian 12's does not know "u!", by which Debian 13's packages make locked users.
cp "$(command -v systemd-sysusers)" "$work/own"
cat >"$work/sysusers" <<END
#!/bin/sh
for one; do case \$one in --root=*)
    sed -i 's/^u!/u/' "\${one#--root=}"/usr/lib/sysusers.d/*.conf
esac; done
exec "$work/own" "\$@"
END
chmod 755 "$work/sysusers"
mount --bind "$work/etc" /etc
mount --bind "$work/sysusers" "$(command -v systemd-sysusers)"
mount -o remount,bind,ro /
exec "$@"
"""
"""This machine is read-only for a package that writes to it all the same (kmod: /etc/modules)."""


def _apart(work: Path, *words: str) -> None:
    """Run a program in namespaces that end with it, mounts and processes included."""
    (work / "tmp").mkdir()
    argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
            "--pid", "--fork", "--kill-child", "--mount-proc",
            "sh", "-c", _NAMESPACE, "apart", str(work), *words]  # fmt: skip
    said = work / "said"
    with said.open("wb") as out:
        child = subprocess.Popen(
            argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | {"TMPDIR": str(work / "tmp")},
        )  # fmt: skip
        try:
            status = child.wait(_BOUND)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if status:
        raise RuntimeError(f"{words[0]} ended with {status}: {said.read_text('utf-8')[-3000:]}")


def _remove(path: Path) -> None:
    # Were something mounted in it, it is not ours to empty.
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True, timeout=120)


# ------------------------------------------------------------------ a kernel that is only unpacked

_DISK = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
_INIT = b"""#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
for one in /lib/modules/*.ko; do insmod "$one"; done
root=/dev/vda
for one in $(cat /proc/cmdline); do case $one in root=*) root=${one#root=} ;; esac; done
until [ -b "$root" ]; do sleep 0.1; done
mount -t ext4 "$root" /root
mount --move /dev /root/dev
umount /proc
exec busybox switch_root /root /sbin/init
"""


def _unpacked_kernel(root: Path, work: Path, debian: str, suite: str) -> bytes:
    """Unpack a kernel into a system that nothing can run in yet; return an initrd for it."""
    apt = PrivateApt(debian, suite)
    packages = [f"{one.name}={one.version}" for one in apt.kernel(f"linux-image-{debian}")]
    for deb in apt.download(packages):
        extract(deb, root)
        deb.unlink()
    (busybox,) = apt.download(["busybox-static"])
    (busy,) = extract(busybox, work / "busybox", lambda name: name.endswith("bin/busybox"))
    (release,) = (path.name for path in (root / "usr/lib/modules").iterdir())
    _run("depmod", "-b", str(root), release)
    there = root / "usr/lib/modules" / release
    modules = _Modules({initramfs.module_key(str(path)): path for path in there.rglob("*.ko*")})
    builtin = frozenset(map(initramfs.module_key, (there / "modules.builtin").read_text().split()))
    wanted = [name for name in _DISK if name in modules]
    order = initramfs.load_order(wanted, modules, builtin)
    return initramfs.build(
        (work / "busybox" / busy).read_bytes(), [(name, modules[name]) for name in order], _INIT
    )


# ------------------------------------------------------------------ UEFI

_EFI = {"amd64": ("x64", "ttyS0"), "arm64": ("aa64", "ttyAMA0")}
_ESP_MIB = 128
_MIB = 1 << 20


def _partition(system: FullSystem) -> None:
    """Make the partitioned qcow2 that boots by itself: systemd-boot in an ESP, and the system."""
    boot, console = _EFI[system.debian]
    folder = Path(tempfile.mkdtemp(dir=system.folder))
    apt = PrivateApt(system.debian, "trixie")
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
    _run("qemu-img", "convert", "-O", "qcow2", str(disk), str(system.uefi))
    _remove(folder)


def _run(*words: str) -> str:
    done = subprocess.run(words, check=True, timeout=600, capture_output=True, text=True)
    return done.stdout


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
