"""Kernel images: what is inside a bzImage, and what a kernel says of itself."""

from __future__ import annotations

import ctypes
import ctypes.util
import gzip
import lzma
import struct

import pytest

from vmserial.guests import bzimage

NOTE = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", 0x1000000)
ELF = b"\x7fELF" + bytes(range(256)) * 20 + NOTE


def bzimage_of(payload: bytes, version: str = "6.1.0-50-amd64 (buildd)") -> bytes:
    """Make an image with one setup sector and this payload."""
    image = bytearray(1024)
    image[0x1F1] = 1
    image[0x202:0x208] = b"HdrS" + (0x20F).to_bytes(2, "little")
    image[0x20E:0x210] = (0x100).to_bytes(2, "little")
    image[0x300 : 0x300 + len(version)] = version.encode()
    struct.pack_into("<II", image, 0x248, 0x40, len(payload))
    return bytes(image) + bytes(0x40) + payload + b"more that follows"


def size_of(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little")


def zstd(data: bytes) -> bytes:
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    room = library.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    buffer = ctypes.create_string_buffer(room)
    size = library.ZSTD_compress(buffer, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), 1)
    return buffer.raw[:size]


def test_xz_and_gzip_are_unpacked() -> None:
    xz = lzma.compress(ELF, check=lzma.CHECK_CRC32) + size_of(ELF)
    assert bzimage.unpacked(bzimage_of(xz)) == ELF
    # gzip ends with the size already.
    assert bzimage.unpacked(bzimage_of(gzip.compress(ELF))) == ELF


@pytest.mark.skipif(ctypes.util.find_library("zstd") is None, reason="there is no libzstd")
def test_zstd_is_unpacked() -> None:
    assert bzimage.unpacked(bzimage_of(zstd(ELF) + size_of(ELF))) == ELF
    broken = zstd(ELF)[:-3] + b"xyz"
    assert bzimage.unpacked(bzimage_of(broken + size_of(ELF))) is None


@pytest.mark.parametrize(
    "payload",
    [
        lzma.compress(ELF)[:-20] + size_of(ELF),  # cut off
        lzma.compress(ELF) + size_of(ELF + b"1"),  # another size than it says
        lzma.compress(b"no ELF") + size_of(b"no ELF"),
        lzma.compress(ELF) + (0xFFFFFFFF).to_bytes(4, "little"),  # far too large
        b"\x89LZO" + ELF + size_of(ELF),  # not known here
        b"",
    ],
)
def test_what_cannot_be_unpacked_is_left_as_it_is(payload: bytes) -> None:
    assert bzimage.unpacked(bzimage_of(payload)) is None


@pytest.mark.parametrize("image", [b"", b"MZ" * 400, ELF, bytes(4096)])
def test_what_is_no_bzimage(image: bytes) -> None:
    assert not bzimage.is_bzimage(image)
    assert bzimage.unpacked(image) is None


def test_releases() -> None:
    assert bzimage.release(bzimage_of(b"")) == "6.1.0-50-amd64"
    arm = b"MZ" + bytes(99) + b"Linux version 6.12.107+deb13-arm64 (debian-kernel@...) #1 SMP\0"
    assert bzimage.release(arm) == "6.12.107+deb13-arm64"
    assert bzimage.release(b"anything") == ""


def test_only_an_elf_with_a_pvh_entry_starts_directly() -> None:
    assert bzimage.starts_directly(ELF)
    assert not bzimage.starts_directly(ELF.replace(b"Xen\0", b"GNU\0"))
