"""The cpio archive, byte by byte, and which modules are loaded in which order."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmserial.errors import ImageError
from vmserial.guests import initramfs
from vmserial.guests.initramfs import Entry

SIGNATURE = b"signature bytes"
TRAILER = (
    SIGNATURE + b"\0" * 8 + len(SIGNATURE).to_bytes(4, "big") + b"~Module signature appended~\n"
)


def module(depends: str = "") -> bytes:
    return b"\x7fELF" + b"\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0code\0"


def read(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Read an archive as the kernel does: modes and contents by name."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        begin = at + 110 + name_size + -(110 + name_size) % 4
        if name == "TRAILER!!!":
            return found
        assert (fields[2], fields[3], fields[5]) == (0, 0, 0), "owner and time"
        found[name] = (fields[1], data[begin : begin + size])
        at = begin + size + -size % 4


def test_what_is_put_in_comes_out() -> None:
    entries = [
        initramfs.file("bin/busybox", b"12345", 0o755),
        initramfs.symlink("bin/sh", "busybox"),
        initramfs.directory("bin"),
        initramfs.character_device("dev/console", 5, 1),
    ]
    assert read(initramfs.archive(entries)) == {
        "bin": (0o40755, b""),
        "bin/busybox": (0o100755, b"12345"),
        "bin/sh": (0o120777, b"busybox"),
        "dev/console": (0o20600, b""),
    }


def test_another_program_reads_it_too(tmp_path: Path) -> None:
    data = initramfs.archive([initramfs.directory("a"), initramfs.file("a/b", b"x" * 5)])
    subprocess.run(["busybox", "cpio", "-i"], input=data, cwd=tmp_path, check=True, timeout=20)
    assert (tmp_path / "a/b").read_bytes() == b"x" * 5


@given(st.permutations([initramfs.directory("a"), Entry("a/b", 0o100644, b"1"), Entry("c", 0o644)]))
def test_it_is_the_same_whatever_the_order(entries: list[Entry]) -> None:
    assert initramfs.archive(entries) == initramfs.archive(sorted(entries, key=lambda e: e.name))


def test_a_name_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ImageError, match="twice"):
        initramfs.archive([initramfs.file("a", b"1"), initramfs.file("a", b"2")])


def test_a_module_comes_after_what_it_needs_and_only_once() -> None:
    modules = {
        "ftdi_sio": module("usbserial,usbcore"),
        "usbserial": module("usbcore"),
        "usbcore": module("usb-common"),
        "usb_common": module(),
        "xhci_pci": module("usbcore,xhci-hcd"),
        "xhci_hcd": module("usbcore"),
    }
    order = initramfs.load_order(["ftdi_sio", "xhci_pci", "ftdi_sio"], modules, frozenset())
    assert order == ["usb_common", "usbcore", "usbserial", "ftdi_sio", "xhci_hcd", "xhci_pci"]
    builtin = frozenset({"usbcore", "usb_common", "xhci_hcd", "xhci_pci"})
    assert initramfs.load_order(["ftdi_sio", "xhci_pci"], modules, builtin) == [
        "usbserial",
        "ftdi_sio",
    ]


def test_a_module_that_is_nowhere_is_named() -> None:
    with pytest.raises(ImageError, match="usbserial"):
        initramfs.load_order(["ftdi_sio"], {"ftdi_sio": module("usbserial")}, frozenset())


def test_modules_that_need_each_other_do_not_hang() -> None:
    modules = {"a": module("b"), "b": module("a")}
    with pytest.raises(ImageError, match="each other"):
        initramfs.load_order(["a"], modules, frozenset())


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("kernel/drivers/usb/host/xhci-pci.ko.xz", "xhci_pci"),
        ("kernel/drivers/usb/serial/ftdi_sio.ko", "ftdi_sio"),
        ("virtio.ko.zst", "virtio"),
    ],
)
def test_a_modules_name(path: str, key: str) -> None:
    assert initramfs.module_key(path) == key


def test_modules_are_unpacked_and_broken_ones_refused(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.ko", tmp_path / "b.ko.xz"
    plain.write_bytes(module("x"))
    packed.write_bytes(lzma.compress(module("y")))
    assert initramfs.modinfo(initramfs.read_module(plain), "depends") == "x"
    assert initramfs.modinfo(initramfs.read_module(packed), "depends") == "y"
    assert initramfs.modinfo(module(), "nothing") == ""
    packed.write_bytes(lzma.compress(module("y"))[:-9])
    (tmp_path / "c.ko").write_bytes(b"no module")
    for path in (packed, tmp_path / "c.ko", tmp_path / "none.ko"):
        with pytest.raises(ImageError):
            initramfs.read_module(path)


def test_a_signature_is_taken_off_and_nothing_else() -> None:
    assert initramfs.unsigned(module() + TRAILER) == module()
    assert initramfs.unsigned(module()) == module()
    lying = (1 << 30).to_bytes(4, "big") + b"~Module signature appended~\n"
    assert initramfs.unsigned(module() + lying) == module() + lying


def test_the_archive_of_a_guest() -> None:
    busybox = b"\x7fELF...\0cat\0sh\0stty\0"
    modules = [("usbcore", module() + TRAILER), ("xhci_pci", module("usbcore"))]
    found = read(initramfs.build(busybox, modules, b"#!/bin/sh\n"))
    assert found["init"] == (0o100755, b"#!/bin/sh\n")
    assert found["bin/busybox"] == (0o100755, busybox)
    links = {name for name, (mode, _) in found.items() if mode == 0o120777}
    assert links == {"bin/cat", "bin/sh", "bin/stty"}, "only what this busybox has"
    assert found["lib/modules/00-usbcore.ko"] == (0o100644, module())
    assert found["lib/modules/01-xhci_pci.ko"] == (0o100644, module("usbcore"))
    for line in found["etc/fstab"][1].decode().splitlines():
        # A directory that is not in the archive comes with an earlier line's mount.
        assert line.split()[1].split("/")[1] in found
