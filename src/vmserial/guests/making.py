"""Making a test guest: Debian's kernel and busybox fetched, unpacked, and put into an initramfs.

Debian up to 13 has a kernel, its modules and its configuration in one package
(linux-image-VER); sid has split it into linux-binary-VER, linux-modules-VER and
linux-base-VER (seen with 7.2.13-1), and its linux-image-VER is empty.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vmserial.errors import ImageError
from vmserial.guests import apt, bzimage, initramfs
from vmserial.guests.images import MANIFEST
from vmserial.guests.profile import from_config
from vmserial.machines import Architecture
from vmserial.paths import write_atomic
from vmserial.progress import Reporter

_IMAGE = re.compile(r"boot/vmlinu[xz]-|(?:usr/)?lib/modules/[^/]+/vmlinuz\Z")
_CONFIG = re.compile(r"boot/config-|(?:usr/)?lib/modules/[^/]+/config\Z")
_BUILTIN = re.compile(r"(?:usr/)?lib/modules/[^/]+/modules\.builtin\Z")
# What an initramfs may need of a kernel package; the rest is not even unpacked.
_MODULES = re.compile(
    r"(?:usr/)?lib/modules/[^/]+/kernel/drivers/(?:usb|virtio|char)/.*\.ko(?:\.\w+)?\Z"
)
_KEPT_S = 7 * 86400
"""How long a test guest of another recipe is kept, in seconds since it was made."""
_RELEASE = re.compile(r"(?:boot/vmlinu[xz]-|lib/modules/)([^/]+)")


def make(
    where: Path, suite: str, arch: Architecture, flavour: str, init: bytes, mirror: str,
    reporter: Reporter,
) -> None:  # fmt: skip
    """Fetch the packages and make the guest's directory, aside and then renamed.

    Args:
        where: the directory.
        suite: Debian's.
        arch: whose kernel.
        flavour: of the kernel; empty: the common one.
        init: what process 1 of the guest runs.
        mirror: as :class:`~vmserial.guests.apt.PrivateApt`.
        reporter: told what is fetched and built.

    Raises:
        ImageError: the packages cannot be had, or do not hold what is needed.
    """
    debian = arch.debian
    # sid is a moving suite: a mirror that lags a week is past its Valid-Until.
    private = apt.PrivateApt(
        debian, suite, mirror, check_valid_until=suite != "sid", reporter=reporter
    )
    packages = private.kernel(arch.kernel_package(flavour))
    wanted = [f"{one.name}={one.version}" for one in packages]
    more = ["busybox-static", arch.firmware_package]
    debs = private.download([*wanted, *filter(None, more)])
    by_name = {deb.name.partition("_")[0]: deb for deb in debs}
    busybox = by_name.pop("busybox-static")
    firmware = by_name.pop(arch.firmware_package, None)
    # Left by a process that was killed; the lock says that nobody is at work here.
    kind = "-".join(filter(None, (suite, flavour, debian)))
    hidden = f".{kind}-"
    for old in where.parent.glob(f"{hidden}*"):
        shutil.rmtree(old, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=hidden, dir=where.parent))
    try:
        reporter.step(f"test guest: {suite} {debian}, {packages[0].name}")
        with tempfile.TemporaryDirectory(prefix=hidden, dir=where.parent) as scratch:
            _build([*by_name.values()], busybox, firmware, Path(scratch), aside, arch, init)
        # What is in its place, if anything, is broken.
        shutil.rmtree(where, ignore_errors=True)
        for old in where.parent.glob(f"{kind}-*"):
            # Of another recipe: a vmserial of another version may be booting it.
            if time.time() - old.stat().st_mtime > _KEPT_S:
                shutil.rmtree(old, ignore_errors=True)
        aside.rename(where)
    except OSError as error:
        raise ImageError(
            f"cannot make the test guest in {where.parent}: {error.strerror or error}",
            hint="see the free space, or set XDG_CACHE_HOME to another directory",
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    # 60 to 110 MB that only another recipe would need again.
    for deb in by_name.values():
        deb.unlink(missing_ok=True)


def _build(
    kernel_debs: Sequence[Path],
    busybox_deb: Path,
    firmware_deb: Path | None,
    scratch: Path,
    target: Path,
    arch: Architecture,
    init: bytes,
) -> None:
    """Unpack what is needed and write the guest's files."""
    root = scratch / "kernel"
    trees = [board.dtb for board in arch.platforms if board.dtb]

    def wanted(name: str) -> bool:
        return _is_wanted(name) or name.rpartition("/")[2] in trees

    names = [name for deb in kernel_debs for name in apt.extract(deb, root, wanted)]
    images, configs, builtins = (
        [name for name in names if pattern.match(name)] for pattern in (_IMAGE, _CONFIG, _BUILTIN)
    )
    busyboxes = apt.extract(busybox_deb, scratch / "busybox", _is_busybox)
    for found, what in (
        (images, "kernel image"), (configs, "configuration"),
        (builtins, "list of built-in modules"), (busyboxes, "busybox"),
        *(([n for n in names if n.endswith(f"/{tree}")], f"device tree {tree}") for tree in trees),
    ):  # fmt: skip
        if not found:
            held = ", ".join(deb.name for deb in (*kernel_debs, busybox_deb))
            raise ImageError(f"the packages {held} hold no {what}", hint="choose another suite")
    modules = _Modules(
        {initramfs.module_key(n): root / n for n in names if ".ko" in n.rpartition("/")[2]}
    )
    lines = (root / builtins[0]).read_text("utf-8").splitlines()
    builtin = frozenset(initramfs.module_key(line.strip()) for line in lines)
    config = (root / configs[0]).read_bytes()
    lacks = from_config(config.decode("utf-8", "replace"), name=kernel_debs[0].name).lacks
    # What its kernel was built without is no fault of the packages: the cloud kernels have no USB.
    wanted_modules = [
        name
        for name in (*initramfs.WANTED_MODULES, *arch.guest_modules)
        if name in modules or not lacks(name)
    ]
    order = initramfs.load_order(wanted_modules, modules, builtin)
    initrd = initramfs.build(
        (scratch / "busybox" / busyboxes[0]).read_bytes(),
        [(name, modules[name]) for name in order],
        init,
    )
    image = (root / images[0]).read_bytes()
    elf = bzimage.unpacked(image)
    files = {"initrd": initrd, "config": config}
    for tree in trees:
        at = next(name for name in names if name.endswith(f"/{tree}"))
        files[tree] = (root / at).read_bytes()
    if firmware_deb is not None:
        files["firmware"] = _firmware(firmware_deb, scratch / "firmware", arch)
    if elf is not None and bzimage.starts_directly(elf):
        files |= {"kernel": elf, "packed": image}
    else:
        files["kernel"] = image
    for name, data in files.items():
        write_atomic(target / name, data)
    release = _RELEASE.search(images[0])
    manifest = {
        "release": release[1] if release else bzimage.release(image),
        "package": ", ".join(deb.name for deb in kernel_debs),
        "busybox": busybox_deb.name,
        "modules": order,
        "unpacked": "packed" in files,
        "sizes": {name: len(data) for name, data in files.items()},
    }
    write_atomic(target / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _firmware(deb: Path, scratch: Path, arch: Architecture) -> bytes:
    """Return the UEFI that starts the kernel."""
    wanted = arch.firmware.lstrip("/")
    if not apt.extract(deb, scratch, lambda name: name == wanted):
        raise ImageError(
            f"the package {deb.name} holds no {arch.firmware}", hint="choose another suite"
        )
    return (scratch / wanted).read_bytes()


def _is_wanted(name: str) -> bool:
    """Tell whether a file of a kernel package is needed; Debian 13 moved /lib to /usr/lib."""
    return any(pattern.match(name) for pattern in (_IMAGE, _CONFIG, _BUILTIN, _MODULES))


def _is_busybox(name: str) -> bool:
    return name in ("bin/busybox", "usr/bin/busybox")


class _Modules(Mapping[str, bytes]):
    """The images of kernel modules, each read when it is first asked for."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._read: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._read:
            self._read[name] = initramfs.read_module(self._paths[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
