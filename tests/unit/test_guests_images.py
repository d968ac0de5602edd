"""Making and caching test guests from packages made here; and guests of the user's own."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from test_guests_bzimage import ELF, bzimage_of
from test_guests_initramfs import module, read

from vmserial.errors import ConfigError, ImageError, UsageError
from vmserial.guests import apt, images
from vmserial.guests.apt import Package
from vmserial.guests.images import ensure, own, suite_of
from vmserial.machines import architecture
from vmserial.model import Capabilities, Machine
from vmserial.paths import cache_dir
from vmserial.verify.request import TestEnvironment
from vmserial.verify.runner import too_old_for_a_guest
from vmserial.verify.setup import setup

CONFIG = """\
# Linux/arm64 6.1.176 Kernel Configuration
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_NR_UARTS=8
CONFIG_SERIAL_8250_RUNTIME_UARTS=2
CONFIG_VIRTIO_CONSOLE=m
"""
ARM = b"MZ" + bytes(60) + b"Linux version 6.1.0-50-arm64 (debian) #1 SMP\0"


@dataclass
class Archive:
    """What the stand-in for apt serves, and what it was asked for."""

    root: Path
    kernel: bytes = ARM
    release: str = "6.1.0-50-arm64"
    builtin: str = "kernel/drivers/virtio/virtio.ko\nkernel/drivers/tty/serial/8250/8250_pci.ko\n"
    modules: dict[str, bytes] = field(
        default_factory=lambda: {
            "usb/serial/ftdi_sio.ko": module("usbcore"),
            "usb/core/usbcore.ko": module(),
            "usb/host/xhci-pci.ko": module("usbcore"),
            "virtio/virtio_pci.ko": module("virtio"),
            "char/virtio_console.ko": module("virtio"),
            "net/unwanted.ko": module(),
        }
    )
    busybox: str = "bin/busybox"
    lib: str = "lib/modules"
    firmware: str = ""
    asked: list[str] = field(default_factory=list)

    def deb(self, name: str, files: dict[str, bytes]) -> Path:
        tree = self.root / f"{name}.tree"
        for path, data in {
            **files,
            "DEBIAN/control": f"Package: {name}\nVersion: 1\nArchitecture: all\n"
            "Maintainer: A <a@b.c>\nDescription: x\n".encode(),
        }.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        deb = self.root / f"{name}_1_all.deb"
        command = ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(tree), str(deb)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return deb

    def debs(self) -> list[Path]:
        base = f"{self.lib}/{self.release}"
        files = {
            f"boot/vmlinuz-{self.release}": self.kernel,
            f"boot/config-{self.release}": CONFIG.encode(),
            f"{base}/modules.builtin": self.builtin.encode(),
        }
        for path, data in self.modules.items():
            files[f"{base}/kernel/drivers/{path}"] = data
        more = {"qemu-efi-loongarch64": {self.firmware: b"UEFI"}} if self.firmware else {}
        return [
            self.deb(f"linux-image-{self.release}", files),
            self.deb("busybox-static", {self.busybox: b"\x7fELF\0cat\0sh\0"}),
            *(self.deb(name, held) for name, held in more.items()),
        ]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    served = Archive(tmp_path)

    class Apt:
        def __init__(
            self, arch: str, suite: str, mirror: str, *, check_valid_until: bool, reporter: object
        ) -> None:
            del reporter
            assert check_valid_until == (suite != "sid")
            served.asked.append(f"{arch} {suite} {mirror}")

        def kernel(self, metapackage: str) -> list[Package]:
            served.asked.append(metapackage)
            names = (deb.name.partition("_")[0] for deb in served.debs())
            return [Package(name, "1", "arm64") for name in names if name.startswith("linux-")]

        def download(self, packages: list[str]) -> list[Path]:
            served.asked.append(" ".join(packages))
            return served.debs()

    monkeypatch.setattr(apt, "PrivateApt", Apt)
    return served


def test_a_guest_is_made_of_what_it_needs(archive: Archive) -> None:
    guest = ensure("arm64", "bookworm", mirror="http://m/debian")
    assert archive.asked == [
        "arm64 bookworm http://m/debian",
        "linux-image-arm64",
        "linux-image-6.1.0-50-arm64=1 busybox-static",
    ]
    assert (guest.name, guest.arch, guest.suite) == ("debian-12-arm64", "aarch64", "bookworm")
    assert (guest.release, guest.console, guest.shell) == ("6.1.0-50-arm64", "ttyAMA0", "control")
    assert guest.kernel.read_bytes() == ARM
    assert guest.packed == guest.kernel
    assert guest.config is not None
    assert guest.config.read_text() == CONFIG
    assert guest.profile.name == guest.name
    assert (guest.profile.nr_uarts, guest.profile.uarts_8250) == (8, 2)
    assert guest.profile.kernel == (6, 1)
    assert guest.profile.virtio_console
    assert not guest.profile.usb_serial, "its configuration has no ftdi_sio"
    names = sorted(name for name in read(guest.initrd.read_bytes()) if name.endswith(".ko"))
    assert names == [
        "lib/modules/00-usbcore.ko",
        "lib/modules/01-ftdi_sio.ko",
        "lib/modules/02-xhci_pci.ko",
        "lib/modules/03-virtio_pci.ko",
        "lib/modules/04-virtio_console.ko",
    ]
    assert {"console=ttyAMA0", "panic=-1", "quiet"} <= set(guest.append.split())
    assert "no_timer_check" not in guest.append


def test_the_second_time_asks_nobody_and_gives_the_same(archive: Archive) -> None:
    first = ensure("aarch64")
    archive.asked.clear()
    assert ensure("aarch64") == first
    console = ensure("aarch64", shell="console")
    assert archive.asked == []
    assert console.initrd == first.initrd
    assert console.append == f"{first.append} vmserial_shell=console"


def test_the_command_line_counts_for_the_profile(archive: Archive) -> None:
    guest = ensure("aarch64").with_append("8250.nr_uarts=6")
    assert guest.append.endswith(" 8250.nr_uarts=6")
    assert guest.profile.uarts_8250 == 6
    assert archive.asked


@pytest.mark.parametrize("name", ["initrd", "kernel", "guest.json"])
def test_a_cache_that_is_not_whole_is_made_again(archive: Archive, name: str) -> None:
    guest = ensure("aarch64")
    archive.asked.clear()
    broken = guest.initrd.parent / name
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-3])
    assert ensure("aarch64") == guest
    assert archive.asked
    assert broken.read_bytes() == whole


def test_another_init_makes_another_guest_beside_the_old_one_for_a_week(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ensure("aarch64")
    other = ensure("aarch64", "trixie")
    monkeypatch.setattr(images, "init", lambda: b"#!/bin/sh\n# another\n")
    new = ensure("aarch64")
    assert new.initrd != old.initrd
    assert read(new.initrd.read_bytes())["init"][1] == b"#!/bin/sh\n# another\n"
    # A vmserial of another version may be booting it, and would make it again and again.
    assert old.initrd.exists()
    assert ensure("aarch64") == new
    week = time.time() - 8 * 86400
    os.utime(old.initrd.parent, (week, week))
    monkeypatch.setattr(images, "init", lambda: b"#!/bin/sh\n# a third\n")
    ensure("aarch64")
    assert not old.initrd.exists()
    assert new.initrd.exists()
    assert other.initrd.exists()
    assert len([line for line in archive.asked if "bookworm" in line]) == 3


def test_two_at_once_make_it_once(archive: Archive) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(ensure("aarch64"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [found[0]] * 4
    assert archive.asked.count("linux-image-arm64") == 1


def test_debian_13_keeps_its_modules_and_busybox_below_usr(archive: Archive) -> None:
    archive.lib, archive.busybox = "usr/lib/modules", "usr/bin/busybox"
    guest = ensure("aarch64", "trixie")
    assert "bin/sh" in read(guest.initrd.read_bytes())
    assert guest.name == "debian-13-arm64"


def test_a_pc_kernel_is_unpacked_only_if_qemu_can_start_it(archive: Archive) -> None:
    archive.release = "6.1.0-50-amd64"
    archive.kernel = bzimage_of(gzip.compress(ELF))
    guest = ensure("x86_64")
    assert guest.kernel.read_bytes() == ELF
    assert guest.packed.read_bytes() == archive.kernel
    archive.kernel = bzimage_of(gzip.compress(ELF.replace(b"Xen\0", b"GNU\0")))
    guest = ensure("x86_64", "trixie")
    assert guest.kernel == guest.packed
    assert guest.kernel.read_bytes() == archive.kernel


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"builtin": ""}, "no module virtio"),
        ({"modules": {"virtio/virtio_pci.ko": module()}}, "no module virtio_console"),
        ({"busybox": "sbin/other"}, "hold no busybox"),
        ({"lib": "opt/lib"}, "no list of built-in modules"),
    ],
)
def test_packages_that_lack_something_are_refused_and_nothing_is_left(
    archive: Archive, change: dict[str, object], words: str
) -> None:
    for name, value in change.items():
        setattr(archive, name, value)
    with pytest.raises(ImageError, match=words):
        ensure("aarch64")
    left = [path.name for path in cache_dir("guests").iterdir()]
    assert left == [".bookworm-arm64.lock"]


def test_a_kernel_that_firmware_starts_brings_it_along(archive: Archive) -> None:
    archive.firmware = "usr/share/qemu-efi-loongarch64/QEMU_EFI.fd"
    guest = ensure("loongarch64")
    assert guest.firmware is not None
    assert guest.firmware.read_bytes() == b"UEFI"
    assert archive.asked[-1].endswith("=1 busybox-static qemu-efi-loongarch64")
    capabilities = Capabilities((10, 0, 0), "loongarch64")
    made = setup(
        Machine("loongarch64", (), memory_mib=64), TestEnvironment(capabilities, guest), "unix",
        lambda name: f"/run/{name}",
    )  # fmt: skip
    words = " ".join(made.argv)
    assert f"-kernel {guest.kernel} " in words
    assert f"-bios {guest.firmware} " in words
    assert "-m 2048M" in words
    archive.firmware = ""
    assert ensure("aarch64").firmware is None


def test_a_package_without_the_firmware_is_refused(archive: Archive) -> None:
    archive.firmware = "usr/share/elsewhere/QEMU_EFI.fd"
    with pytest.raises(ImageError, match=r"qemu-efi-loongarch64_1_all.deb holds no /usr/share"):
        ensure("loongarch64")


def test_an_architecture_without_suites_has_no_test_guest() -> None:
    with pytest.raises(UsageError, match="no test guest for loongarch64"):
        suite_of(replace(architecture("loongarch64"), suites=()))


def test_a_kernel_of_ones_own_needs_the_firmware_too(files: tuple[Path, Path]) -> None:
    known = Path(architecture("loongarch64").firmware)
    if known.is_file():
        assert own("loongarch64", *files).firmware == known
    else:
        with pytest.raises(UsageError, match="qemu-efi-loongarch64"):
            own("loongarch64", *files)
    assert own("aarch64", *files).firmware is None


def test_a_flavour_is_a_guest_of_its_own_without_the_drivers_that_it_lacks(
    archive: Archive,
) -> None:
    common = ensure("aarch64")
    archive.release = "6.1.0-50-cloud-arm64"
    del archive.modules["usb/serial/ftdi_sio.ko"]
    del archive.modules["usb/host/xhci-pci.ko"]
    guest = ensure("aarch64", "bookworm-cloud")
    assert "linux-image-cloud-arm64" in archive.asked
    assert (guest.name, guest.suite) == ("debian-12-cloud-arm64", "bookworm")
    assert guest.release == archive.release
    assert guest.profile.lacks("ftdi_sio")
    names = [name for name in read(guest.initrd.read_bytes()) if name.endswith(".ko")]
    assert names == ["lib/modules/00-virtio_pci.ko", "lib/modules/01-virtio_console.ko"]
    assert common.kernel.is_file(), "the common kernel's guest is kept"
    assert guest.kernel.parent != common.kernel.parent


@pytest.mark.parametrize(
    ("arch", "suite", "words"),
    [
        ("aarch64", "bookworm-tiny", "flavours are cloud, rt, such as bookworm-cloud"),
        ("aarch64", "bookworm-", "unnamed kernel"),
        ("s390x", "bookworm-cloud", "leave the flavour out"),
    ],
)
def test_unknown_flavours(archive: Archive, arch: str, suite: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ensure(arch, suite)
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert not archive.asked


def test_what_a_killed_process_left_is_swept(archive: Archive) -> None:
    left = cache_dir("guests", ".bookworm-arm64-abandoned")
    (left / "kernel").write_bytes(b"x")
    other = cache_dir("guests", ".bookworm-amd64-of-another")
    ensure("aarch64")
    assert not left.exists()
    assert other.exists()
    assert archive.asked


def test_unknown_suites_and_architectures(archive: Archive) -> None:
    with pytest.raises(UsageError, match="woody"):
        ensure("aarch64", "woody")
    with pytest.raises(UsageError):
        ensure("vax")
    assert not archive.asked


# ------------------------------------------------------------------ the user's own


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd.img"
    kernel.write_bytes(ARM)
    initrd.write_bytes(b"any")
    return kernel, initrd


def test_a_guest_of_ones_own_with_its_configuration(files: tuple[Path, Path]) -> None:
    config = files[0].parent / "config"
    config.write_bytes(gzip.compress(CONFIG.encode()))
    guest = own("aarch64", *files, config, append="8250.nr_uarts=5")
    assert (guest.kernel, guest.initrd, guest.config) == (*files, config)
    assert (guest.profile.nr_uarts, guest.profile.uarts_8250) == (8, 5)
    assert not guest.profile.assumed
    assert str(config) in guest.profile.source
    assert (guest.shell, guest.release) == ("console", "6.1.0-50-arm64")
    assert guest.append == "console=ttyAMA0 panic=-1 8250.nr_uarts=5"


def test_an_x86_kernel_is_not_to_panic_where_the_host_is_busy(files: tuple[Path, Path]) -> None:
    assert own("x86_64", *files).append == "console=ttyS0 panic=-1 no_timer_check"


@pytest.mark.parametrize("packed", [False, True])
def test_a_configuration_inside_the_kernel_is_found(files: tuple[Path, Path], packed: bool) -> None:
    inside = b"IKCFG_ST" + gzip.compress(CONFIG.encode()) + b"IKCFG_ED"
    image = ARM + inside
    if packed:
        image = bzimage_of(gzip.compress(ELF + inside))
    files[0].write_bytes(image)
    guest = own("x86_64" if packed else "aarch64", *files)
    assert guest.profile.nr_uarts == 8
    assert not guest.profile.assumed
    assert str(files[0]) in guest.profile.source


def test_a_kernel_is_known_by_its_release_or_assumed_and_it_says_so(
    files: tuple[Path, Path],
) -> None:
    guest = own("aarch64", *files)
    assert not guest.profile.assumed
    assert guest.profile.kernel == (6, 1)
    assert guest.profile.source.startswith("as 6.1.0-50-arm64: its stock kernel 6.1")
    files[0].write_bytes(b"anything")
    assert own("aarch64", *files).profile.assumed
    assert "--kernel-config" in own("aarch64", *files).profile.source


def test_own_files_that_are_not_there_or_not_what_they_should_be(files: tuple[Path, Path]) -> None:
    kernel, initrd = files
    with pytest.raises(UsageError, match="none"):
        own("aarch64", kernel, initrd.parent / "none")
    with pytest.raises(UsageError):
        own("aarch64", kernel.parent, initrd)
    with pytest.raises(UsageError):
        own("aarch64", kernel, initrd, initrd.parent / "no-config")
    with pytest.raises(ConfigError):
        own("aarch64", kernel, initrd, initrd)


@pytest.mark.parametrize(
    ("arch", "version", "fits"),
    [("loongarch64", (7, 2, 22), False), ("loongarch64", (10, 0, 0), True),
     ("aarch64", (5, 2, 0), True)],
)  # fmt: skip
def test_a_qemu_that_boots_no_guest_of_an_architecture_is_told(
    arch: str, version: tuple[int, int, int], fits: bool
) -> None:
    why = too_old_for_a_guest(architecture(arch), Capabilities(version, arch))
    assert bool(why) is not fits
    assert fits or "QEMU 7.2.22 does not boot a guest of loongarch64, 10.0 and later do" in why
