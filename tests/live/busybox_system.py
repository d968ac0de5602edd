"""A full system as small as Alpine's: busybox is its init, getty, login and shell, and all else.

Made of Debian's kernel and busybox packages by mke2fs alone, without any mount.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from full_system import _HASH, PASSWORD, FullSystem, _run, _unpacked_kernel

from vmserial.guests.apt import PrivateApt, extract

_FILES = {
    # init starts a getty anew when it ends; it has no other way to have one.
    "etc/inittab": """\
::sysinit:/etc/rcS
ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
hvc0::respawn:/sbin/getty -L 115200 hvc0 vt100
::ctrlaltdel:/sbin/reboot
""",
    "etc/rcS": """\
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
hostname box
for module in xhci_pci ftdi_sio virtio_console; do modprobe $module; done
""",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\ndialout:x:20:\n",
    "etc/shadow": f"root:{_HASH}:20000:0:99999:7:::\n",
    "etc/securetty": "ttyS0\nhvc0\n",
    "etc/issue": "Welcome to a small system\n\n",
}


def make(folder: Path, debian: str = "amd64", suite: str = "trixie") -> FullSystem:
    """Make it; takes half a minute."""
    made, root, work = FullSystem(folder, debian), folder / "root", folder / "work"
    for name in "bin sbin etc dev proc sys tmp root usr/bin usr/sbin usr/lib var".split():
        (root / name).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    made.initrd.write_bytes(_unpacked_kernel(root, work, debian, suite))
    for file, pattern in ((made.kernel, "vmlinuz-*"), (made.config, "config-*")):
        (source,) = (root / "boot").glob(pattern)
        shutil.copy(source, file)
    (deb,) = PrivateApt(debian, suite).download(["busybox-static"])
    (name,) = extract(deb, work, lambda name: name.endswith("bin/busybox"))
    shutil.copy(work / name, root / "bin/busybox")
    for link in ("bin/sh", "sbin/init"):
        (root / link).symlink_to("/bin/busybox")
    for name, text in _FILES.items():
        (root / name).write_text(text)
    (root / "etc/rcS").chmod(0o755)
    (root / "etc/shadow").chmod(0o600)
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(made.image), "600M")
    made.password.write_text(f"{PASSWORD}\n")
    shutil.rmtree(root)
    shutil.rmtree(work)
    return made
