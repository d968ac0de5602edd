"""Test guests: a Debian kernel, a static busybox, and an initramfs of ours; or the user's own.

A test guest is made once and cached; the second time nothing but a few files'
sizes is looked at, and no network is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from vmserial.errors import ImageError, UsageError
from vmserial.guests import bzimage, initramfs
from vmserial.guests.profile import (
    embedded_config,
    from_config,
    of_release,
    parameter_of,
    read_config,
    unknown,
)
from vmserial.machines import ARCHITECTURES, Architecture, architecture
from vmserial.model import GuestProfile
from vmserial.paths import cache_dir, locked
from vmserial.progress import Reporter, Silent

if TYPE_CHECKING:
    from vmserial.guests.cloudinit import Seed

SUITES: Mapping[str, str] = {"bullseye": "11", "bookworm": "12", "trixie": "13", "sid": "sid"}
"""Debian's suites that test guests are made of, and what their guests are called after; which
of them has a kernel for an architecture is in that one's file."""

QUICK = "nokaslr cryptomgr.notests"
"""What makes the boot of an emulated kernel 0.35 s shorter and changes nothing else.

Moving the kernel in memory is 0.1 s, the crypto API's tests of itself 0.25 s.
"""

_LAYOUT = 1
_LOCK_BOUND = 1800.0
MANIFEST = "guest.json"
"""What the cache says of a test guest."""

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
        dtbs: device trees for boards that QEMU makes none for, by machine type.
        firmware: the UEFI that starts the kernel, where QEMU alone does not.
        image: the disk of a full system, which is never written; None: there is none.
        uefi: the UEFI that starts that system in the kernel's place; None: none does.
        seed: what its cloud-init is told; None: nothing.
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
    dtbs: Mapping[str, Path] = field(default_factory=dict)
    firmware: Path | None = None
    image: Path | None = None
    uefi: Path | None = None
    seed: Seed | None = None

    def with_append(self, words: str) -> TestGuest:
        """Return it with more words on the kernel's command line; ``8250.nr_uarts=`` counts."""
        append = f"{self.append} {words}".strip()
        parameter = parameter_of(append)
        return replace(
            self, append=append, profile=replace(self.profile, nr_uarts_parameter=parameter)
        )


_BEGIN = 2048
_EXT_MAGIC = 1024 + 56
"""Where an ext2, 3 or 4 without partitions says what it is (struct ext4_super_block)."""


def suite_of(arch: Architecture, suite: str = "") -> tuple[str, str]:
    """Return the Debian suite whose kernel is the test guest, and the kernel's flavour.

    Args:
        arch: whose kernel.
        suite: ``trixie``, or with a flavour ``trixie-cloud``; unnamed: the architecture's own.

    Raises:
        UsageError: there is no test guest for it, or not of that suite or flavour.
    """
    suite, dash, flavour = suite.partition("-")
    if not arch.suites:
        there = ", ".join(one.name for one in ARCHITECTURES.values() if one.suites)
        raise UsageError(
            f"there is no test guest for {arch.name}",
            hint=f"it is planned and judged, not booted; test guests: {there}. A kernel of "
            "your own: --kernel and --initrd",
        )
    if suite and suite not in SUITES:
        raise UsageError(
            f"there is no test guest of Debian {suite!r}", hint=f"known: {', '.join(SUITES)}"
        )
    if suite and suite not in arch.suites:
        raise UsageError(
            f"Debian {suite} has no kernel for {arch.name}",
            hint=f"its test guests are of {', '.join(arch.suites)}",
        )
    if dash and flavour not in arch.flavours:
        there = ", ".join(arch.flavours)
        raise UsageError(
            f"there is no test guest of Debian's {flavour or 'unnamed'} kernel for {arch.name}",
            hint=f"its flavours are {there}, such as {arch.suites[0]}-{arch.flavours[0]}"
            if there else "leave the flavour out",
        )  # fmt: skip
    return suite or arch.suites[0], flavour


def ensure(
    arch: str,
    suite: str = "",
    *,
    reporter: Reporter | None = None,
    mirror: str = "",
    shell: Shell = "control",
) -> TestGuest:
    """Return a test guest, made now if it is not in the cache.

    Args:
        arch: QEMU's target name: ``aarch64``, ``x86_64``.
        suite: a Debian suite of :data:`SUITES`, ``trixie-cloud`` with a flavour of its kernel;
            empty: the architecture's own.
        reporter: told what is fetched and built.
        mirror: as :class:`vmserial.guests.apt.PrivateApt`.
        shell: where it is to give its shell; the same files serve both.

    Raises:
        UsageError: the architecture or the suite is not known.
        ImageError: the packages cannot be had, or do not hold what is needed.
    """
    known = architecture(arch)
    suite, flavour = suite_of(known, suite)
    kind = "-".join(filter(None, (flavour, known.debian)))
    base = cache_dir("guests")
    where = base / f"{suite}-{kind}-{_recipe(known)}"
    manifest = _manifest(where)
    if manifest is None:
        # Not needed where the guest is in the cache, and not quick.
        from vmserial.guests import making

        with locked(base / f".{suite}-{kind}.lock", _LOCK_BOUND):
            # Another process may have made it meanwhile.
            if _manifest(where) is None:
                making.make(where, suite, known, flavour, init(), mirror, reporter or Silent())
        manifest = _manifest(where)
        if manifest is None:
            raise ImageError(f"{where} vanished while it was made", hint="try again")
    release = str(manifest["release"])
    name = f"debian-{SUITES[suite]}-{kind}"
    config = where / "config"
    # Not 0: with that a kernel does not even say why it panics.
    quiet = "quiet loglevel=1 panic=-1"
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
        dtbs={board.name: where / board.dtb for board in known.platforms if board.dtb},
        firmware=where / "firmware" if known.firmware_package else None,
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
    if known.firmware_package and not Path(known.firmware).is_file():
        raise UsageError(
            f"there is no {known.firmware}, without which a kernel for {arch} does not boot",
            hint=f"install the package {known.firmware_package}",
        )
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
        # Its release tells more than its architecture.
        assumed = of_release(release)
        source = f"as {assumed.name}: {assumed.source}" if assumed is not None else ""
        assumed = assumed or unknown(arch)
        profile = replace(
            assumed,
            name=name,
            source=source or f"assumed to be as {assumed.name}; give --kernel-config to know",
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
        firmware=Path(known.firmware) if known.firmware_package else None,
    )


UEFI_BOOTS = ("aarch64", "x86_64")
"""Architectures whose UEFI was seen to start a full system."""


def by_firmware(arch: str, image: str | Path, config: str | Path | None = None) -> TestGuest:
    """Return a full system that UEFI starts from its own disk, with its own boot loader.

    Args:
        arch: QEMU's target name.
        image: its disk, with an EFI system partition; never written.
        config: its kernel's configuration; without it, what it can carry is assumed.

    Raises:
        UsageError: the image cannot be read, or there is no UEFI for it.
        ConfigError: ``config`` is not a kernel configuration.
    """
    known, path = architecture(arch), Path(image).absolute()
    give = "give the system's own --kernel and --initrd; they are in the image's /boot"
    if arch not in UEFI_BOOTS:
        raise UsageError(
            f"an image of {arch} is not started by UEFI here: that was seen to work with "
            f"{' and '.join(UEFI_BOOTS)} alone",
            hint=give, where="--image",
        )  # fmt: skip
    firmware = Path(known.firmware)
    if not firmware.is_file():
        raise UsageError(
            f"there is no UEFI to start the image with: {firmware}",
            hint=f"install the package ovmf or qemu-efi-aarch64, or {give}", where="--image",
        )  # fmt: skip
    begin = _begin(path)
    if begin[_EXT_MAGIC : _EXT_MAGIC + 2] == b"\x53\xef":
        raise UsageError(
            f"{image} is a file system without partitions, and UEFI starts nothing from it",
            hint=give, where="--image",
        )  # fmt: skip
    profile = replace(unknown(arch), source=f"assumed of {path.name}; give --kernel-config to know")
    if config is not None:
        text, source = read_config(Path(config)), str(config)
        profile = from_config(text, name=path.name, kernel=None, append="", source=source)
    return TestGuest(
        f"own-{path.name}", arch, "", "", path, path, path, None, profile, known.console,
        "console", "", image=path, uefi=firmware,
    )  # fmt: skip


def _begin(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_BEGIN)
    except OSError as error:
        raise UsageError(
            f"the image {path} cannot be read: {error.strerror or error}", hint="check --image",
            where="--image",
        ) from None  # fmt: skip


def with_image(guest: TestGuest, image: str | Path) -> TestGuest:
    """Return a guest of the user's own with the disk of its full system.

    Raises:
        UsageError: it cannot be read, or nothing tells where its root file system is.
    """
    path = Path(image).absolute()
    begin = _begin(path)
    words = [] if re.search(r"(?:^| )root=", guest.append) else ["root=/dev/vda rw"]
    if words and begin[_EXT_MAGIC : _EXT_MAGIC + 2] != b"\x53\xef":
        raise UsageError(
            f"nothing tells where the root file system in {image} is",
            hint="add --append root=/dev/vda1, or root=UUID=...; its disk is /dev/vda",
            where="--append",
        )
    # Its kernel and systemd tell of all they do on the console, which is a port under test.
    words.append("quiet loglevel=1 systemd.show_status=no")
    return replace(guest.with_append(" ".join(words)), name=f"own-{path.name}", image=path)


def _joined(*words: str) -> str:
    """Return a kernel's command line of what is not empty."""
    return " ".join(filter(None, words))


def _version(release: str) -> tuple[int, int] | None:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None


# ------------------------------------------------------------------ the cache


def init() -> bytes:
    """Return what process 1 of a test guest runs."""
    # importlib.resources takes 18 ms to import.
    return Path(__file__).with_name("init.sh").read_bytes()


def _recipe(arch: Architecture) -> str:
    """Return a hash of all of ours that goes into a test guest."""
    parts = (_LAYOUT, initramfs.APPLETS, initramfs.WANTED_MODULES, initramfs.FSTAB, init())
    own = arch.guest_modules + tuple(one.dtb for one in arch.platforms if one.dtb)
    own += (arch.firmware_package,) if arch.firmware_package else ()
    return hashlib.sha256(repr((*parts, own) if own else parts).encode()).hexdigest()[:12]


def _manifest(where: Path) -> dict[str, object] | None:
    """Return what the cache says of a test guest; None if it is not there, or not whole."""
    try:
        manifest = json.loads((where / MANIFEST).read_text("utf-8"))
        sizes = manifest["sizes"]
        if all((where / name).stat().st_size == size for name, size in sizes.items()):
            return dict(manifest)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return None
