"""QEMU of another Debian release, beside the installed one, without chroot or root.

The packages and all that they depend on are unpacked into a directory.  A small
shell script starts the binary with the loader, the libraries, the modules and
the firmware of that release, and so is usable wherever a QEMU binary is.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial.errors import ImageError
from vmserial.guests.apt import PrivateApt, extract
from vmserial.paths import cache_dir, locked, write_atomic

if TYPE_CHECKING:
    from vmserial.progress import Reporter

_HOSTS = {
    "x86_64": ("amd64", "x86_64-linux-gnu"),
    "aarch64": ("arm64", "aarch64-linux-gnu"),
    "riscv64": ("riscv64", "riscv64-linux-gnu"),
    "ppc64le": ("ppc64el", "powerpc64le-linux-gnu"),
    "s390x": ("s390x", "s390x-linux-gnu"),
}
"""By the kernel's machine name: Debian's architecture and its multiarch triplet."""

_PACKAGES = {"x86_64": "x86", "i386": "x86", "aarch64": "arm", "arm": "arm", "ppc64": "ppc",
             "mips64el": "mips"}  # fmt: skip
"""Which qemu-system-… package has a target; the others are in qemu-system-misc."""

_SPLIT = {"riscv32": "riscv", "riscv64": "riscv", "s390x": "s390x"}
"""What Debian 13 took out of qemu-system-misc."""

_BEFORE_SPLIT = ("bullseye", "bookworm")

_LOCK_BOUND = 900.0

_LAYOUT = "layout 3\n"
"""Changed whenever what is unpacked, or how, changes."""


def package_of(arch: str, suite: str) -> str:
    """Return the package of a Debian suite that has ``qemu-system-<arch>``."""
    known = _PACKAGES if suite in _BEFORE_SPLIT else {**_PACKAGES, **_SPLIT}
    return f"qemu-system-{known.get(arch, 'misc')}"


def fetch(
    suite: str,
    archs: Sequence[str],
    destination: Path | None = None,
    *,
    mirror: str = "",
    reporter: Reporter | None = None,
) -> dict[str, Path]:
    """Return, by architecture, scripts that run the QEMU of a Debian suite.

    Args:
        suite: ``bullseye`` (5.2), ``trixie`` (10.0), ``sid``…
        archs: QEMU's target names.
        destination: where to put it; by default a directory of the cache.
        mirror: as :class:`PrivateApt`.
        reporter: told what is being fetched.

    Raises:
        ImageError: no network, no such suite, or this host's architecture is not known.
    """
    debian, triplet = _host("QEMU")
    apt = _apt(debian, suite, mirror, reporter)
    debs = apt.closure(sorted({package_of(arch, suite) for arch in archs}))
    where = destination or cache_dir("foreign", f"{suite}-{debian}")
    where.mkdir(parents=True, exist_ok=True)
    with locked(where / ".lock", _LOCK_BOUND):
        stamp = where / ".complete"
        wanted = "".join(f"{deb.name}\n" for deb in debs) + _LAYOUT
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
            stamp.unlink(missing_ok=True)
            _unpack(debs, where / "root", triplet, reporter)
            write_atomic(stamp, wanted)
        return {arch: _script(where, arch, triplet) for arch in archs}


def program(
    package: str, file: str, suite: str, *, mirror: str = "", reporter: Reporter | None = None
) -> list[str]:
    """Return the words that run a program of a Debian suite, with its own libraries.

    What was fetched once is not asked for again.

    Args:
        package: which has it.
        file: where, from the root.
        suite: ``trixie``…
        mirror: as :class:`PrivateApt`.
        reporter: told what is being fetched.

    Raises:
        ImageError: no network, no such package, or this host's architecture is not known.
    """
    debian, triplet = _host(package)
    where = cache_dir("foreign", f"{package}-{suite}-{debian}")
    root, stamp = where / "root", where / ".complete"
    with locked(where.parent / f".{where.name}.lock", _LOCK_BOUND):
        if not stamp.is_file():
            debs = _apt(debian, suite, mirror, reporter).closure([package])
            shutil.rmtree(where, ignore_errors=True)
            needed = re.compile(rf"{re.escape(file)}|(usr/)?lib/{triplet}/[^/]+\.so[^/]*")
            for deb in debs:
                extract(deb, root, lambda name: needed.fullmatch(name) is not None)
            write_atomic(stamp, "".join(f"{deb.name}\n" for deb in debs))
    return _words(root.resolve(), triplet, root.resolve() / file)


def _host(what: str) -> tuple[str, str]:
    """Return Debian's architecture of this machine, and its multiarch triplet."""
    machine = os.uname().machine
    if machine not in _HOSTS:
        raise ImageError(
            f"no {what} is fetched for a {machine} host", hint="install it in another way"
        )
    return _HOSTS[machine]


def _apt(debian: str, suite: str, mirror: str, reporter: Reporter | None) -> PrivateApt:
    # sid is a moving suite: a mirror that lags a week is past its Valid-Until.
    return PrivateApt(
        debian, suite, mirror, check_valid_until=suite not in ("sid", "unstable"),
        reporter=reporter,
    )  # fmt: skip


def _unpack(debs: Sequence[Path], root: Path, triplet: str, reporter: Reporter | None) -> None:
    """Unpack what a QEMU needs at run time: programs, libraries, modules, firmware."""
    if reporter is not None:
        reporter.step(f"unpacking {len(debs)} packages")
    if root.exists():
        shutil.rmtree(root)
    needed = re.compile(
        rf"usr/bin/qemu-system-[^/]+|(usr/)?lib/{triplet}/([^/]+\.so[^/]*|qemu/.+)"
        r"|usr/share/(qemu|seabios|qemu-efi-aarch64)/.+|usr/lib/ipxe/qemu/.+"
        # Where usr/share/qemu links to for riscv's firmware.
        r"|usr/lib/riscv\d+-linux-gnu/opensbi/.+"
    )
    for count, deb in enumerate(debs, 1):
        extract(deb, root, lambda name: needed.fullmatch(name) is not None)
        if reporter is not None:
            reporter.advance(count, len(debs), deb.name.partition("_")[0])
    for binary in (root / "usr/bin").iterdir():
        if binary.is_file() and not binary.is_symlink():
            _forget_host_modules(binary, triplet)


def _forget_host_modules(binary: Path, triplet: str) -> None:
    """Make a binary never look for modules in the host's directory.

    After $QEMU_MODULE_DIR it looks in the path that it was built with, where the
    host's QEMU has modules of another build: some devices then abort it
    (module_load_dso's assertion, seen with 10.0 and 11.1 on a host with 7.2).
    The path in this copy is overwritten by one of the same length.
    """
    built_in = f"/usr/lib/{triplet}/qemu".encode()
    data = binary.read_bytes()
    if data.count(b"\0" + built_in + b"\0") == 1:
        none = b"/nonexistent".ljust(len(built_in), b"/")
        patched = data.replace(b"\0" + built_in + b"\0", b"\0" + none + b"\0")
        write_atomic(binary, patched, 0o755)


def _script(where: Path, arch: str, triplet: str) -> Path:
    """Write the script that starts one binary below ``where/root``."""
    root = (where / "root").resolve()
    command = _words(root, triplet, root / "usr/bin" / f"qemu-system-{arch}")
    # The binary looks for its data beside its own file, which is the loader here.
    for data in ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"):
        command += ["-L", str(root / data)]
    modules = next(
        (one / "qemu" for one in _directories(root, triplet) if (one / "qemu").is_dir()), root
    )
    script = where / f"qemu-system-{arch}"
    text = (
        "#!/bin/sh\n"
        f"QEMU_MODULE_DIR={shlex.quote(str(modules))}\n"
        "export QEMU_MODULE_DIR\n"
        f'exec {shlex.join(command)} "$@"\n'
    )
    if not script.is_file() or script.read_text(encoding="utf-8") != text:
        write_atomic(script, text, 0o755)
    return script


def _directories(root: Path, triplet: str) -> list[Path]:
    """Return where an unpacked release has its libraries."""
    return [root / "usr/lib" / triplet, root / "lib" / triplet]


def _words(root: Path, triplet: str, binary: Path) -> list[str]:
    """Return the words that start a program below a root with the loader of that release."""
    directories = _directories(root, triplet)
    loaders = sorted(loader for one in directories for loader in one.glob("ld*-linux-*.so.*"))
    loaders += sorted(loader for one in directories for loader in one.glob("ld64.so.*"))
    if not binary.is_file() or not loaders:
        raise ImageError(
            f"the packages hold no {binary.name}, or no loader to start it with",
            hint="does that suite still have it?",
        )
    libraries = ":".join(str(one) for one in directories if one.is_dir())
    return [str(loaders[0]), "--library-path", libraries, str(binary)]
