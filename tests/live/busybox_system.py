"""A full system as small as Alpine's: busybox is its init, getty, login and shell, and all else.

Made of Debian's kernel and busybox packages by mke2fs alone, without root and without any mount.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from full_system import PASSWORD, FullSystem

from vmserial.guests import apt, initramfs

# ext4 asks for crc32c by name, which is no dependency that its file tells.
_ROOT_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
_PORT_MODULES = ("xhci_pci", "ftdi_sio", "virtio_console")

_INIT = b"""\
#!/bin/sh
export PATH=/bin
mount -a
for module in /lib/modules/*.ko; do insmod "$module"; done
mkdir -p /new
until mount -t ext4 /dev/vda /new 2>/dev/null; do sleep 0.1; done
umount /sys/kernel/debug
for name in proc sys dev; do mount -o move "/$name" "/new/$name" || busybox umount -l "/$name"; done
exec busybox switch_root /new /sbin/init
"""

_FILES = {
    "etc/inittab": """\
::sysinit:/etc/rcS
ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
hvc0::respawn:/sbin/getty -L 115200 hvc0 vt100
::ctrlaltdel:/sbin/reboot
""",
    "etc/rcS": f"""\
#!/bin/sh
export PATH=/bin:/sbin
/bin/busybox --install -s
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
hostname box
for module in {" ".join(_PORT_MODULES)}; do modprobe $module; done
""",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\ndialout:x:20:\n",
    "etc/securetty": "ttyS0\nhvc0\n",
    "etc/issue": "Welcome to a small system\\n\\n",
}


def make(folder: Path, suite: str = "trixie") -> FullSystem:
    """Make it for x86_64; takes half a minute."""
    private = apt.PrivateApt("amd64", suite)
    packages = private.kernel("linux-image-amd64")
    debs = private.download(["busybox-static", *(f"{one.name}={one.version}" for one in packages)])
    kernel, root = folder / "kernel.d", folder / "root"
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "tmp", "run", "root", "usr/bin",
                 "usr/sbin", "var", "lib/modules"):  # fmt: skip
        (root / name).mkdir(parents=True)
    for deb in debs:
        apt.extract(deb, kernel, lambda name: "/doc/" not in name)
    (binary,) = (*kernel.glob("bin/busybox"), *kernel.glob("usr/bin/busybox"))
    busybox = root / "bin/busybox"
    shutil.copy(binary, busybox)
    busybox.chmod(0o755)
    for name in ("bin/sh", "sbin/init", "bin/mount", "bin/hostname", "sbin/modprobe"):
        (root / name).symlink_to("/bin/busybox")
    for name, text in _FILES.items():
        (root / name).write_text(text)
    (root / "etc/rcS").chmod(0o755)
    word = _said(str(binary), "mkpasswd", "-m", "sha512", PASSWORD).strip()
    (root / "etc/shadow").write_text(f"root:{word}:20000:0:99999:7:::\n")
    (root / "etc/shadow").chmod(0o600)

    paths = {initramfs.module_key(str(path)): path for path in kernel.rglob("*.ko*")}
    (builtin,) = kernel.rglob("modules.builtin")
    release = builtin.parent.name
    builtins = frozenset(map(initramfs.module_key, builtin.read_text().split()))

    def order(wanted: tuple[str, ...]) -> list[tuple[str, bytes]]:
        found = {}
        names = list(wanted)
        while names:
            name = names.pop()
            if name not in builtins and name not in found:
                found[name] = initramfs.read_module(paths[name])
                names += _needs(found[name])
        return [(name, found[name]) for name in initramfs.load_order(wanted, found, builtins)]

    initrd = folder / "initrd"
    initrd.write_bytes(initramfs.build(binary.read_bytes(), order(_ROOT_MODULES), _INIT))
    modules = root / "lib/modules" / release
    modules.mkdir()
    for name, data in order(_PORT_MODULES):
        (modules / f"{name}.ko").write_bytes(data)
    subprocess.run([binary, "depmod", "-b", root, release], check=True, timeout=120)
    image = folder / "disk.img"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", root, image, "64M"],
        check=True, timeout=120,
    )  # fmt: skip
    (source,) = kernel.glob("boot/vmlinuz-*")
    (config,) = kernel.glob("boot/config-*")
    found = [Path(shutil.copy(one, folder)) for one in (source, config)]
    shutil.rmtree(kernel)
    shutil.rmtree(root)
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    return FullSystem(image, found[0], initrd, found[1], password)


def _needs(module: bytes) -> list[str]:
    """Return what a module depends on."""
    names = initramfs.modinfo(module, "depends").split(",")
    return [name.replace("-", "_") for name in names if name]


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
