"""Firmware that is booted without a system: found on this machine, named, or fetched.

Debian's packages of it are for all architectures alike, and one that is not installed is unpacked
into the cache without root.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vmserial.errors import ImageError, UsageError
from vmserial.guests.apt import PrivateApt, extract
from vmserial.guests.firmware_version import installed_version, version_of
from vmserial.machines import architecture
from vmserial.paths import cache_dir, locked
from vmserial.progress import Reporter, Silent

_LOCK_BOUND = 900.0

How = Literal["pflash", "bios", "kernel", "own"]
"""How QEMU is given it: ``own``: QEMU brings it along itself."""


@dataclass(frozen=True, slots=True)
class Firmware:
    """A firmware, and how it is handled.

    Attributes:
        word: how ``--firmware`` names it.
        name: its stage's name (:data:`vmserial.planning.stages.STAGES`).
        arch: QEMU's target name.
        package: Debian's.
        suite: from which it is fetched.
        file: where the package puts it.
        how: how QEMU is given it.
        ready: what it writes when it waits for a key.
        key: what changes what it writes.
        words: further options of QEMU.
        needs: the oldest QEMU that starts it so.
        debian: Debian's architecture in whose lists the package is.
        tells: what it writes its version with; empty: it does not.
        grub: GRUB's platform, where it is GRUB: ``i386-pc``.
        told: GRUB is told to have the serial ports.
        below: the UEFI that starts it.
        path: where it is now; None: QEMU's own.
        version: of the package, or what is known of the file.
        origin: where it came from, for people.
    """

    word: str
    name: str
    arch: str
    package: str
    suite: str
    file: str
    how: How
    ready: tuple[bytes, ...]
    key: bytes = b"\r"
    words: tuple[str, ...] = ()
    needs: tuple[int, ...] = ()
    debian: str = "amd64"
    tells: bytes = b""
    grub: str = ""
    told: bool = False
    below: Firmware | None = None
    path: Path | None = None
    version: str = ""
    origin: str = ""

    @property
    def title(self) -> str:
        """What it is called in a report: ``GRUB 2.12-9+deb13u4 on OVMF 2022.11-6+deb12u2``."""
        own = f"{self.name} {self.version}".strip()
        return own if self.below is None else f"{own} on {self.below.title}"

    def of_version(self, said: bytes) -> Firmware:
        """Return it with the version that it says itself, if it says one."""
        found = re.search(self.tells, said) if self.tells else None
        below = self.below.of_version(said) if self.below is not None else None
        version = found[1].decode("ascii", "replace") if found else ""
        # The package's is more than the program's own, as Debian's revision is in it.
        return replace(self, version=self.version or version, below=below)


_UEFI = (b"Shell>", b"Standard Language", b"Press any key to enter the Boot Manager Menu")
_ARM_TELLS = rb"UEFI firmware \(version (\S+) built"
_U_BOOT_TELLS = rb"U-Boot (20\d\d\.\d\d[^ \r\n]*)"
_GRUB_TELLS = rb"GNU GRUB +version (\S+)"

KNOWN: tuple[Firmware, ...] = (
    Firmware("seabios", "SeaBIOS", "x86_64", "seabios", "bookworm",
             "usr/share/seabios/bios-256k.bin", "own", (b"Press ESC for boot menu",), b"\x1b",
             # Without graphics it writes to COM1; the menu waits, in ms.
             ("-machine", "graphics=off", "-boot", "menu=on,splash-time=60000"),
             tells=rb"SeaBIOS \(version ([^)]+)\)"),
    Firmware("ovmf", "OVMF", "x86_64", "ovmf", "bookworm",
             "usr/share/OVMF/OVMF_CODE_4M.fd", "pflash", _UEFI),
    Firmware("aavmf", "AAVMF", "aarch64", "qemu-efi-aarch64", "bookworm",
             "usr/share/AAVMF/AAVMF_CODE.fd", "pflash", _UEFI, tells=_ARM_TELLS),
    Firmware("edk2", "RISC-V EDK II", "riscv64", "qemu-efi-riscv64", "trixie",
             "usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "pflash", _UEFI, needs=(8, 1)),
    Firmware("edk2", "LoongArch EDK II", "loongarch64", "qemu-efi-loongarch64", "trixie",
             "usr/share/qemu-efi-loongarch64/QEMU_EFI.fd", "bios", _UEFI, needs=(10, 0)),
    Firmware("u-boot", "U-Boot", "aarch64", "u-boot-qemu", "bookworm",
             "usr/lib/u-boot/qemu_arm64/u-boot.bin", "bios", (b"=> ",), tells=_U_BOOT_TELLS),
    Firmware("u-boot", "U-Boot", "riscv64", "u-boot-qemu", "bookworm",
             "usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin", "kernel", (b"=> ",),
             tells=_U_BOOT_TELLS),
    *(
        Firmware(word + ("-serial" if told else ""), "GRUB told `serial`" if told else "GRUB",
                 arch, f"grub-{package}-bin", "trixie", f"usr/lib/grub/{format}/kernel.img",
                 "kernel", (b"grub> ",), debian=debian, tells=_GRUB_TELLS, grub=format, told=told)
        for word, arch, package, format, debian in (
            ("grub", "x86_64", "pc", "i386-pc", "amd64"),
            ("grub-efi", "x86_64", "efi-amd64", "x86_64-efi", "amd64"),
            ("grub-efi", "aarch64", "efi-arm64", "arm64-efi", "arm64"),
            ("grub-efi", "riscv64", "efi-riscv64", "riscv64-efi", "riscv64"),
        )
        for told in ((False, True) if arch == "x86_64" else (False,))
    ),
)  # fmt: skip
"""What is known, an architecture's own first."""

_BELOW = {("grub-efi", "x86_64"): "ovmf", ("grub-efi", "aarch64"): "aavmf",
          ("grub-efi", "riscv64"): "edk2"}  # fmt: skip
"""By GRUB's word and the architecture, the word of the UEFI that starts it."""


def names(arch: str) -> list[str]:
    """Return the words of ``--firmware`` for an architecture."""
    return [one.word for one in KNOWN if one.arch == arch]


def find(
    arch: str, asked: str = "", *, usual: str = "", mirror: str = "",
    reporter: Reporter | None = None,
) -> Firmware:  # fmt: skip
    """Return a firmware, with its file.

    Args:
        arch: QEMU's target name.
        asked: a word of :data:`KNOWN`, or a file; empty: ``usual``, else the first.
        usual: the stage's name that the VM has by itself.
        mirror: as :class:`vmserial.guests.apt.PrivateApt`.
        reporter: told what is fetched.

    Raises:
        UsageError: there is none for the architecture, or the file is none.
        ImageError: it cannot be fetched.
    """
    arch = architecture(arch).name
    there = [one for one in KNOWN if one.arch == arch]
    if not there:
        raise UsageError(
            f"no firmware is known for {arch}",
            hint=f"known for {', '.join(dict.fromkeys(one.arch for one in KNOWN))}",
            where="--stage",
        )
    others = [one.arch for one in KNOWN if one.word == asked and one.arch != arch]
    if others and asked not in names(arch) and not Path(asked).exists():
        raise UsageError(
            f"{asked} is a firmware of {', '.join(dict.fromkeys(others))}, and not of {arch}",
            hint=f"give a file, or one of: {', '.join(names(arch))}", where="--firmware",
        )  # fmt: skip
    if asked and asked not in names(arch):
        return _file(arch, there, Path(asked))
    if asked:
        wanted = next(one for one in there if one.word == asked)
    else:
        wanted = next((one for one in there if one.name == usual), there[0])
    if below := _BELOW.get((asked.removesuffix("-serial"), arch), ""):
        wanted = replace(wanted, below=find(arch, below, mirror=mirror, reporter=reporter))
    installed = Path("/", wanted.file)
    if wanted.how == "own":
        # Which file QEMU brings along is its package's matter: it says its version itself.
        return replace(wanted, origin="QEMU's own")
    # An installed GRUB may be of another release than what makes its image.
    if installed.is_file() and not wanted.grub:
        return replace(
            wanted, path=installed, version=installed_version(wanted.package),
            origin=f"package {wanted.package}, installed",
        )  # fmt: skip
    return _fetched(wanted, mirror, reporter or Silent())


def _file(arch: str, there: Sequence[Firmware], path: Path) -> Firmware:
    """Return a file of the user's own, as the firmware that its bytes say it is."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the firmware {path} cannot be read: {error.strerror or error}",
            hint=f"give a file, or a name: {', '.join(names(arch))}", where="--firmware",
        ) from None  # fmt: skip
    # Of AAVMF what starts the processor comes first.
    uefi = b"_FVH" in data[: 1 << 16]
    for one in there:
        if one.grub:
            continue
        kind = {"SeaBIOS": b"SeaBIOS", "U-Boot": b"U-Boot 20"}.get(one.name)
        if uefi if kind is None else kind in data:
            how: How = "bios" if one.how == "own" else one.how
            file = path.absolute()
            return replace(one, path=file, how=how, version=version_of(file, data),
                           origin=str(path))  # fmt: skip
    raise UsageError(
        f"{path} is no firmware that is known for {arch}",
        hint=f"known are {', '.join(names(arch))}", where="--firmware",
    )  # fmt: skip


def _fetched(wanted: Firmware, mirror: str, reporter: Reporter) -> Firmware:
    base = cache_dir("firmware")
    where = base / f"{wanted.package}-{wanted.suite}"
    note = where / "version"
    with locked(base / f".{where.name}.lock", _LOCK_BOUND):
        if not note.is_file() or not (where / wanted.file).is_file():
            apt = PrivateApt(wanted.debian, wanted.suite, mirror, reporter=reporter)
            package = apt.resolve(wanted.package)
            (deb,) = apt.download([wanted.package])
            shutil.rmtree(where, ignore_errors=True)
            top = wanted.file.partition("/")[0] + "/"
            extract(deb, where, lambda name: name.startswith(top) and "/doc/" not in name)
            if not (where / wanted.file).is_file():
                raise ImageError(
                    f"the package {deb.name} holds no {wanted.file}",
                    hint="name a file: --firmware FILE",
                )
            note.write_text(package.version, encoding="utf-8")
    return replace(
        wanted, path=where / wanted.file, version=note.read_text("utf-8"),
        origin=f"package {wanted.package} of {wanted.suite}, fetched",
    )  # fmt: skip
