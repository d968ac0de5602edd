"""What a guest's kernel carries: from its configuration file, or from a table of known kernels.

A guest is its kernel, not its release: the table has a line for each kernel, found by the
system's name or by what ``uname -r`` says in it.  The table's numbers were read from the
distributions' kernel configurations (CONFIG_SERIAL_8250_NR_UARTS and
CONFIG_SERIAL_8250_RUNTIME_UARTS); those of Debian were also run.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vmserial.errors import ConfigError, UsageError
from vmserial.limits import TTYUSB_NODES
from vmserial.machines import architecture
from vmserial.model import ABSENT, MMIO_WORDS, GuestProfile

LARGEST = 4 << 20
"""Bytes of a kernel configuration that are read; a real one has about 0.3 MB."""

_SYMBOL = re.compile(r"^CONFIG_(\w+)=(.*)$", re.MULTILINE)
_VERSION = re.compile(r"^# Linux/\S+ (\d+)\.(\d+)", re.MULTILINE)
_IKCONFIG = b"IKCFG_ST"

_TABLE = """
debian-11-arm64      5.10  4  4
debian-11-amd64      5.10 32  4
debian-12-arm64      6.1   4  4
debian-12-amd64      6.1  32  4
debian-12-armhf      6.1   5  5 no-hotplug
debian-12-i386       6.1  32  4
debian-12-mips64el   6.1   4  4 no-hotplug
debian-12-ppc64el    6.1  32  4
debian-12-s390x      6.1   0  0 no-8250
debian-13-arm64      6.12  4  4
debian-13-amd64      6.12 32  4
debian-13-armhf      6.12  5  5 no-hotplug
debian-13-ppc64el    6.12 32  4
debian-13-riscv64    6.12  4  4 no-hotplug
debian-13-s390x      6.12  0  0 no-8250
debian-13-loong64    6.12 16 16 no-hotplug
debian-sid-arm64     7.2   4  4
debian-sid-amd64     7.2  32  4
debian-sid-armhf     7.2   5  5 no-hotplug
debian-sid-ppc64el   7.2  32  4
debian-sid-riscv64   7.2   6  6 no-hotplug
debian-sid-s390x     7.2   0  0 no-8250
debian-sid-loong64   7.2  16 16
debian-11-cloud-amd64  5.10 32  4 no-usb
debian-11-cloud-arm64  5.10  4  4 no-usb
debian-11-rt-amd64     5.10 32  4
debian-11-rt-arm64     5.10  4  4
debian-12-cloud-amd64  6.1  32  4 no-usb
debian-12-cloud-arm64  6.1   4  4 no-usb
debian-12-rt-amd64     6.1  32  4
debian-12-rt-arm64     6.1   4  4
debian-13-cloud-amd64  6.12 32  4 no-usb
debian-13-cloud-arm64  6.12  4  4 no-usb
debian-13-rt-amd64     6.12 32  4
debian-13-rt-arm64     6.12  4  4
debian-sid-cloud-amd64 7.2  32  4 no-usb
debian-sid-cloud-arm64 7.2   4  4 no-usb
debian-sid-rt-amd64    7.2  32  4
debian-sid-rt-arm64    7.2   4  4
ubuntu-22.04-amd64   5.15 48 32
ubuntu-22.04-arm64   5.15 48 32
ubuntu-24.04-amd64   6.8  48 32
ubuntu-24.04-arm64   6.8  48 32
el8-x86_64           4.18 64  4
el8-aarch64          4.18 32  4
el9-x86_64           5.14 64  4
el9-aarch64          5.14 32  4
openeuler-22.03-aarch64 5.10 32 4
openeuler-24.03-aarch64 6.6  32 4
"""
"""Name, version, NR_UARTS, RUNTIME_UARTS, and what a kernel lacks that most have."""


_OTHER_SYSTEM = re.compile(
    r"(?i)\A(?:windows|win(?:[0-9]|xp|vista)|w(?:2k|xp|7|8|10|11)|(?:free|open|net|dragonfly)?bsd|"
    r"solaris|macos|dos|other)"
)
"""Systems that people name, of which no limit is known."""


def _known() -> dict[str, GuestProfile]:
    found = {}
    for line in _TABLE.split("\n"):
        if not line:
            continue
        name, version, most, runtime, *lacks = line.split()
        major, minor = version.split(".")
        found[name] = GuestProfile(
            name,
            source=f"its stock kernel {version}: NR_UARTS {most}, RUNTIME_UARTS {runtime}",
            kernel=(int(major), int(minor)),
            nr_uarts=int(most),
            runtime_uarts=int(runtime),
            pci_hotplug="no-hotplug" not in lacks,
            pci_serial="no-8250" not in lacks,
            usb_serial="no-usb" not in lacks,
        )
    return found


KNOWN: Mapping[str, GuestProfile] = _known()
"""Systems whose kernels were looked at, by name."""

FLAVOURS = ("cloud", "rt")
"""Debian's kernels beside the common one: without drivers that clouds do not need, USB among
them; and PREEMPT_RT."""

_DEBIAN_ARCHS = {
    "686": "i386", "686-pae": "i386", "armmp": "armhf", "armmp-lpae": "armhf",
    "powerpc64le": "ppc64el", "5kc-malta": "mips64el",
    **{arch: arch for arch in ("amd64", "arm64", "riscv64", "s390x", "loong64")},
}  # fmt: skip
"""Debian's architecture by what its kernels' releases end with."""

_RELEASES = (
    (re.compile(rf"-(?:(?P<flavour>cloud|rt)-)?(?P<arch>{'|'.join(_DEBIAN_ARCHS)})\Z"), "debian-"),
    (re.compile(r"-\d+-(?:generic|lowlatency|virtual)\Z"), "ubuntu-"),
    (re.compile(r"\.el\d\w*\.(?P<arch>x86_64|aarch64)\Z"), "el"),
    (re.compile(r"\.oe\d+(?:sp\d)?\.(?P<arch>x86_64|aarch64)\Z"), "openeuler-"),
)
"""What ``uname -r`` ends with, and what the names of its system begin with."""

DRIVERS: Mapping[str, str] = {
    "8250": "SERIAL_8250",
    "8250_pci": "SERIAL_8250_PCI",
    "8250_of": "SERIAL_OF_PLATFORM",
    "amba-pl011": "SERIAL_AMBA_PL011",
    "xhci_pci": "USB_XHCI_PCI",
    "ftdi_sio": "USB_SERIAL_FTDI_SIO",
    "virtio_pci": "VIRTIO_PCI",
    "virtio_mmio": "VIRTIO_MMIO",
    MMIO_WORDS: "VIRTIO_MMIO_CMDLINE_DEVICES",
    "virtio_console": "VIRTIO_CONSOLE",
    "pciehp": "HOTPLUG_PCI_PCIE",
    "acpiphp": "HOTPLUG_PCI_ACPI",
    "shpchp": "HOTPLUG_PCI_SHPC",
}
"""What serial ports need of a kernel: the module's name, and what its configuration calls it."""

_STATES = {"y": "built in", "m": "module"}


def of_release(release: str) -> GuestProfile | None:
    """Return the profile of the kernel that calls itself so, as ``uname -r`` says it.

    A kernel whose very version was not looked at is taken to be as the one before it of the
    same system, flavour and architecture, and is an assumption.  Ubuntu's do not tell their
    architecture; those of the table are alike in all.

    Args:
        release: ``6.12.117+deb13-cloud-amd64``, ``5.14.0-503.11.1.el9_5.x86_64``.
    """
    version = re.match(r"(\d+)\.(\d+)", release)
    if version is None:
        return None
    kernel = (int(version[1]), int(version[2]))
    for pattern, system in _RELEASES:
        if (found := pattern.search(release)) is None:
            continue
        parts = found.groupdict()
        arch, flavour = parts.get("arch", ""), parts.get("flavour")
        tail = "".join(f"-{one}" for one in (flavour, _DEBIAN_ARCHS.get(arch, arch)) if one)
        # A flavour's name ends as that of the common kernel does.
        rows = [
            one for name, one in KNOWN.items()
            if name.startswith(system) and name.endswith(tail)
            and any(f"-{other}-" in name for other in FLAVOURS) == bool(flavour)
        ]  # fmt: skip
        rows.sort(key=lambda one: one.kernel or kernel)
        before = [one for one in rows if (one.kernel or kernel) <= kernel]
        if not rows:
            continue
        nearest = before[-1] if before else rows[0]
        if nearest.kernel == kernel:
            return replace(nearest, name=release)
        return replace(nearest, name=release, kernel=kernel, assumed=True,
                       source=f"taken to be as {nearest.name}: {nearest.source}")  # fmt: skip
    return None


def unknown(arch: str) -> GuestProfile:
    """Return what is assumed of a guest that nobody named: Debian 12's kernel.

    Raises:
        UsageError: the architecture is not known.
    """
    debian = architecture(arch).debian
    known = KNOWN.get(f"debian-12-{debian}") or KNOWN.get(f"debian-13-{debian}")
    if known is None:
        # Its 8250 ports are what most distributions' kernels have.
        return GuestProfile("unknown", source="a common kernel: NR_UARTS 4", assumed=True)
    return replace(known, assumed=True)


def assumed(arch: str, append: str = "", kernel: str = "") -> GuestProfile:
    """Return what is assumed of a guest that nobody named, started with a command line.

    Args:
        arch: the architecture.
        append: the kernel's command line, as far as it is known.
        kernel: the path of a kernel that QEMU loads; its name tells which it is, if it is
            called as distributions call theirs (``/boot/vmlinuz-6.1.0-50-cloud-amd64``).

    Raises:
        UsageError: the architecture is not known.
    """
    parameter = parameter_of(append)
    name = kernel.rpartition("/")[2]
    found = of_release(name.removeprefix("vmlinuz-")) if name.startswith("vmlinuz-") else None
    if found is not None:
        found = replace(found, source=f"the kernel {name}: {found.source}")
    else:
        found = unknown(arch)
    return found if parameter is None else replace(found, nr_uarts_parameter=parameter)


def without_limits(name: str, source: str) -> GuestProfile:
    """Return a guest of which no limit of serial ports is known: Windows, BSD.

    Args:
        name: what it is called.
        source: who says so.
    """
    return GuestProfile(name, source=source, assumed=True, nr_uarts=TTYUSB_NODES,
                        runtime_uarts=TTYUSB_NODES, limits_known=False)  # fmt: skip


def from_config(
    text: str,
    *,
    name: str,
    kernel: tuple[int, int] | None = None,
    append: str = "",
    source: str = "",
) -> GuestProfile:
    """Read a kernel configuration.

    Args:
        text: the content of ``/boot/config-…`` or ``/proc/config.gz``.
        name: what to call the guest.
        kernel: major and minor version; from the file's first lines if None.
        append: the kernel's command line, read for ``8250.nr_uarts=``.
        source: where the text comes from, for people.

    Raises:
        ConfigError: it holds no ``CONFIG_…`` line.
    """
    symbols = dict(_SYMBOL.findall(text))
    if not symbols:
        raise ConfigError(
            "this is not a kernel configuration: no CONFIG_ line in it",
            hint="give the guest's /boot/config-…, or its /proc/config.gz",
            where=source,
        )
    if kernel is None and (found := _VERSION.search(text)):
        kernel = (int(found.group(1)), int(found.group(2)))

    def has(symbol: str) -> bool:
        return symbols.get(symbol) in _STATES

    def number(symbol: str, otherwise: int) -> int:
        value = symbols.get(symbol, "")
        return int(value) if value.isdecimal() else otherwise

    most = number("SERIAL_8250_NR_UARTS", 4) if has("SERIAL_8250") else 0
    runtime = number("SERIAL_8250_RUNTIME_UARTS", most) if has("SERIAL_8250") else 0
    origin = source or "its kernel configuration"
    parameter = parameter_of(append)
    said = f", 8250.nr_uarts={parameter}" if parameter is not None else ""
    return GuestProfile(
        name,
        source=f"{origin}: NR_UARTS {most}, RUNTIME_UARTS {runtime}{said}",
        kernel=kernel,
        nr_uarts=most,
        runtime_uarts=runtime,
        nr_uarts_parameter=parameter,
        usb_serial=has("USB_SERIAL_FTDI_SIO") and has("USB_XHCI_HCD"),
        virtio_console=has("VIRTIO_CONSOLE"),
        drivers=tuple(
            (driver, _STATES.get(symbols.get(symbol, ""), ABSENT))
            for driver, symbol in DRIVERS.items()
        ),
        pci_hotplug=has("HOTPLUG_PCI_PCIE") or has("HOTPLUG_PCI_ACPI"),
        pci_serial=has("SERIAL_8250_PCI"),
    )


def parameter_of(append: str) -> int | None:
    """Return N of the last ``8250.nr_uarts=N`` of a kernel command line, else None."""
    found = re.findall(r"(?:^|\s)8250\.nr_uarts=(\d{1,6})(?=\s|$)", append)
    return int(found[-1]) if found else None


def embedded_config(image: bytes) -> str:
    """Return the configuration inside a kernel image (CONFIG_IKCONFIG), empty if it has none.

    Only images that are not compressed as a whole show it.
    """
    at = image.find(_IKCONFIG)
    if at < 0:
        return ""
    inflate = zlib.decompressobj(wbits=31)
    try:
        return inflate.decompress(image[at + len(_IKCONFIG) :], LARGEST).decode("utf-8", "replace")
    except zlib.error:
        return ""


def resolve(name: str, *, append: str = "") -> GuestProfile:
    """Return the profile of a known system, or of a kernel configuration file.

    Args:
        name: a name of :data:`KNOWN`, what ``uname -r`` says in the guest, or the path of a
            configuration (also gzipped).
        append: the guest's kernel command line, read for ``8250.nr_uarts=``.

    Raises:
        UsageError: there is no such name or file.
        ConfigError: the file is not a kernel configuration.
    """
    known = KNOWN.get(name) or of_release(name)
    if known is not None:
        parameter = parameter_of(append)
        return known if parameter is None else replace(known, nr_uarts_parameter=parameter)
    path = Path(name)
    if "/" not in name and not path.exists():
        import difflib  # only the way to an error needs it

        if _OTHER_SYSTEM.search(name):
            raise UsageError(
                f"{name!r}: --guest names a Linux kernel, whose number of 8250 ports and drivers "
                "are known; no such limit is known of Windows, BSD or another system",
                hint="leave --guest out, and read what the plan assumes of Linux as not said of "
                "this guest: its ports are where QEMU puts them; it needs a driver for usb "
                "(FTDI) and virtio ports",
            )

        near = difflib.get_close_matches(name, KNOWN, 2)
        raise UsageError(
            f"no guest is known as {name!r}, and there is no such file",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else f"known: {', '.join(KNOWN)}; or give what uname -r says in the guest, or its "
            "/boot/config-…",
        )
    return from_config(read_config(path), name=path.name, append=append, source=str(path))


def read_config(path: Path) -> str:
    """Return the text of a configuration file, unpacked if it is gzipped.

    Raises:
        UsageError: it cannot be read.
        ConfigError: it is too large to be one, or broken.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}",
            hint="give the guest's /boot/config-… or the name of a known guest",
        ) from None
    if data[:2] == b"\x1f\x8b":
        try:
            # Bounded: a small file can unpack to any size.
            data = zlib.decompressobj(wbits=31).decompress(data, LARGEST + 1)
        except zlib.error as error:
            raise ConfigError(
                f"broken gzip data: {error}", hint="copy the file again", where=str(path)
            ) from None
    if len(data) > LARGEST:
        raise ConfigError(
            f"larger than {LARGEST} bytes: not a kernel configuration",
            hint="give the guest's /boot/config-…",
            where=str(path),
        )
    return data.decode("utf-8", "replace")
