"""An initial RAM disk of our own: cpio "newc" archives, and the modules a kernel must load.

The archive is written byte for byte here, so that it needs no root, no cpio and
no host tools, and is the same on every machine.  The format is in the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import itertools
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmserial.errors import ImageError


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive.

    Attributes:
        name: its path without a leading slash.
        mode: type and permissions, as in ``st_mode``.
        data: a file's content, or a symbolic link's target.
        device: major and minor number of a device node.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """Return a directory, mode 0755."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """Return a regular file."""
    return Entry(name, stat.S_IFREG | mode, data)


def symlink(name: str, target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int) -> Entry:
    """Return a character device, mode 0600."""
    return Entry(name, stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """Return a newc archive: sorted, all of it root's and of time 0, so always the same bytes.

    Raises:
        ImageError: two entries of one name; the kernel would take the last silently.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    for before, after in itertools.pairwise(ordered):
        if before.name == after.name:
            raise ImageError(
                f"{after.name} is twice in the initramfs", hint="this is a fault of vmserial"
            )
    parts: list[bytes] = []
    for inode, entry in enumerate([*ordered, Entry("TRAILER!!!", 0)], start=1):
        name = entry.name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        fields = (
            inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0,
        )  # fmt: skip
        header = b"070701" + b"".join(b"%08X" % value for value in fields)
        parts += [_padded(header + name), _padded(entry.data)]
    return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


# ------------------------------------------------------------------ kernel modules


def module_key(path: str) -> str:
    """Return a module's name as the kernel knows it: ``…/xhci-pci.ko.xz`` is ``xhci_pci``."""
    return re.sub(r"\.ko(\.\w+)?\Z", "", path.rpartition("/")[2]).replace("-", "_")


def read_module(path: Path) -> bytes:
    """Return a module's ELF image, unpacked.

    Unpacking here rather than in the guest: xz is slow on an emulated processor.

    Raises:
        ImageError: it cannot be read, or is packed in a way that Debian does not use.
    """
    import lzma  # only a guest that is made needs it

    try:
        data = path.read_bytes()
        if path.suffix == ".xz":
            data = lzma.decompress(data)
    except (OSError, lzma.LZMAError) as error:
        raise ImageError(
            f"cannot read the kernel module {path}: {error}", hint="remove the cached test guest"
        ) from None
    if not data.startswith(b"\x7fELF"):
        raise ImageError(
            f"{path} is not a kernel module that can be read",
            hint="plain .ko and .ko.xz are known",
        )
    return data


def modinfo(image: bytes, key: str) -> str:
    r"""Return one value of a module's ``.modinfo`` section, empty where it is not there.

    The section is NUL-terminated ``key=value`` strings (include/linux/moduleparam.h);
    it is searched for, not parsed as ELF: ``\0depends=`` is nowhere else.
    """
    match = re.search(rb"\0" + re.escape(key.encode()) + rb"=([^\0]*)\0", image)
    return match.group(1).decode("ascii", "replace") if match else ""


def load_order(
    wanted: Sequence[str], modules: Mapping[str, bytes], builtin: frozenset[str]
) -> list[str]:
    """Return the modules to load, each after those that it depends on.

    A package holds no ``modules.dep`` (its postinst would make it), so the
    modules themselves are asked (``depends=`` in their modinfo).

    Args:
        wanted: names, in the order in which they should be there early.
        modules: the images by :func:`module_key`.
        builtin: names that the kernel holds already.

    Raises:
        ImageError: one is neither there nor built in, or two need each other.
    """
    order: list[str] = []
    begun: set[str] = set()

    def add(name: str) -> None:
        if name in builtin or name in order:
            return
        if name in begun:
            raise ImageError(f"kernel modules need each other: {name}", hint="choose another suite")
        begun.add(name)
        if name not in modules:
            raise ImageError(
                f"the kernel package has no module {name}", hint="choose another suite"
            )
        for need in modinfo(modules[name], "depends").split(","):
            if need:
                add(need.replace("-", "_"))
        order.append(name)

    for name in wanted:
        add(name)
    return order


# ------------------------------------------------------------------ the archive of a test guest

APPLETS = (
    "base64", "cat", "chmod", "cksum", "cmp", "cp", "cut", "date", "dd", "dmesg", "echo", "env",
    "false", "free", "grep", "head", "hexdump", "id", "insmod", "kill", "ln", "ls", "lsmod",
    "mkdir", "mkfifo", "mknod", "modprobe", "mount", "mv", "nproc", "od", "poweroff", "printf",
    "ps", "pwd", "reboot", "rm", "rmdir", "rmmod", "sed", "setsid", "sh", "sha256sum", "sleep",
    "sort", "stat", "stty", "sync", "tail", "tee", "test", "timeout", "touch", "tr", "true",
    "truncate", "tty", "umount", "uname", "uptime", "usleep", "uudecode", "uuencode", "wc",
)  # fmt: skip
"""Links to busybox; those that a release's busybox was built without are left out."""

WANTED_MODULES = ("ftdi_sio", "xhci_pci", "virtio_pci", "virtio_console")
"""In load order; what each needs comes before it, what is built in is left out.

8250 and 8250_pci, pl011 and PCI hot-plug are built in on all Debian releases from 11 on.
"""

FSTAB = b"""\
proc /proc proc defaults 0 0
sysfs /sys sysfs defaults 0 0
devtmpfs /dev devtmpfs defaults 0 0
debugfs /sys/kernel/debug debugfs defaults 0 0
"""
"""One ``mount -a`` is one process."""

_SIGNATURE = b"~Module signature appended~\n"


def unsigned(module: bytes) -> bytes:
    """Return a module without its appended signature.

    Checking the RSA signatures of ten modules takes 60 ms of an emulated boot,
    and Debian's kernels load unsigned ones (CONFIG_MODULE_SIG_FORCE is not
    set).  The trailer is ``struct module_signature`` (12 bytes, the length
    last and big-endian) and a magic line (include/linux/module_signature.h).
    """
    if not module.endswith(_SIGNATURE):
        return module
    body = module[: -len(_SIGNATURE)]
    length = int.from_bytes(body[-4:], "big")
    return body[: -12 - length] if length + 12 < len(body) else module


def build(busybox: bytes, modules: Sequence[tuple[str, bytes]], init: bytes) -> bytes:
    """Return the initramfs of a test guest, not compressed.

    Packed with gzip it boots 40 ms later under TCG than plain (1.44 s, 1.40 s),
    and QEMU copies 3.5 MB in no time.

    Args:
        busybox: a static busybox of the guest's architecture.
        modules: names and images in load order.
        init: what ``/init`` is.
    """
    entries = [directory(n) for n in ("bin", "dev", "etc", "lib", "proc", "root", "sys", "tmp")]
    entries += [
        directory("lib/modules"),
        character_device("dev/console", 5, 1),
        file("etc/fstab", FSTAB),
        file("bin/busybox", busybox, 0o755),
        file("init", init, 0o755),
    ]
    # busybox holds its applets' names as one run of NUL-terminated strings.
    entries += [
        symlink(f"bin/{name}", "busybox")
        for name in APPLETS
        if b"\0" + name.encode() + b"\0" in busybox
    ]
    entries += [
        file(f"lib/modules/{number:02}-{name}.ko", unsigned(image))
        for number, (name, image) in enumerate(modules)
    ]
    return archive(entries)
