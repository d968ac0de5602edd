"""What is inside a kernel image: its release, and the ELF that an x86 bzImage unpacks to.

On an emulated processor an xz-packed x86 kernel unpacks itself in 3 s.  Unpacked
here once, QEMU starts the ELF directly through its PVH entry (CONFIG_PVH, in all
Debian kernels; QEMU since 4.0).  The header is described in the kernel's
Documentation/arch/x86/boot.rst.
"""

from __future__ import annotations

import ctypes
import re
import struct
import zlib

LARGEST = 256 << 20
"""Bytes of an unpacked kernel; a real one has about 60 MB."""

_MAGIC = b"HdrS"
_XEN_NOTE_PVH = struct.pack("<III4s", 4, 4, 18, b"Xen\0")
_XEN_NOTE_PVH_64 = struct.pack("<III4s", 4, 8, 18, b"Xen\0")
_RELEASE = re.compile(rb"Linux version (\d+\.\d+[^\s\0]*)")


def is_bzimage(image: bytes) -> bool:
    """Tell whether this is an x86 kernel image with a boot protocol that names its payload."""
    return image[0x202:0x206] == _MAGIC and int.from_bytes(image[0x206:0x208], "little") >= 0x208


def release(image: bytes) -> str:
    """Return the kernel's release (``6.1.0-50-arm64``), empty if it cannot be seen."""
    if is_bzimage(image):
        at = int.from_bytes(image[0x20E:0x210], "little") + 0x200
        text = image[at : at + 256].partition(b"\0")[0]
        return text.partition(b" ")[0].decode("ascii", "replace")
    match = _RELEASE.search(image)
    return match.group(1).decode("ascii", "replace") if match else ""


def unpacked(image: bytes) -> bytes | None:
    """Return the ELF inside a bzImage; None if it is none, or packed in a way not known here."""
    if not is_bzimage(image):
        return None
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length]
    # The last four bytes are the unpacked size (for gzip they are part of the format).
    size = int.from_bytes(payload[-4:], "little")
    if not 0 < size <= LARGEST:
        return None
    import lzma  # only a guest that is made needs it

    try:
        elf = _unpack(payload, size)
    except (lzma.LZMAError, zlib.error):
        return None
    return elf if elf is not None and elf.startswith(b"\x7fELF") and len(elf) == size else None


def starts_directly(elf: bytes) -> bool:
    """Tell whether QEMU can start this ELF: whether it has the note of a PVH entry."""
    return _XEN_NOTE_PVH in elf or _XEN_NOTE_PVH_64 in elf


def _unpack(payload: bytes, size: int) -> bytes | None:
    if payload.startswith(b"\xfd7zXZ\0"):
        import lzma

        return lzma.LZMADecompressor().decompress(payload, size)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(payload, size)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return _unpack_zstd(payload[:-4], size)
    return None


def _unpack_zstd(payload: bytes, size: int) -> bytes | None:
    """Unpack with libzstd, which apt itself needs; Python has zstd only from 3.14 on."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        return None
    decompress, is_error = library.ZSTD_decompress, library.ZSTD_isError
    decompress.restype = ctypes.c_size_t
    decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    is_error.restype = ctypes.c_uint
    is_error.argtypes = [ctypes.c_size_t]
    buffer = ctypes.create_string_buffer(size)
    count = decompress(buffer, size, payload, len(payload))
    return None if is_error(count) else buffer.raw[:count]
