"""Test guests: a Debian kernel, a static busybox, and an initramfs of ours; or the user's own.

A test guest is made once and cached; the second time nothing but a few files'
sizes is looked at, and no network is needed.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from vmserial.errors import ImageError, UsageError
from vmserial.guests import bzimage, initramfs
from vmserial.guests.profile import (
    embedded_config,
    from_config,
    parameter_of,
    read_config,
    unknown,
)
from vmserial.machines import architecture
from vmserial.model import GuestProfile
from vmserial.paths import cache_dir, locked, write_atomic
from vmserial.progress import Reporter, Silent

SUITES: Mapping[str, str] = {"bullseye": "11", "bookworm": "12", "trixie": "13"}
"""Debian's releases that test guests are made of, and their numbers."""

QUICK = "nokaslr cryptomgr.notests"
"""What makes the boot of an emulated kernel 0.35 s shorter and changes nothing else.

Moving the kernel in memory is 0.1 s, the crypto API's tests of itself 0.25 s.
"""

_LAYOUT = 1
_LOCK_BOUND = 1800.0
_MANIFEST = "guest.json"

# What an initramfs may need of a kernel package; the rest is not even unpacked.
_MODULES = ("kernel/drivers/usb/", "kernel/drivers/virtio/", "kernel/drivers/char/")

Shell = Literal["control", "console"]


@dataclass(frozen=True, slots=True)
class TestGuest:
    """A guest that ports are tested on.

    Attributes:
        name: such as ``debian-12-arm64``.
        arch: QEMU's target name.
        suite: Debian's, or empty for a user's own guest.
        release: of its kernel, such as ``6.1.0-50-arm64``; empty if it cannot be seen.
        kernel: for ``-kernel``.  Of x86 the ELF that the packed one unpacks to, where that
            is possible: it boots 3 s sooner under TCG.
        packed: the kernel as the distribution ships it, for firmware (OVMF) that does
            not start an ELF.
        initrd: for ``-initrd``.
        config: the kernel's configuration, if there is a file of it.
        profile: what the kernel can carry.
        console: the console's tty, for ``console=``.
        shell: where it gives a shell: on the port ``vmserial.control``, or on its console.
        append: the kernel's command line that it needs.
    """

    # pytest would take the class for a set of tests, by its name.
    __test__: ClassVar[bool] = False

    name: str
    arch: str
    suite: str
    release: str
    kernel: Path
    packed: Path
    initrd: Path
    config: Path | None
    profile: GuestProfile
    console: str
    shell: Shell
    append: str

    def with_append(self, words: str) -> TestGuest:
        """Return it with more words on the kernel's command line; ``8250.nr_uarts=`` counts."""
        append = f"{self.append} {words}".strip()
        parameter = parameter_of(append)
        return replace(
            self, append=append, profile=replace(self.profile, nr_uarts_parameter=parameter)
        )


def ensure(
    arch: str,
    suite: str = "bookworm",
    *,
    reporter: Reporter | None = None,
    mirror: str = "",
    shell: Shell = "control",
) -> TestGuest:
    """Return a test guest, made now if it is not in the cache.

    Args:
        arch: QEMU's target name: ``aarch64``, ``x86_64``.
        suite: a Debian release of :data:`SUITES`.
        reporter: told what is fetched and built.
        mirror: as :class:`vmserial.guests.apt.PrivateApt`.
        shell: where it is to give its shell; the same files serve both.

    Raises:
        UsageError: the architecture or the suite is not known.
        ImageError: the packages cannot be had, or do not hold what is needed.
    """
    known = architecture(arch)
    if not known.test_guests:
        raise UsageError(
            f"there is no test guest for {known.name}",
            hint="it is planned and judged, not booted; test guests: aarch64, x86_64. A kernel of "
            "your own: --kernel and --initrd",
        )
    if suite not in SUITES:
        raise UsageError(
            f"there is no test guest of Debian {suite!r}", hint=f"known: {', '.join(SUITES)}"
        )
    base = cache_dir("guests")
    where = base / f"{suite}-{known.debian}-{_recipe()}"
    manifest = _manifest(where)
    if manifest is None:
        with locked(base / f".{suite}-{known.debian}.lock", _LOCK_BOUND):
            # Another process may have made it meanwhile.
            if _manifest(where) is None:
                _make(where, suite, known.debian, mirror, reporter or Silent())
        manifest = _manifest(where)
        if manifest is None:
            raise ImageError(f"{where} vanished while it was made", hint="try again")
    release = str(manifest["release"])
    name = f"debian-{SUITES[suite]}-{known.debian}"
    config = where / "config"
    quiet = "quiet loglevel=0 panic=-1"
    return TestGuest(
        name=name,
        arch=known.name,
        suite=suite,
        release=release,
        kernel=where / "kernel",
        packed=where / ("packed" if manifest["unpacked"] else "kernel"),
        initrd=where / "initrd",
        config=config,
        profile=from_config(
            config.read_text("utf-8"),
            name=name,
            kernel=_version(release),
            source=f"the kernel {release} of {name}",
        ),
        console=known.console,
        shell=shell,
        append=_joined(
            f"console={known.console} {quiet} {QUICK}",
            known.kernel_words,
            "vmserial_shell=console" if shell == "console" else "",
        ),
    )


def own(
    arch: str,
    kernel: str | Path,
    initrd: str | Path,
    config: str | Path | None = None,
    *,
    append: str = "",
) -> TestGuest:
    """Return a guest of the user's own: a kernel and an initrd that give a shell on the console.

    What the kernel can carry is read from ``config``, else from the kernel
    itself (CONFIG_IKCONFIG), else assumed.

    Args:
        arch: QEMU's target name.
        kernel: for ``-kernel``.
        initrd: for ``-initrd``.
        config: its ``/boot/config-…`` or ``/proc/config.gz``.
        append: further words for the kernel's command line.

    Raises:
        UsageError: a file is not there, or the architecture is not known.
        ConfigError: ``config`` is not a kernel configuration.
    """
    known = architecture(arch)
    paths = [Path(kernel), Path(initrd)]
    for path in paths:
        if not path.is_file() or not os.access(path, os.R_OK):
            raise UsageError(
                f"there is no file {path} that can be read", hint="check --kernel and --initrd"
            )
    image = paths[0].read_bytes()
    release = bzimage.release(image)
    words = _joined(f"console={known.console} panic=-1", known.kernel_words, append.strip())
    name = f"own-{paths[0].name}"
    version = _version(release)
    if config is not None:
        text, source = read_config(Path(config)), str(config)
    else:
        text = embedded_config(image) or embedded_config(bzimage.unpacked(image) or b"")
        source = f"the configuration inside {paths[0]}"
    if text:
        profile = from_config(text, name=name, kernel=version, append=words, source=source)
    else:
        assumed = unknown(arch)
        profile = replace(
            assumed,
            name=name,
            source=f"assumed to be as {assumed.name}; give --kernel-config to know",
            kernel=version or assumed.kernel,
            nr_uarts_parameter=parameter_of(words),
        )
    return TestGuest(
        name=name,
        arch=known.name,
        suite="",
        release=release,
        kernel=paths[0].absolute(),
        packed=paths[0].absolute(),
        initrd=paths[1].absolute(),
        config=Path(config).absolute() if config is not None else None,
        profile=profile,
        console=known.console,
        shell="console",
        append=words,
    )


def _joined(*words: str) -> str:
    """Return a kernel's command line of what is not empty."""
    return " ".join(filter(None, words))


def _version(release: str) -> tuple[int, int] | None:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None


# ------------------------------------------------------------------ the cache


def _init() -> bytes:
    return importlib.resources.files("vmserial.guests").joinpath("init.sh").read_bytes()


def _recipe() -> str:
    """Return a hash of all of ours that goes into a test guest."""
    parts = (_LAYOUT, initramfs.APPLETS, initramfs.WANTED_MODULES, initramfs.FSTAB, _init())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _manifest(where: Path) -> dict[str, object] | None:
    """Return what the cache says of a test guest; None if it is not there, or not whole."""
    try:
        manifest = json.loads((where / _MANIFEST).read_text("utf-8"))
        sizes = manifest["sizes"]
        if all((where / name).stat().st_size == size for name, size in sizes.items()):
            return dict(manifest)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return None


def _make(where: Path, suite: str, debian: str, mirror: str, reporter: Reporter) -> None:
    """Fetch the packages and make the guest's directory, aside and then renamed."""
    # Not needed where the guest is in the cache, and not quick.
    from vmserial.guests.apt import PrivateApt

    apt = PrivateApt(debian, suite, mirror, reporter=reporter)
    package = apt.kernel(f"linux-image-{debian}")
    debs = apt.download([f"{package.name}={package.version}", "busybox-static"])
    by_name = {deb.name.partition("_")[0]: deb for deb in debs}
    # Left by a process that was killed; the lock says that nobody is at work here.
    hidden = f".{suite}-{debian}-"
    for old in where.parent.glob(f"{hidden}*"):
        shutil.rmtree(old, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=hidden, dir=where.parent))
    try:
        reporter.step(f"test guest: {suite} {debian}, {package.name}")
        with tempfile.TemporaryDirectory(prefix=hidden, dir=where.parent) as scratch:
            _build(by_name[package.name], by_name["busybox-static"], Path(scratch), aside)
        # What is in its place, if anything, is broken or of an older recipe.
        for old in where.parent.glob(f"{suite}-{debian}-*"):
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
    by_name[package.name].unlink(missing_ok=True)


def _build(kernel_deb: Path, busybox_deb: Path, scratch: Path, target: Path) -> None:
    """Unpack what is needed and write ``kernel``, ``packed``, ``initrd``, ``config``."""
    from vmserial.guests.apt import extract

    names = extract(kernel_deb, scratch / "kernel", _wanted)
    images = [name for name in names if name.startswith("boot/vmlinu")]
    configs = [name for name in names if name.startswith("boot/config-")]
    builtins = [name for name in names if name.endswith("/modules.builtin")]
    busyboxes = extract(busybox_deb, scratch / "busybox", _is_busybox)
    for found, what in (
        (images, "kernel image"), (configs, "configuration"),
        (builtins, "list of built-in modules"), (busyboxes, "busybox"),
    ):  # fmt: skip
        if not found:
            raise ImageError(
                f"the packages {kernel_deb.name} and {busybox_deb.name} hold no {what}",
                hint="choose another suite",
            )
    root = scratch / "kernel"
    modules = _Modules(
        {initramfs.module_key(n): root / n for n in names if ".ko" in n.rpartition("/")[2]}
    )
    lines = (root / builtins[0]).read_text("utf-8").splitlines()
    builtin = frozenset(initramfs.module_key(line.strip()) for line in lines)
    order = initramfs.load_order(initramfs.WANTED_MODULES, modules, builtin)
    initrd = initramfs.build(
        (scratch / "busybox" / busyboxes[0]).read_bytes(),
        [(name, modules[name]) for name in order],
        _init(),
    )
    image = (root / images[0]).read_bytes()
    elf = bzimage.unpacked(image)
    files = {"initrd": initrd, "config": (root / configs[0]).read_bytes()}
    if elf is not None and bzimage.starts_directly(elf):
        files |= {"kernel": elf, "packed": image}
    else:
        files["kernel"] = image
    for name, data in files.items():
        write_atomic(target / name, data)
    manifest = {
        "release": images[0].partition("vmlinuz-")[2] or bzimage.release(image),
        "package": kernel_deb.name,
        "busybox": busybox_deb.name,
        "modules": order,
        "unpacked": "packed" in files,
        "sizes": {name: len(data) for name, data in files.items()},
    }
    write_atomic(target / _MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _wanted(name: str) -> bool:
    """Tell whether a file of a kernel package is needed; Debian 13 moved /lib to /usr/lib."""
    if name.startswith(("boot/vmlinu", "boot/config-")) or name.endswith("/modules.builtin"):
        return True
    inside = name.removeprefix("usr/").removeprefix("lib/modules/").partition("/")[2]
    return inside.startswith(_MODULES) and ".ko" in inside


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
