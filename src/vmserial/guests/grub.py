"""GRUB as a guest: an image of Debian's modules, made by its own grub-mkimage.

It holds its configuration, so that it needs no disk: BIOS gets it as a Linux kernel
(``lnxboot.img`` before it), UEFI as a program.  grub-mkimage is of the modules' suite, and is
unpacked with the libraries that it needs; nothing is installed.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from vmserial.errors import ImageError
from vmserial.guests.foreign import program
from vmserial.limits import ISA_SERIAL_PLACES
from vmserial.model import Assignment
from vmserial.progress import Reporter

MARK = 0xE9
"""The I/O port of the byte with which GRUB tells a BIOS guest's host that it waits: there its
console is the screen, and no serial port says so."""

MARKED = b"G"

_MODULES = ("normal", "echo", "terminal", "serial", "minicmd", "memdisk", "tar")
_OF_FORMAT = {"i386-pc": ("biosdisk", "iorw", "pci")}
_BOUND = 120.0
"""Seconds for making an image; it takes one."""


def configuration(format: str, assignments: Sequence[Assignment], *, told: bool) -> str:
    """Return GRUB's configuration; pure.

    Args:
        format: GRUB's platform: ``i386-pc``, ``x86_64-efi``.
        assignments: the ports of the VM.
        told: GRUB is to have each port that its ``serial`` knows; else what it has by itself.
    """
    lines = []
    for words, name in _terminals(assignments) if told else ():
        lines += [f"serial {words}", f"terminal_output --append serial_{name}",
                  f"terminal_input --append serial_{name}"]  # fmt: skip
    if format == "i386-pc":
        lines.append(f"outb {MARK:#x} {MARKED[0]:#x}")
    return "".join(f"{line}\n" for line in lines)


def _terminals(assignments: Sequence[Assignment]) -> list[tuple[str, str]]:
    """Return what ``serial`` is told of each port, and what GRUB calls the terminal then."""
    numbers = {f"{base:#x}": number for number, (base, _) in enumerate(ISA_SERIAL_PLACES)}
    cards = [one for one in assignments if one.kind.startswith("pci")]
    # The firmware numbers the buses below bridges: GRUB is told each number that one can have.
    below = {one.bus for one in cards if one.bus.partition(".")[0] not in ("pci", "pcie")}
    found = []
    for one in assignments:
        if one.kind == "isa" and one.identity.value in numbers:
            number = numbers[one.identity.value]
            found.append((f"--unit={number}", f"com{number}"))
    for one in cards:
        # "1e.1"; of a card with several UARTs "1e.0 uart 1", and GRUB has the first.
        slot, _, function = one.address.split()[0].partition(".")
        for bus in range(1, len(below) + 2) if one.bus in below else (0,):
            place = f"pci,{bus:02x}:{int(slot, 16):02x}.{function or 0}"
            found.append((place, place))
    return list(dict.fromkeys(found))


def image(
    format: str, modules: Path, config: str, to: Path, *, mirror: str = "", suite: str,
    reporter: Reporter | None = None,
) -> None:  # fmt: skip
    """Make an image that QEMU starts with ``-kernel``.

    Args:
        format: GRUB's platform.
        modules: the directory of its modules.
        config: what GRUB does at its start; then it waits for a command.
        to: where to put the image.
        mirror: as :class:`vmserial.guests.apt.PrivateApt`.
        suite: of Debian, whose modules they are.
        reporter: told what is fetched.

    Raises:
        ImageError: it cannot be made, or grub-mkimage cannot be fetched.
    """
    mkimage = program("grub-common", "usr/bin/grub-mkimage", suite, mirror=mirror,
                      reporter=reporter)  # fmt: skip
    disk, core = to.with_suffix(".tar"), to.with_suffix(".core")
    with tarfile.open(disk, "w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("boot/grub/grub.cfg")
        entry.size = len(config.encode())
        tar.addfile(entry, io.BytesIO(config.encode()))
    try:
        subprocess.run(
            [*mkimage, "-d", str(modules), "-O", format, "-p", "(memdisk)/boot/grub",
             "-m", str(disk), "-o", str(core), *_MODULES, *_OF_FORMAT.get(format, ())],
            timeout=_BOUND, capture_output=True, check=True,
        )  # fmt: skip
        first = (modules / "lnxboot.img").read_bytes() if format == "i386-pc" else b""
        to.write_bytes(first + core.read_bytes())
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        raise ImageError(f"GRUB's image cannot be made: {said or error}") from None
    disk.unlink()
    core.unlink()
